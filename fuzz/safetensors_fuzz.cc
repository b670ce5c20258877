// safetensors files and shard indices: whatever the bytes, no view may leave the file and nothing may crash.
// deps: hadal_tensor
// mutator: json
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/safetensors.h"
#include "tensor/shard_index.h"

namespace {

using hadal::NamedTensor;

/// Every rule that the header was held to, once more from the outside, and a read of the ends of every
/// tensor.
void check(std::span<const std::byte> file) {
  const auto content = hadal::parse_safetensors(file);
  if (!content.ok()) {
    if (content.status().message().empty()) std::abort();
    return;
  }
  const std::byte* begin = file.data() + 8 + content->header_bytes;
  const std::byte* end = file.data() + file.size();
  uint64_t total = 0;
  std::string_view before;
  float sink = 0;
  for (const NamedTensor& tensor : content->tensors) {
    const hadal::TensorView& view = tensor.view;
    if (view.data < begin || view.bytes() > static_cast<uint64_t>(end - view.data)) std::abort();
    // SafetensorsFile::find searches by halves: sorted, and no name twice
    if (&tensor != content->tensors.data() && tensor.name <= before) std::abort();
    before = tensor.name;
    total += view.bytes();
    if (view.elements() > 0)
      sink += hadal::element_as_float(view, 0) + hadal::element_as_float(view, view.elements() - 1);
  }
  if (total != static_cast<uint64_t>(end - begin)) std::abort();
  volatile float keep = sink;  // the reads must happen
  (void)keep;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(std::as_bytes(std::span(data, size)));

  // the same bytes as a header whose length is right: mutations then reach the JSON and not only the length
  constexpr size_t kDataBytes = 16;
  std::vector<uint8_t> file(8 + size + kDataBytes,
                            0x3C);  // of that size and no more: reads behind it are seen
  for (size_t i = 0; i < 8; ++i) file[i] = static_cast<uint8_t>(size >> (8 * i));
  std::copy(text.begin(), text.end(), file.begin() + 8);
  check(std::as_bytes(std::span(file)));

  if (const auto index = hadal::parse_shard_index(text); index.ok()) {
    for (const auto& place : index->places) {
      if (place.file.find_first_of("/\\") != std::string::npos || place.file.find("..") == 0) std::abort();
      if (!std::binary_search(index->files.begin(), index->files.end(), place.file)) std::abort();
    }
  }
  return 0;
}
