#include "text/bpe.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <queue>

#include "text/tokenizer_bytes.h"
#include "text/tokenizer_utf8.h"

namespace hadal::tok {
namespace {

constexpr size_t kShortPiece = 48;  // symbols up to which scanning for the best pair beats a heap

constexpr size_t kCachedBytes = 22, kCachedIds = 8;

// Words of this thread's last texts. Direct mapped: a new word replaces the one in its place.
struct CachedWord {
  uint64_t serial = 0;  // of the model; 0 is none
  uint8_t length = 0, count = 0;
  std::array<char, kCachedBytes> text;
  std::array<int32_t, kCachedIds> ids;
};
static_assert(sizeof(CachedWord) == 64);
constexpr size_t kCachedWords = 8192;

CachedWord& cached_word(uint64_t serial, std::string_view piece) {
  thread_local std::vector<CachedWord> cache(kCachedWords);
  return cache[(hash_bytes(piece) ^ serial) % kCachedWords];
}

}  // namespace

StatusOr<Bpe> Bpe::create(ModelFile file) {
  Bpe result;
  ASSIGN_OR_RETURN(const std::string type, string_field(file.fields, "type", "BPE", "model"));
  if (type != "BPE") return unimplemented("model.type '{}' is not supported (BPE is)", type);
  ASSIGN_OR_RETURN(result.vocabulary_, Vocabulary::create(std::move(file.vocabulary_pool), file.vocabulary));
  RETURN_IF_ERROR(result.read_options(file.fields));
  RETURN_IF_ERROR(result.add_merges(file));
  result.fill_byte_tables();
  static std::atomic<uint64_t> models{0};
  result.serial_ = ++models;
  return result;
}

Status Bpe::read_options(const Json& fields) {
  if (const Json* dropout = find_field(fields, "dropout"); dropout != nullptr) {
    if (!dropout->is_number()) return invalid_argument("model.dropout must be a number or null");
    if (dropout->get<double>() != 0)
      return unimplemented("model.dropout {} is not supported", dropout->dump());
  }
  ASSIGN_OR_RETURN(prefix_, string_field(fields, "continuing_subword_prefix", "", "model"));
  ASSIGN_OR_RETURN(suffix_, string_field(fields, "end_of_word_suffix", "", "model"));
  ASSIGN_OR_RETURN(fuse_unknown_, bool_field(fields, "fuse_unk", false, "model"));
  ASSIGN_OR_RETURN(byte_fallback_, bool_field(fields, "byte_fallback", false, "model"));
  ASSIGN_OR_RETURN(ignore_merges_, bool_field(fields, "ignore_merges", false, "model"));
  if (find_field(fields, "unk_token") != nullptr) {
    ASSIGN_OR_RETURN(const std::string unknown, string_field(fields, "unk_token", "model"));
    unknown_ = vocabulary_.find(unknown);
    if (unknown_ < 0) return invalid_argument("model.unk_token '{}' is not in model.vocab", unknown);
  }
  return OkStatus();
}

Status Bpe::add_merges(const ModelFile& file) {
  merges_ = MergeTable(file.merges.size());
  const std::string_view pool = file.pool;
  std::string merged;
  for (size_t rank = 0; rank < file.merges.size(); ++rank) {
    const MergeRule& rule = file.merges[rank];
    const std::string_view left = pool.substr(rule.left, rule.left_length);
    const std::string_view right = pool.substr(rule.right, rule.right_length);
    if (right.size() < prefix_.size()) {
      return invalid_argument("model.merges[{}]: '{}' is shorter than continuing_subword_prefix", rank,
                              right);
    }
    merged.assign(left);
    merged += right.substr(prefix_.size());
    const int32_t left_id = vocabulary_.find(left);
    const int32_t right_id = vocabulary_.find(right);
    const int32_t merged_id = vocabulary_.find(merged);
    if (left_id < 0 || right_id < 0 || merged_id < 0) {
      return invalid_argument("model.merges[{}]: token '{}' is not in model.vocab", rank,
                              left_id < 0    ? left
                              : right_id < 0 ? right
                                             : std::string_view(merged));
    }
    merges_.add(left_id, right_id, {static_cast<uint32_t>(rank), merged_id});
  }
  return OkStatus();
}

void Bpe::fill_byte_tables() {
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string letter;
    append_utf8(letter, byte_letter(static_cast<uint8_t>(byte)));
    letter_ids_[byte] = vocabulary_.find(letter);
    fallback_ids_[byte] = vocabulary_.find(fallback_token(static_cast<uint8_t>(byte)));
  }
}

void Bpe::encode(std::string_view piece, bool as_bytes, std::vector<int32_t>& ids) const {
  if (piece.empty()) return;
  CachedWord* word = nullptr;
  if (piece.size() <= kCachedBytes) {
    word = &cached_word(serial_, piece);
    if (word->serial == serial_ && std::string_view(word->text.data(), word->length) == piece) {
      ids.insert(ids.end(), word->ids.begin(), word->ids.begin() + word->count);
      return;
    }
  }
  const size_t before = ids.size();
  encode_uncached(piece, as_bytes, ids);
  const size_t count = ids.size() - before;
  if (word == nullptr || count > kCachedIds) return;
  word->serial = serial_;
  word->length = static_cast<uint8_t>(piece.size());
  word->count = static_cast<uint8_t>(count);
  std::copy(piece.begin(), piece.end(), word->text.begin());
  std::copy(ids.end() - static_cast<ptrdiff_t>(count), ids.end(), word->ids.begin());
}

void Bpe::encode_uncached(std::string_view piece, bool as_bytes, std::vector<int32_t>& ids) const {
  std::string letters;
  const auto spell = [&] {
    if (as_bytes && letters.empty()) append_byte_letters(letters, piece);
    return as_bytes ? std::string_view(letters) : piece;
  };
  if (ignore_merges_) {
    const int32_t whole = vocabulary_.find(spell());
    if (whole >= 0) {
      ids.push_back(whole);
      return;
    }
  }
  thread_local std::vector<int32_t> symbols;
  symbols.clear();
  if (!as_bytes || !byte_symbols(piece, symbols)) {
    symbols.clear();
    text_symbols(spell(), symbols);
  }
  if (symbols.size() <= kShortPiece)
    merge_short(symbols);
  else
    merge_long(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
  if (symbols.capacity() > (1u << 16))
    std::vector<int32_t>().swap(symbols);  // one long text must not stay in memory
}

// One symbol a byte; false where that needs the rules of text_symbols.
bool Bpe::byte_symbols(std::string_view piece, std::vector<int32_t>& symbols) const {
  if (!prefix_.empty() || !suffix_.empty()) return false;
  symbols.reserve(piece.size());
  for (const char byte : piece) {
    const int32_t id = letter_ids_[static_cast<uint8_t>(byte)];
    if (id < 0) return false;
    symbols.push_back(id);
  }
  return true;
}

void Bpe::text_symbols(std::string_view piece, std::vector<int32_t>& symbols) const {
  bool pending_unknown = false;  // with fuse_unk, a run of unknown characters is one token
  std::string spelled;
  for (size_t at = 0; at < piece.size();) {
    const size_t length = utf8_length(piece[at]);
    const std::string_view character = piece.substr(at, length);
    const bool last = at + length >= piece.size();
    spelled.clear();
    if (at > 0) spelled = prefix_;
    spelled += character;
    if (last) spelled += suffix_;
    at += length;

    if (const int32_t id = vocabulary_.find(spelled); id >= 0) {
      symbols.push_back(id);
      pending_unknown = false;
      continue;
    }
    const auto has_byte = [this](char byte) { return fallback_ids_[static_cast<uint8_t>(byte)] >= 0; };
    if (byte_fallback_ && std::all_of(spelled.begin(), spelled.end(), has_byte)) {
      for (const char byte : spelled) symbols.push_back(fallback_ids_[static_cast<uint8_t>(byte)]);
      pending_unknown = false;
      continue;
    }
    if (unknown_ < 0 || (fuse_unknown_ && pending_unknown)) continue;
    symbols.push_back(unknown_);
    pending_unknown = true;
  }
}

void Bpe::merge_short(std::vector<int32_t>& symbols) const {
  MergeTable::Merge merges[kShortPiece];  // of symbols i and i + 1
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = merges_.find(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == MergeTable::kNoRank) break;
    symbols[best] = merges[best].id;
    for (size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      merges[i] = merges[i + 1];
    }
    --count;
    if (best + 1 < count) merges[best] = merges_.find(symbols[best], symbols[best + 1]);
    if (best > 0) merges[best - 1] = merges_.find(symbols[best - 1], symbols[best]);
  }
  symbols.resize(count);
}

void Bpe::merge_long(std::vector<int32_t>& symbols) const {
  const auto count = static_cast<int32_t>(symbols.size());
  std::vector<int32_t> before(symbols.size()), after(symbols.size());
  for (int32_t i = 0; i < count; ++i) {
    before[static_cast<size_t>(i)] = i - 1;
    after[static_cast<size_t>(i)] = i + 1 < count ? i + 1 : -1;
  }
  const auto merge_at = [&](int32_t left) {
    const int32_t right = after[static_cast<size_t>(left)];
    if (right < 0) return MergeTable::Merge{};
    return merges_.find(symbols[static_cast<size_t>(left)], symbols[static_cast<size_t>(right)]);
  };
  // Rank in the high half, position in the low: the lowest rank first, then the leftmost.
  std::vector<uint64_t> candidates;
  const auto candidate = [](uint32_t rank, int32_t at) {
    return uint64_t{rank} << 32 | static_cast<uint32_t>(at);
  };
  for (int32_t i = 0; i + 1 < count; ++i) {
    const MergeTable::Merge merge = merge_at(i);
    if (merge.rank != MergeTable::kNoRank) candidates.push_back(candidate(merge.rank, i));
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> queue(std::greater<>(),
                                                                             std::move(candidates));
  constexpr int32_t kGone = -2;  // merged into the symbol before; no rule has it
  while (!queue.empty()) {
    const auto rank = static_cast<uint32_t>(queue.top() >> 32);
    const auto at = static_cast<int32_t>(queue.top() & UINT32_MAX);
    queue.pop();
    if (symbols[static_cast<size_t>(at)] == kGone) continue;
    const MergeTable::Merge merge = merge_at(at);
    if (merge.rank != rank) continue;  // the pair has changed since
    const int32_t gone = after[static_cast<size_t>(at)];
    const int32_t next = after[static_cast<size_t>(gone)];
    symbols[static_cast<size_t>(at)] = merge.id;
    symbols[static_cast<size_t>(gone)] = kGone;
    after[static_cast<size_t>(at)] = next;
    if (next >= 0) {
      before[static_cast<size_t>(next)] = at;
      const MergeTable::Merge with_next = merge_at(at);
      if (with_next.rank != MergeTable::kNoRank) queue.push(candidate(with_next.rank, at));
    }
    const int32_t previous = before[static_cast<size_t>(at)];
    if (previous >= 0) {
      const MergeTable::Merge with_previous = merge_at(previous);
      if (with_previous.rank != MergeTable::kNoRank) queue.push(candidate(with_previous.rank, previous));
    }
  }
  symbols.erase(std::remove(symbols.begin(), symbols.end(), kGone), symbols.end());
}

}  // namespace hadal::tok
