#include "engine/draw_rules.h"

#include <algorithm>

namespace hadal {
namespace {

void set_bit(std::vector<uint32_t>& mask, int32_t id) {
  mask[static_cast<size_t>(id) / 32] |= uint32_t{1} << (id % 32);
}
void clear_bit(std::vector<uint32_t>& mask, int32_t id) {
  mask[static_cast<size_t>(id) / 32] &= ~(uint32_t{1} << (id % 32));
}

}  // namespace

std::vector<uint32_t> DrawRules::mask(int32_t vocab) const {
  const bool single =
      std::any_of(bad_words.begin(), bad_words.end(), [](const auto& word) { return word.size() == 1; });
  if (allowed_token_ids.empty() && !single) return {};
  std::vector<uint32_t> mask(static_cast<size_t>((vocab + 31) / 32),
                             allowed_token_ids.empty() ? ~uint32_t{0} : 0);
  for (const int32_t id : allowed_token_ids) set_bit(mask, id);
  for (const auto& word : bad_words) {
    if (word.size() == 1) clear_bit(mask, word[0]);
  }
  if (vocab % 32 != 0) mask.back() &= (uint32_t{1} << (vocab % 32)) - 1;
  return mask;
}

void DrawRules::add_forbidden(const std::vector<int32_t>& output, std::vector<int32_t>& forbidden) const {
  for (const auto& word : bad_words) {
    const size_t before = word.size() - 1;
    if (before == 0 || before > output.size()) continue;
    if (std::equal(word.begin(), word.end() - 1, output.end() - static_cast<std::ptrdiff_t>(before)))
      forbidden.push_back(word.back());
  }
}

bool DrawRules::has_long_bad_words() const {
  return std::any_of(bad_words.begin(), bad_words.end(), [](const auto& word) { return word.size() > 1; });
}

}  // namespace hadal
