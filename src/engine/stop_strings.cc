#include "engine/stop_strings.h"

#include <algorithm>
#include <utility>

namespace hadal {
namespace {

std::vector<int32_t> fallback_of(const std::string& pattern) {
  std::vector<int32_t> fallback(pattern.size() + 1, 0);
  int32_t matched = 0;
  for (size_t i = 1; i < pattern.size(); ++i) {
    while (matched > 0 && pattern[static_cast<size_t>(matched)] != pattern[i]) {
      matched = fallback[static_cast<size_t>(matched)];
    }
    if (pattern[static_cast<size_t>(matched)] == pattern[i]) ++matched;
    fallback[i + 1] = matched;
  }
  return fallback;
}

}  // namespace

StopStrings::StopStrings(const std::vector<std::string>& stops, Include include) : include_(include) {
  for (const std::string& stop : stops) automata_.push_back({stop, fallback_of(stop), 0});
}

void StopStrings::Automaton::step(char byte) {
  // a complete match that did not count goes on as the longest prefix that may still complete
  if (state == static_cast<int32_t>(pattern.size())) state = fallback[static_cast<size_t>(state)];
  while (state > 0 && pattern[static_cast<size_t>(state)] != byte)
    state = fallback[static_cast<size_t>(state)];
  if (pattern[static_cast<size_t>(state)] == byte) ++state;
}

int32_t StopStrings::longest_match() const {
  int32_t best = -1;
  for (size_t i = 0; i < automata_.size(); ++i) {
    const Automaton& one = automata_[i];
    if (one.state != static_cast<int32_t>(one.pattern.size())) continue;
    if (best < 0 || one.pattern.size() > automata_[static_cast<size_t>(best)].pattern.size()) {
      best = static_cast<int32_t>(i);
    }
  }
  return best;
}

StopStrings::Piece StopStrings::add(std::string_view text, Counts counts) {
  Piece piece;
  for (const char byte : text) {
    held_.push_back(byte);
    for (Automaton& one : automata_) one.step(byte);
    if (counts == Counts::kNo) continue;
    piece.match = longest_match();
    if (piece.match < 0) continue;
    if (include_ == Include::kNo) {
      held_.resize(held_.size() - automata_[static_cast<size_t>(piece.match)].pattern.size());
    }
    piece.text = std::exchange(held_, {});
    return piece;
  }
  size_t hold = 0;
  for (const Automaton& one : automata_) {
    const bool complete = one.state == static_cast<int32_t>(one.pattern.size());
    hold = std::max(hold, static_cast<size_t>(complete ? one.fallback.back() : one.state));
  }
  piece.text = held_.substr(0, held_.size() - hold);
  held_.erase(0, piece.text.size());
  return piece;
}

std::string StopStrings::flush() { return std::exchange(held_, {}); }

}  // namespace hadal
