#include "text/detokenizer.h"

#include "text/tokenizer_parts.h"

namespace hadal {

Detokenizer::Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, SkipSpecial mode)
    : tokenizer_(std::move(tokenizer)),
      mode_(mode),
      stream_(std::make_unique<tok::DecodeStream>(tokenizer_->parts_->decoder)) {}
Detokenizer::Detokenizer(Detokenizer&&) noexcept = default;
Detokenizer& Detokenizer::operator=(Detokenizer&&) noexcept = default;
Detokenizer::~Detokenizer() = default;

std::string Detokenizer::push(int32_t id) {
  tokenizer_->parts_->push(*stream_, id, mode_);
  return stream_->take();
}

std::string Detokenizer::flush() {
  stream_->finish();
  std::string rest = stream_->take();
  stream_ = std::make_unique<tok::DecodeStream>(tokenizer_->parts_->decoder);
  return rest;
}

}  // namespace hadal
