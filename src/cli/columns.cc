#include <algorithm>
#include <array>
#include <cstdint>

#include "cli/line_editor.h"

namespace hadal {
namespace {

struct Range {
  uint32_t first, last;
};

// Unicode's East Asian Width W and F, and its marks without a width, in the blocks that people type.
constexpr std::array kWide = {Range{0x1100, 0x115f},   Range{0x231a, 0x231b},   Range{0x23e9, 0x23ec},
                              Range{0x25fd, 0x25fe},   Range{0x2614, 0x2615},   Range{0x2648, 0x2653},
                              Range{0x26bd, 0x26be},   Range{0x2705, 0x2705},   Range{0x270a, 0x270b},
                              Range{0x2728, 0x2728},   Range{0x274c, 0x274c},   Range{0x2753, 0x2757},
                              Range{0x2795, 0x2797},   Range{0x2b1b, 0x2b1c},   Range{0x2b50, 0x2b55},
                              Range{0x2e80, 0x303e},   Range{0x3041, 0x33ff},   Range{0x3400, 0x4dbf},
                              Range{0x4e00, 0xa4cf},   Range{0xa960, 0xa97f},   Range{0xac00, 0xd7a3},
                              Range{0xf900, 0xfaff},   Range{0xfe10, 0xfe19},   Range{0xfe30, 0xfe6f},
                              Range{0xff00, 0xff60},   Range{0xffe0, 0xffe6},   Range{0x1f300, 0x1f64f},
                              Range{0x1f680, 0x1f6ff}, Range{0x1f900, 0x1f9ff}, Range{0x1fa70, 0x1faff},
                              Range{0x20000, 0x3fffd}};
constexpr std::array kNone = {Range{0x0300, 0x036f}, Range{0x0483, 0x0489}, Range{0x0591, 0x05bd},
                              Range{0x064b, 0x065f}, Range{0x1ab0, 0x1aff}, Range{0x1dc0, 0x1dff},
                              Range{0x200b, 0x200f}, Range{0x20d0, 0x20ff}, Range{0xfe00, 0xfe0f},
                              Range{0xfe20, 0xfe2f}};

template <typename Ranges>
bool is_in(uint32_t point, const Ranges& ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [point](const Range& range) { return point >= range.first && point <= range.last; });
}

/// The code point at the beginning of `text`, which is cut behind it.
uint32_t take_point(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  const size_t length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  uint32_t point = length == 1 ? first : first & (0xffu >> (length + 1));
  for (size_t i = 1; i < std::min(length, text.size()); ++i)
    point = point << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
  text.remove_prefix(std::min(length, text.size()));
  return point;
}

}  // namespace

size_t columns_of(std::string_view text) {
  size_t columns = 0;
  while (!text.empty()) {
    const uint32_t point = take_point(text);
    columns += is_in(point, kWide) ? 2 : is_in(point, kNone) ? 0 : 1;
  }
  return columns;
}

}  // namespace hadal
