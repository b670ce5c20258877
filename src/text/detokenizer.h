// Streaming decode: token ids in one by one, text out as soon as it is settled.
//
//   Detokenizer detokenizer(tokenizer, SkipSpecial::kYes);
//   for (int32_t id : generated) send(detokenizer.push(id));
//   send(detokenizer.flush());
//
// What push returns is always whole UTF-8 characters, and all returned texts together are exactly
// Tokenizer::decode of all ids: a character spread over tokens comes out with its last one, bytes that turn
// out to be none as U+FFFD. Where a decoder cannot settle text before the end of a run (byte fallback) or of
// the text (a Replace after Fuse), it comes then. One text, one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "text/tokenizer.h"

namespace hadal {

namespace tok {
class DecodeStream;
}

class Detokenizer {
 public:
  /// Keeps the tokenizer alive.
  Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, SkipSpecial mode);
  Detokenizer(Detokenizer&&) noexcept;
  Detokenizer& operator=(Detokenizer&&) noexcept;
  ~Detokenizer();

  /// The text that became settled with this token; often empty. Unknown ids are left out, as in decode.
  std::string push(int32_t id);
  /// The text ends here: whatever is left. Afterwards the next push begins a new text.
  std::string flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  SkipSpecial mode_;
  std::unique_ptr<tok::DecodeStream> stream_;
};

}  // namespace hadal
