// Token ids in, whole characters out: the little that the engine needs of a detokenizer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace hadal {

class TextStream {
 public:
  virtual ~TextStream() = default;
  /// Text that the token completes; valid UTF-8, never half a character.
  virtual std::string add(int32_t token) = 0;
  /// What is left at the end.
  virtual std::string finish() = 0;
};

/// Makes one stream per choice; a null function means that no text can be made.
using TextStreamFactory = std::function<std::unique_ptr<TextStream>(bool skip_special_tokens)>;

}  // namespace hadal
