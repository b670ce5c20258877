// Added tokens of tokenizer.json: texts that are one token wherever they stand, found before anything else.
//
// Encoding looks for them twice: for those with "normalized": false in the raw text, then, in what is left
// and normalised, for the others. At each place the longest wins. Immutable after create; any thread may use
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/bpe_vocabulary.h"
#include "text/normalizer.h"

namespace hadal::tok {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  // not inside a word
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // ... and after it
  bool normalized = true;    // found in normalised text
  bool special = false;      // left out when decoding skips special tokens
};

/// Finds the longest of many texts at a place.
class TextTrie {
 public:
  void insert(std::string_view text, size_t value);
  /// The longest inserted text that starts at text[at]: its length, and its value in `value`; 0 when none
  /// does.
  size_t longest_at(std::string_view text, size_t at, size_t& value) const;
  bool empty() const { return nodes_.size() == 1; }
  bool starts_with(char first) const { return root_[static_cast<unsigned char>(first)] != 0; }

 private:
  static constexpr size_t kNoValue = SIZE_MAX;
  struct Node {
    size_t value = kNoValue;
    uint32_t child = 0, sibling = 0;  // 0 is none
    char byte = 0;
  };
  uint32_t child_of(uint32_t node, char byte) const;

  std::vector<Node> nodes_ = std::vector<Node>(1);
  uint32_t root_[256] = {};  // the root's children, directly
};

class AddedTokens {
 public:
  /// The list "added_tokens". A text that the model has too keeps the model's id.
  static StatusOr<std::vector<AddedToken>> parse(const Json* list, const Vocabulary& vocabulary);

  static StatusOr<AddedTokens> create(std::vector<AddedToken> tokens, const Vocabulary& vocabulary,
                                      const Normalizer& normalizer);

  /// The token with this id; nullptr when it is not an added one.
  const AddedToken* find(int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  const std::vector<AddedToken>& all() const { return tokens_; }

  /// Parts of `text` in order: `token` is nullptr for text between tokens (never empty).
  using Part = std::function<void(std::string_view text, const AddedToken* token)>;
  void split_raw(std::string_view text, const Part& part) const { split(raw_, text, part); }
  void split_normalized(std::string_view text, const Part& part) const { split(normalized_, text, part); }

 private:
  void split(const TextTrie& trie, std::string_view text, const Part& part) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  std::unordered_map<std::string, size_t> by_content_;
  TextTrie raw_, normalized_;
};

}  // namespace hadal::tok
