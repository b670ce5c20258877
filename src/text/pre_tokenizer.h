// Pre-tokenizers of tokenizer.json: cut a text into the pieces inside which the BPE model merges.
//
// Supported: Sequence, Split (regular expression or string, every behaviour, invert), Digits, ByteLevel,
// Whitespace, WhitespaceSplit, Punctuation, CharDelimiterSplit, Metaspace; others are refused by name.
// Immutable after parse, so any thread may use it. Pieces come out one by one in the text's order and without
// copies where nothing is rewritten; a piece is valid only during the call that hands it over.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_json.h"

namespace hadal::tok {

/// Takes pieces. `first`: the piece starts where the whole input starts (Metaspace asks).
class PieceSink {
 public:
  virtual ~PieceSink() = default;
  virtual void piece(std::string_view text, bool first) = 0;
};

/// One pre-tokenizer of the sequence.
class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  virtual void split(std::string_view text, bool first, PieceSink& sink) const = 0;
};

class PreTokenizer {
 public:
  PreTokenizer() = default;  // the whole text is one piece

  /// `node` is tokenizer.json's "pre_tokenizer"; null leaves texts whole.
  static StatusOr<PreTokenizer> parse(const Json* node);

  /// Hands the non-empty pieces of `text` (valid UTF-8) to `sink`.
  void split(std::string_view text, bool first, PieceSink& sink) const;

  /// Pieces come out as raw bytes, each standing for its letter of the byte-level alphabet: a ByteLevel that
  /// ends the sequence leaves the spelling to the model, which works on bytes.
  bool gives_bytes() const { return gives_bytes_; }

 private:
  Status add(const Json& node, const std::string& where);

  std::vector<std::unique_ptr<PreTokenizerStep>> steps_;
  bool gives_bytes_ = false;
};

}  // namespace hadal::tok
