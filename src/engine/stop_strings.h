// Finds stop strings in text that comes piece by piece, and holds back text that may yet turn out to be part
// of one.
//
// What ends the output is the match that ends first; of several that end at the same byte, the longest. So
// the result does not depend on how the text was cut into pieces. Matches that end in text for which `counts`
// was kNo are passed over (min_tokens). Text that was given out is never taken back: all of a match is still
// held when it completes.
//
// Pieces are whole UTF-8 characters and so is all that comes out: a stop string starts with a first byte of a
// character, hence so does any held back text.
//
// Threads: one. Cost: bytes of text times number of stop strings (one Knuth-Morris-Pratt automaton each).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

class StopStrings {
 public:
  enum class Counts : uint8_t { kNo, kYes };
  enum class Include : uint8_t { kNo, kYes };  // is the match itself part of the output?

  /// `stops`: no empty string among them.
  StopStrings(const std::vector<std::string>& stops, Include include);

  struct Piece {
    std::string text;    // to be given out now
    int32_t match = -1;  // index of the stop string that ended the output; nothing may be added after that
  };
  Piece add(std::string_view text, Counts counts);

  /// The output ends without a match: what was held back.
  std::string flush();

 private:
  struct Automaton {
    std::string pattern;
    std::vector<int32_t>
        fallback;       // [length of matched prefix] the next shorter one that the text also ends with
    int32_t state = 0;  // the text ends with this many bytes of the pattern
    void step(char byte);
  };
  int32_t longest_match() const;

  std::vector<Automaton> automata_;
  const Include include_;
  std::string held_;
};

}  // namespace hadal
