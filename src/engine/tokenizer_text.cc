#include "engine/tokenizer_text.h"

#include <utility>

#include "text/detokenizer.h"

namespace hadal {
namespace {

class TokenizerText final : public TextStream {
 public:
  TokenizerText(std::shared_ptr<const Tokenizer> tokenizer, SkipSpecial mode)
      : detokenizer_(std::move(tokenizer), mode) {}
  std::string add(int32_t token) override { return detokenizer_.push(token); }
  std::string finish() override { return detokenizer_.flush(); }

 private:
  Detokenizer detokenizer_;
};

}  // namespace

TextStreamFactory make_text_streams(std::shared_ptr<const Tokenizer> tokenizer) {
  if (tokenizer == nullptr) return nullptr;
  return [tokenizer](bool skip_special_tokens) {
    return std::make_unique<TokenizerText>(tokenizer,
                                           skip_special_tokens ? SkipSpecial::kYes : SkipSpecial::kNo);
  };
}

}  // namespace hadal
