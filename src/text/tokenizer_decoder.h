// Decoders of tokenizer.json: turn the texts of tokens back into text, as a stream.
//
// Supported: ByteLevel, Sequence, Fuse, Replace, Metaspace, ByteFallback, Strip; others are refused by name.
// A tokenizer without a decoder joins its tokens with spaces. There is one implementation, which takes tokens
// one by one and hands on what is settled; decoding at once is feeding it everything and finishing. Added
// tokens are literal text to ByteLevel and ByteFallback: "ö" stays "ö", although it also is the letter of a
// byte.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/pre_tokenizer_split.h"
#include "text/tokenizer_json.h"

namespace hadal::tok {

/// One stage at work on one text. Tokens arrive in parts: push any number of times, the last part with
/// `ends`. Every part is valid UTF-8 that ends with a whole character.
class DecodeStage {
 public:
  virtual ~DecodeStage() = default;
  virtual void push(std::string_view part, bool ends, bool literal) = 0;
  /// No more tokens: hand on what was held back. Stages before have finished.
  virtual void finish() = 0;
  void set_next(DecodeStage* next) { next_ = next; }

 protected:
  DecodeStage* next_ = nullptr;
};

/// One decoder as configured: makes stages. Immutable, shared by threads; must outlive its stages.
class DecoderStep {
 public:
  virtual ~DecoderStep() = default;
  virtual std::unique_ptr<DecodeStage> stage() const = 0;
};

class Decoder {
 public:
  Decoder();  // joins with spaces
  /// `node` is tokenizer.json's "decoder"; null joins with spaces.
  static StatusOr<Decoder> parse(const Json* node);

  const std::vector<std::unique_ptr<DecoderStep>>& steps() const { return steps_; }
  /// The bytes that one token stands for, whatever is before and after it (see Tokenizer::token_bytes).
  std::string token_bytes(std::string_view token, bool added) const;

 private:
  Status add(const Json& node, const std::string& where);

  std::vector<std::unique_ptr<DecoderStep>> steps_;
  bool joins_ = true, has_byte_level_ = false, has_byte_fallback_ = false;
};

/// A text being decoded. Not thread-safe; the decoder must outlive it.
class DecodeStream {
 public:
  explicit DecodeStream(const Decoder& decoder);
  void push(std::string_view token, bool added) { stages_.front()->push(token, true, added); }
  void finish() { stages_.front()->finish(); }
  /// The text settled since the last call.
  std::string take();

 private:
  std::vector<std::unique_ptr<DecodeStage>> stages_;  // the last collects
  std::string* collected_ = nullptr;
};

}  // namespace hadal::tok
