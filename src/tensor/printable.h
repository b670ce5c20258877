// Names from files, made safe to print: control characters and broken bytes escaped, long ones cut.
#pragma once

#include <string>
#include <string_view>

namespace hadal {

/// `text` in single quotes, at most about `limit` bytes of it, non-ASCII and control bytes as \xNN.
std::string printable(std::string_view text, size_t limit = 160);

}  // namespace hadal
