// For tests: what can happen to a device.
#pragma once

#include <cstdint>

namespace hadal::testing {

enum class Fault : uint8_t { kNone, kLost, kHang };

}  // namespace hadal::testing
