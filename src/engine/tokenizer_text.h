// A checkpoint's streaming detokenizer as the engine's TextStream.
#pragma once

#include <memory>

#include "engine/text_stream.h"
#include "text/tokenizer.h"

namespace hadal {

/// Null tokenizer: a null factory (no text is made).
TextStreamFactory make_text_streams(std::shared_ptr<const Tokenizer> tokenizer);

}  // namespace hadal
