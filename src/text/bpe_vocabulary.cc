#include "text/bpe_vocabulary.h"

#include <algorithm>

namespace hadal::tok {

StatusOr<Vocabulary> Vocabulary::create(std::string pool, const std::vector<Entry>& entries) {
  Vocabulary result;
  result.pool_ = std::move(pool);
  const auto text_of = [&](const Entry& entry) {
    return std::string_view(result.pool_).substr(entry.offset, entry.length);
  };
  const int64_t highest = static_cast<int64_t>(entries.size()) * 16 + 65535;
  int32_t limit = 0;
  for (const Entry& entry : entries) {
    if (entry.id < 0 || entry.id > highest) {
      return invalid_argument("model.vocab: token '{}' has id {}, outside [0, {}] for {} tokens",
                              text_of(entry), entry.id, highest, entries.size());
    }
    limit = std::max(limit, entry.id + 1);
  }
  size_t slots = 16;
  while (slots < entries.size() * 2) slots *= 2;
  result.table_.assign(slots, -1);
  result.spans_.resize(static_cast<size_t>(limit));
  for (const Entry& entry : entries) {
    const std::string_view text = text_of(entry);
    Span& span = result.spans_[static_cast<size_t>(entry.id)];
    if (span.length != kAbsent) {
      return invalid_argument("model.vocab: tokens '{}' and '{}' have the same id {}", result.text(entry.id),
                              text, entry.id);
    }
    const size_t slot = result.slot_of(text);
    if (result.table_[slot] >= 0) {
      return invalid_argument("model.vocab: token '{}' is there twice, with ids {} and {}", text,
                              result.table_[slot], entry.id);
    }
    span = {entry.offset, entry.length};
    result.table_[slot] = entry.id;
  }
  result.size_ = entries.size();
  return result;
}

size_t Vocabulary::slot_of(std::string_view wanted) const {
  const size_t mask = table_.size() - 1;
  size_t slot = hash_bytes(wanted) & mask;
  while (table_[slot] >= 0 && text(table_[slot]) != wanted) slot = (slot + 1) & mask;
  return slot;
}

int32_t Vocabulary::find(std::string_view text) const { return table_.empty() ? -1 : table_[slot_of(text)]; }

std::string_view Vocabulary::text(int32_t id) const {
  if (!contains(id)) return {};
  const Span& span = spans_[static_cast<size_t>(id)];
  return std::string_view(pool_).substr(span.offset, span.length);
}

}  // namespace hadal::tok
