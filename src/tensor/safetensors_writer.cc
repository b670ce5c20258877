#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tensor/printable.h"
#include "tensor/safetensors.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

/// Wider elements first, then by name: with a header padded to 8 bytes every tensor is aligned.
bool writing_order(const NamedTensor& a, const NamedTensor& b) {
  const int64_t wide_a = bytes_of(a.view.dtype), wide_b = bytes_of(b.view.dtype);
  return wide_a != wide_b ? wide_a > wide_b : a.name < b.name;
}

StatusOr<std::string> header_of(const std::vector<NamedTensor>& tensors,
                                const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const NamedTensor& tensor : tensors) {
    const std::vector<int64_t> shape(tensor.view.shape.begin(), tensor.view.shape.end());
    const uint64_t end = offset + tensor.view.bytes();
    header[tensor.name] = {
        {"dtype", dtype_name(tensor.view.dtype)}, {"shape", shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception&) {  // the only cause: text that is not UTF-8
    return invalid_argument("a tensor name or a metadata text is not UTF-8");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > kMaxHeaderBytes)
    return resource_exhausted("a header of {} bytes is too large", text.size());
  return text;
}

/// Writes to `path`; removes it again where something fails.
class PartialFile {
 public:
  explicit PartialFile(std::string path) : path_(std::move(path)), file_(std::fopen(path_.c_str(), "wb")) {}
  ~PartialFile() {
    if (file_ != nullptr) std::fclose(file_);
    if (!kept_) std::remove(path_.c_str());
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  bool is_open() const { return file_ != nullptr; }
  bool write(const void* data, size_t size) { return size == 0 || std::fwrite(data, 1, size, file_) == size; }
  bool close_and_rename(const std::string& to) {
    std::FILE* file = std::exchange(file_, nullptr);
    kept_ = std::fclose(file) == 0 && std::rename(path_.c_str(), to.c_str()) == 0;
    return kept_;
  }

 private:
  std::string path_;
  std::FILE* file_;
  bool kept_ = false;
};

}  // namespace

Status write_safetensors(const std::string& path, std::vector<NamedTensor> tensors,
                         const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(),
            [](const NamedTensor& a, const NamedTensor& b) { return a.name < b.name; });
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].name == "__metadata__") return invalid_argument("no tensor can be called __metadata__");
    if (i > 0 && tensors[i].name == tensors[i - 1].name)
      return invalid_argument("tensor {} is to be written twice", printable(tensors[i].name));
  }
  std::stable_sort(tensors.begin(), tensors.end(), writing_order);
  ASSIGN_OR_RETURN(const std::string header, header_of(tensors, metadata));

  const auto failed = [&] { return failed_precondition("{}: cannot write: {}", path, std::strerror(errno)); };
  PartialFile file(path + ".partial");
  if (!file.is_open()) return failed();
  char length[8];
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i) & 0xFF);
  if (!file.write(length, sizeof length) || !file.write(header.data(), header.size())) return failed();
  for (const NamedTensor& tensor : tensors)
    if (!file.write(tensor.view.data, tensor.view.bytes())) return failed();
  if (!file.close_and_rename(path)) return failed();
  return OkStatus();
}

}  // namespace hadal
