// Text to token ids and back, as a checkpoint's tokenizer.json and tokenizer_config.json say.
//
//   ASSIGN_OR_RETURN(auto tokenizer, Tokenizer::load(folder));
//   std::vector<int32_t> ids = tokenizer->encode("Hello", AddSpecial::kYes);
//   std::string text = tokenizer->decode(ids, SkipSpecial::kYes);
//
// Immutable once made: any thread may use it, and it is shared by pointer. What a file asks for and this does
// not know is refused by name when loading; encoding and decoding do not fail. Results equal those of Hugging
// Face `tokenizers`, except that added tokens always decode as the text they are (DeepSeek-LLM's "ö").
//
// Encoding a text: added tokens are found in it first; what lies between is normalised, cut into pieces by
// the pre-tokenizer, and merged by the BPE model. Bytes that are not UTF-8 count as U+FFFD.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal {

enum class AddSpecial { kNo, kYes };
enum class SkipSpecial { kNo, kYes };

class Tokenizer {
 public:
  /// From a checkpoint folder: tokenizer.json, and where they are there tokenizer_config.json and
  /// chat_template.jinja (which goes before the template in tokenizer_config.json).
  static StatusOr<std::shared_ptr<const Tokenizer>> load(const std::string& folder);
  /// From the files' contents; an empty `tokenizer_config_json` is none.
  static StatusOr<std::shared_ptr<const Tokenizer>> from_json(std::string_view tokenizer_json,
                                                              std::string_view tokenizer_config_json);

  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;
  ~Tokenizer();

  /// `mode` kYes adds BOS and EOS where tokenizer_config.json has add_bos_token or add_eos_token (Llama
  /// tokenizer classes add BOS unless told otherwise); where it has neither, what tokenizer.json's
  /// post_processor adds. Prompts from a chat template carry theirs in the text: encode those with kNo.
  std::vector<int32_t> encode(std::string_view text, AddSpecial mode) const;

  /// Always valid UTF-8: bytes that form no character become U+FFFD. Ids without a token are left out, and
  /// with kYes so are tokens flagged special (<think> and the like are not). Streaming: see detokenizer.h.
  std::string decode(std::span<const int32_t> ids, SkipSpecial mode) const;

  /// The bytes that a token adds to a text, also parts of a character. Added tokens give their own text. What
  /// a decoder takes off a text's ends is not taken off here. Empty for an id without a token.
  std::string token_bytes(int32_t id) const;
  /// As the vocabulary spells it ("Ġthe"); empty for an id without a token. The view lives as long as this.
  std::string_view id_to_token(int32_t id) const;
  std::optional<int32_t> token_to_id(std::string_view token) const;
  /// An added token with "special": true.
  bool is_special(int32_t id) const;
  bool is_added(int32_t id) const;
  /// One more than the highest id (a model's embedding may have more rows).
  int32_t vocab_size() const;

  /// Of tokenizer_config.json. The texts may be set where the ids are not: a text without a token.
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> pad_id() const;
  const std::optional<std::string>& bos_token() const;
  const std::optional<std::string>& eos_token() const;
  const std::optional<std::string>& pad_token() const;
  const std::optional<std::string>& unk_token() const;
  /// Does encode(…, kYes) put BOS first (by either rule)?
  bool adds_bos() const;

  /// The Jinja source of a chat template. A single template is called "default"; others ("tool_use", ...)
  /// come from a list of named ones. Nothing where there is none of that name.
  std::optional<std::string_view> chat_template(std::string_view name = "default") const;
  std::vector<std::string> chat_template_names() const;

 private:
  friend class Detokenizer;
  struct Parts;
  explicit Tokenizer(std::unique_ptr<Parts> parts);
  static StatusOr<std::unique_ptr<Parts>> parse(std::string_view tokenizer_json,
                                                std::string_view config_json);

  std::unique_ptr<Parts> parts_;
};

}  // namespace hadal
