// The BPE model of tokenizer.json: turns a piece of text into token ids by merging pairs, lowest rank first.
//
// Supported: unk_token with fuse_unk, continuing_subword_prefix, end_of_word_suffix, byte_fallback,
// ignore_merges; dropout other than 0 is refused by name. Immutable, any thread may encode; a small cache of
// words lives per thread. Time is O(n log n) in the length of a piece.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe_merges.h"
#include "text/bpe_vocabulary.h"
#include "text/tokenizer_json.h"

namespace hadal::tok {

/// A merge as the file has it: two token texts in `ModelFile::pool`.
struct MergeRule {
  uint32_t left = 0, left_length = 0, right = 0, right_length = 0;
};

/// What tokenizer.json's "model" holds, vocabulary and merges apart from the small fields.
struct ModelFile {
  std::string pool;  // texts of merges
  std::vector<MergeRule> merges;
  std::string vocabulary_pool;
  std::vector<Vocabulary::Entry> vocabulary;
  Json fields;  // the rest of "model"
};

class Bpe {
 public:
  /// Errors name the field: an unknown model type or option, a merge of tokens that the vocabulary lacks, ...
  static StatusOr<Bpe> create(ModelFile file);

  const Vocabulary& vocabulary() const { return vocabulary_; }

  /// Appends the ids of `piece` (valid UTF-8). `as_bytes`: the piece's bytes stand for their byte-level
  /// letters. Characters without a token become the unknown token, or nothing where the model has none.
  void encode(std::string_view piece, bool as_bytes, std::vector<int32_t>& ids) const;

 private:
  Status read_options(const Json& fields);
  Status add_merges(const ModelFile& file);
  void fill_byte_tables();

  void encode_uncached(std::string_view piece, bool as_bytes, std::vector<int32_t>& ids) const;
  bool byte_symbols(std::string_view piece, std::vector<int32_t>& symbols) const;
  void text_symbols(std::string_view piece, std::vector<int32_t>& symbols) const;
  void merge_short(std::vector<int32_t>& symbols) const;
  void merge_long(std::vector<int32_t>& symbols) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  int32_t unknown_ = -1;
  std::string prefix_, suffix_;
  bool fuse_unknown_ = false, byte_fallback_ = false, ignore_merges_ = false;
  int32_t letter_ids_[256] = {};    // of each byte's letter; -1: no such token
  int32_t fallback_ids_[256] = {};  // of each byte's <0xNN>
  uint64_t serial_ = 0;             // tells models apart in the threads' caches
};

}  // namespace hadal::tok
