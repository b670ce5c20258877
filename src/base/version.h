// The version that `hadal --version`, /version and the Server header tell.
#pragma once

namespace hadal {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace hadal
