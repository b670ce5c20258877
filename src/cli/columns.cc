#include <utf8proc.h>

#include <algorithm>

#include "cli/line_editor.h"

namespace hadal {

size_t columns_of(std::string_view text) {
  size_t columns = 0;
  while (!text.empty()) {
    utf8proc_int32_t point = 0;
    const auto read = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                       static_cast<utf8proc_ssize_t>(text.size()), &point);
    const bool is_text = read > 0;  // else a byte that is no UTF-8, which a terminal shows as one column
    columns += is_text ? static_cast<size_t>(std::max(0, utf8proc_charwidth(point))) : 1;
    text.remove_prefix(is_text ? static_cast<size_t>(read) : 1);
  }
  return columns;
}

}  // namespace hadal
