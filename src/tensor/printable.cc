#include "tensor/printable.h"

#include <fmt/format.h>

namespace hadal {

std::string printable(std::string_view text, size_t limit) {
  std::string out = "'";
  for (char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7F) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out + (text.size() > limit ? "...'" : "'");
}

}  // namespace hadal
