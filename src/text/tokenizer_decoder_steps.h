// The decoders that tokenizer.json can name (see tokenizer_decoder.h).
#pragma once

#include <memory>
#include <string>

#include "text/tokenizer_decoder.h"

namespace hadal::tok {

std::unique_ptr<DecoderStep> byte_level_decoder();
std::unique_ptr<DecoderStep> byte_fallback_decoder();
std::unique_ptr<DecoderStep> fuse_decoder();
std::unique_ptr<DecoderStep> join_decoder();
std::unique_ptr<DecoderStep> replace_decoder(std::unique_ptr<Delimiter> pattern, std::string content);
/// `mark` becomes a space, and nothing in the first token when `drop_first`.
std::unique_ptr<DecoderStep> metaspace_decoder(std::string mark, bool drop_first);
/// Up to `start` times `content` (one character) off a token's front, up to `stop` times off its end.
std::unique_ptr<DecoderStep> strip_decoder(std::string content, size_t start, size_t stop);

/// `text` with every delimiter replaced by `content`.
std::string replace_all(const Delimiter& pattern, std::string_view content, std::string_view text);

}  // namespace hadal::tok
