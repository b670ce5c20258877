// Integers that cannot be mixed up: `using BlockId = StrongId<struct BlockIdTag, int32_t>;`
#pragma once

#include <compare>
#include <cstddef>
#include <functional>

namespace hadal {

template <typename Tag, typename Int>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(Int value) : value_(value) {}
  constexpr Int value() const { return value_; }
  friend constexpr auto operator<=>(StrongId, StrongId) = default;

 private:
  Int value_{};
};

}  // namespace hadal

template <typename Tag, typename Int>
struct std::hash<hadal::StrongId<Tag, Int>> {
  size_t operator()(hadal::StrongId<Tag, Int> id) const noexcept { return std::hash<Int>{}(id.value()); }
};
