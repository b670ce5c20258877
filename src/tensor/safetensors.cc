#include "tensor/safetensors.h"

#include <algorithm>
#include <optional>

#include "tensor/printable.h"
#include "tensor/safetensors_header.h"

namespace hadal {
namespace {

using internal::Header;
using internal::HeaderEntry;

constexpr uint64_t kLengthBytes = 8;

uint64_t read_little_endian(std::span<const std::byte> from) {
  uint64_t value = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) value |= uint64_t{std::to_integer<uint8_t>(from[i])} << (8 * i);
  return value;
}

/// Where the JSON is, checked against the file.
StatusOr<std::string_view> header_text(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes)
    return data_loss("{} bytes are too few for a safetensors file", file.size());
  const uint64_t length = read_little_endian(file);
  if (length > kMaxHeaderBytes) {
    if (file.size() >= 4 && std::string_view(reinterpret_cast<const char*>(file.data()), 4) == "GGUF")
      return unimplemented("this is a GGUF file; only safetensors checkpoints are loaded");
    return data_loss("the header claims {} bytes, over the limit of {}: not a safetensors file?", length,
                     kMaxHeaderBytes);
  }
  if (length > file.size() - kLengthBytes)
    return data_loss("the header claims {} bytes but the file ends after {}: truncated?", length,
                     file.size() - kLengthBytes);
  return std::string_view(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
}

/// elements * bytes of an element, or nullopt if that overflows 63 bits.
std::optional<uint64_t> byte_size(const HeaderEntry& entry) {
  // [2^40, 2^40, 0] has no elements, whatever the product in between
  if (std::find(entry.shape.begin(), entry.shape.end(), 0) != entry.shape.end()) return 0;
  int64_t product = bytes_of(entry.dtype);
  for (int64_t extent : entry.shape)
    if (__builtin_mul_overflow(product, extent, &product)) return std::nullopt;
  return static_cast<uint64_t>(product);
}

Status check_size(const HeaderEntry& entry, uint64_t data_bytes) {
  const std::string name = printable(entry.name);
  if (entry.begin > entry.end)
    return data_loss("tensor {}: data_offsets [{}, {}] run backwards", name, entry.begin, entry.end);
  if (entry.end > data_bytes)
    return data_loss("tensor {}: ends at byte {} of {} in the file: truncated?", name, entry.end, data_bytes);
  const auto size = byte_size(entry);
  if (!size) return data_loss("tensor {}: shape {} overflows", name, entry.shape.to_string());
  if (*size != entry.end - entry.begin)
    return data_loss("tensor {}: {} {} takes {} bytes but data_offsets give {}", name,
                     dtype_name(entry.dtype), entry.shape.to_string(), *size, entry.end - entry.begin);
  return OkStatus();
}

/// Entries sorted by place must cover [0, data_bytes) exactly.
Status check_cover(std::vector<HeaderEntry>& entries, uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(), [](const HeaderEntry& a, const HeaderEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t covered = 0;
  for (const HeaderEntry& entry : entries) {
    if (entry.begin < covered)
      return data_loss("tensor {} begins at byte {} inside the tensor before it", printable(entry.name),
                       entry.begin);
    if (entry.begin > covered)
      return data_loss("bytes {} to {} before tensor {} belong to no tensor", covered, entry.begin,
                       printable(entry.name));
    covered = entry.end;
  }
  if (covered != data_bytes)
    return data_loss("the last {} bytes of the file belong to no tensor", data_bytes - covered);
  return OkStatus();
}

bool by_name(const NamedTensor& a, const NamedTensor& b) { return a.name < b.name; }

}  // namespace

StatusOr<SafetensorsContent> parse_safetensors(std::span<const std::byte> file) {
  ASSIGN_OR_RETURN(const std::string_view json, header_text(file));
  ASSIGN_OR_RETURN(Header header, internal::parse_header_json(json));
  const auto data = file.subspan(kLengthBytes + json.size());
  for (const HeaderEntry& entry : header.entries) RETURN_IF_ERROR(check_size(entry, data.size()));
  RETURN_IF_ERROR(check_cover(header.entries, data.size()));

  SafetensorsContent content{.metadata = std::move(header.metadata), .header_bytes = json.size()};
  content.tensors.reserve(header.entries.size());
  for (HeaderEntry& entry : header.entries)
    content.tensors.push_back({std::move(entry.name), {data.data() + entry.begin, entry.dtype, entry.shape}});
  std::sort(content.tensors.begin(), content.tensors.end(), by_name);
  const auto twice =
      std::adjacent_find(content.tensors.begin(), content.tensors.end(),
                         [](const NamedTensor& a, const NamedTensor& b) { return a.name == b.name; });
  if (twice != content.tensors.end()) return data_loss("tensor {} is there twice", printable(twice->name));
  return content;
}

StatusOr<std::shared_ptr<const SafetensorsFile>> SafetensorsFile::open(const std::string& path) {
  ASSIGN_OR_RETURN(auto file, MappedFile::open(path));
  auto content = parse_safetensors(file->bytes());
  if (!content.ok()) return annotate(content.status(), path);
  return std::shared_ptr<const SafetensorsFile>(new SafetensorsFile(std::move(file), *std::move(content)));
}

const TensorView* SafetensorsFile::find(std::string_view name) const {
  const auto at = std::lower_bound(
      tensors().begin(), tensors().end(), name,
      [](const NamedTensor& tensor, std::string_view wanted) { return tensor.name < wanted; });
  return at != tensors().end() && at->name == name ? &at->view : nullptr;
}

}  // namespace hadal
