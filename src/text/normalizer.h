// Normalizers of tokenizer.json: rewrite a text before it is cut into pieces.
//
// Supported: Sequence (also empty), NFC, NFD, NFKC, NFKD, Lowercase, Replace, Prepend, Strip, StripAccents,
// ByteLevel; others are refused by name. Immutable after parse, so any thread may use it. Linear in the text,
// long runs of combining marks included.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_json.h"

namespace hadal::tok {

class NormalizerStep {
 public:
  virtual ~NormalizerStep() = default;
  /// Rules that can grow a text without bound leave it as it is when the result would pass `limit` bytes.
  virtual std::string apply(std::string_view text, size_t limit) const = 0;
};

class Normalizer {
 public:
  Normalizer() = default;  // the identity

  /// `node` is tokenizer.json's "normalizer"; null is the identity.
  static StatusOr<Normalizer> parse(const Json* node);

  bool is_identity() const { return steps_.empty(); }
  /// `text` must be valid UTF-8, and so is the result. A Replace or Prepend that would make it more than 64
  /// times as long (plus 64 KiB) is not applied: rules come from a checkpoint and memory is ours.
  std::string apply(std::string_view text) const;

 private:
  Status add(const Json& node, const std::string& where);
  std::vector<std::unique_ptr<NormalizerStep>> steps_;
};

}  // namespace hadal::tok
