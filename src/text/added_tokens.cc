#include "text/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "text/pre_tokenizer_split.h"
#include "text/pre_tokenizer_unicode.h"
#include "text/tokenizer_utf8.h"

namespace hadal::tok {
namespace {

// Rust's \w: Alphabetic, marks, decimal digits, connectors, joiners. utf8proc does not tell Alphabetic;
// beyond letters, marks and letter numbers these are the circled and squared letters.
bool is_word(uint32_t c) {
  const auto kind = utf8proc_category(static_cast<utf8proc_int32_t>(unicode_stand_in(c)));
  return (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_NL) || kind == UTF8PROC_CATEGORY_PC ||
         c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
         (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

uint32_t char_before(std::string_view text, size_t at, size_t& begin) {
  begin = at - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return read_utf8(text, begin).codepoint;
}

bool inside_word(std::string_view text, size_t begin, size_t end) {
  size_t previous = 0;
  if (begin > 0 && is_word(char_before(text, begin, previous))) return true;
  return end < text.size() && is_word(read_utf8(text, end).codepoint);
}

StatusOr<AddedToken> parse_token(const Json& node, const std::string& where) {
  RETURN_IF_ERROR(expect_object(node, where));
  AddedToken token;
  ASSIGN_OR_RETURN(const int64_t id, int_field(node, "id", 0, INT32_MAX - 1, where));
  token.id = static_cast<int32_t>(id);
  ASSIGN_OR_RETURN(token.content, string_field(node, "content", where));
  ASSIGN_OR_RETURN(token.single_word, bool_field(node, "single_word", false, where));
  ASSIGN_OR_RETURN(token.lstrip, bool_field(node, "lstrip", false, where));
  ASSIGN_OR_RETURN(token.rstrip, bool_field(node, "rstrip", false, where));
  ASSIGN_OR_RETURN(token.special, bool_field(node, "special", false, where));
  ASSIGN_OR_RETURN(token.normalized, bool_field(node, "normalized", !token.special, where));
  return token;
}

}  // namespace

void TextTrie::insert(std::string_view text, size_t value) {
  if (text.empty()) return;
  uint32_t node = 0;
  for (const char byte : text) {
    uint32_t child = node == 0 ? root_[static_cast<unsigned char>(byte)] : child_of(node, byte);
    if (child == 0) {
      child = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({.sibling = nodes_[node].child, .byte = byte});
      nodes_[node].child = child;
      if (node == 0) root_[static_cast<unsigned char>(byte)] = child;
    }
    node = child;
  }
  if (nodes_[node].value == kNoValue) nodes_[node].value = value;  // the first of equal texts wins
}

uint32_t TextTrie::child_of(uint32_t node, char byte) const {
  uint32_t child = nodes_[node].child;
  while (child != 0 && nodes_[child].byte != byte) child = nodes_[child].sibling;
  return child;
}

size_t TextTrie::longest_at(std::string_view text, size_t at, size_t& value) const {
  size_t longest = 0;
  uint32_t node = root_[static_cast<unsigned char>(text[at])];
  for (size_t end = at + 1; node != 0; ++end) {
    if (nodes_[node].value != kNoValue) {
      longest = end - at;
      value = nodes_[node].value;
    }
    node = end < text.size() ? child_of(node, text[end]) : 0;
  }
  return longest;
}

StatusOr<std::vector<AddedToken>> AddedTokens::parse(const Json* list, const Vocabulary& vocabulary) {
  std::vector<AddedToken> tokens;
  if (list == nullptr) return tokens;
  if (!list->is_array()) return invalid_argument("added_tokens must be a list, not {}", list->type_name());
  for (size_t i = 0; i < list->size(); ++i) {
    ASSIGN_OR_RETURN(AddedToken token, parse_token((*list)[i], fmt::format("added_tokens[{}]", i)));
    if (token.content.empty()) continue;  // as in HF: nothing to find
    if (const int32_t known = vocabulary.find(token.content); known >= 0) token.id = known;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

StatusOr<AddedTokens> AddedTokens::create(std::vector<AddedToken> tokens, const Vocabulary& vocabulary,
                                          const Normalizer& normalizer) {
  AddedTokens result;
  const int64_t highest =
      static_cast<int64_t>(vocabulary.id_limit()) + static_cast<int64_t>(tokens.size()) * 16 + 65535;
  for (AddedToken& token : tokens) {
    if (token.id > highest) {
      return invalid_argument("added_tokens: '{}' has id {}, far beyond the vocabulary (at most {})",
                              token.content, token.id, highest);
    }
    if (vocabulary.contains(token.id) && vocabulary.text(token.id) != token.content) {
      return invalid_argument("added_tokens: '{}' has id {}, which model.vocab gives to '{}'", token.content,
                              token.id, vocabulary.text(token.id));
    }
    const auto [at, fresh] = result.by_content_.emplace(token.content, result.tokens_.size());
    if (!fresh && result.tokens_[at->second].id != token.id) {
      return invalid_argument("added_tokens: '{}' is there twice, with ids {} and {}", token.content,
                              result.tokens_[at->second].id, token.id);
    }
    if (!fresh) {
      result.tokens_[at->second] = std::move(token);  // the later entry's flags hold
      continue;
    }
    if (const auto [other, free] = result.by_id_.emplace(token.id, result.tokens_.size()); !free) {
      return invalid_argument("added_tokens: '{}' and '{}' have the same id {}",
                              result.tokens_[other->second].content, token.content, token.id);
    }
    result.tokens_.push_back(std::move(token));
  }
  for (const bool special : {true, false}) {  // of texts that normalise alike, special ones win
    for (size_t i = 0; i < result.tokens_.size(); ++i) {
      const AddedToken& token = result.tokens_[i];
      if (token.special != special) continue;
      if (token.normalized)
        result.normalized_.insert(normalizer.apply(token.content), i);
      else
        result.raw_.insert(token.content, i);
    }
  }
  return result;
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = by_content_.find(std::string(content));
  return found == by_content_.end() ? nullptr : &tokens_[found->second];
}

void AddedTokens::split(const TextTrie& trie, std::string_view text, const Part& part) const {
  size_t done = 0;  // text before this has been handed over
  for (size_t at = 0; !trie.empty() && at < text.size();) {
    size_t index = 0;
    const size_t length = trie.starts_with(text[at]) ? trie.longest_at(text, at, index) : 0;
    if (length == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[index];
    size_t begin = at;
    size_t end = at + length;
    at = end;  // the search goes on behind the token's own text, even where rstrip takes more (as in HF)
    if (token.single_word && inside_word(text, begin, end)) continue;
    for (size_t before = 0; token.lstrip && begin > done; begin = before) {
      if (!is_white_space(char_before(text, begin, before))) break;
    }
    if (token.lstrip) begin = std::max(begin, done);
    while (token.rstrip && end < text.size()) {
      const Utf8Char next = read_utf8(text, end);
      if (!is_white_space(next.codepoint)) break;
      end += next.length;
    }
    if (done < begin) part(text.substr(done, begin - done), nullptr);
    if (begin < end) part(text.substr(begin, end - begin), &token);
    done = end;
  }
  if (done < text.size()) part(text.substr(done), nullptr);
}

}  // namespace hadal::tok
