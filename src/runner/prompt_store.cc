#include "runner/prompt_store.h"

namespace hadal {

StatusOr<PromptStore> PromptStore::create(Device& device, int64_t ids) {
  PromptStore store;
  store.size_ = ids;
  if (ids > 0) {
    ASSIGN_OR_RETURN(store.ring_, device.allocate(static_cast<uint64_t>(ids) * sizeof(int32_t)));
  }
  return store;
}

void PromptStore::begin_step() {
  ++step_;
  while (!order_.empty() && entries_.at(order_.back()).pending) {
    head_ = entries_.at(order_.back()).first;
    entries_.erase(order_.back());
    order_.pop_back();
  }
}

void PromptStore::sent() {
  for (auto key = order_.rbegin(); key != order_.rend() && entries_.at(*key).pending; ++key)
    entries_.at(*key).pending = false;
}

bool PromptStore::keep(const SharedIds& prompt) {
  const auto found = entries_.find(prompt.get());
  if (found == entries_.end()) return false;
  found->second.used = step_;
  return true;
}

std::optional<PromptStore::Place> PromptStore::place(const SharedIds& prompt) {
  if (keep(prompt)) return Place{ring_.as<int32_t>() + entries_.at(prompt.get()).first, false};
  const int64_t count = extent(*prompt);
  if (!make_room(count)) return std::nullopt;
  entries_.emplace(prompt.get(), Entry{.prompt = prompt, .first = head_, .used = step_, .pending = true});
  order_.push_back(prompt.get());
  int32_t* const ids = ring_.as<int32_t>() + head_;
  head_ += count;
  return Place{ids, true};
}

/// [head_, head_ + count) free, from the ring's beginning on where its end is too near. False, and the
/// oldest that were in the way may be gone, if something that this step uses lies there.
bool PromptStore::make_room(int64_t count) {
  if (count > size_) return false;
  const auto oldest = [this]() -> const Entry& { return entries_.at(order_.front()); };
  const auto clear = [&](int64_t first, int64_t end) {
    while (!order_.empty() && oldest().first < end && end_of(oldest()) > first) {
      if (oldest().used == step_) return false;
      forget_oldest();
    }
    return true;
  };
  if (head_ + count > size_) {
    if (!clear(head_, size_)) return false;
    head_ = 0;
  }
  return clear(head_, head_ + count);
}

void PromptStore::forget_oldest() {
  entries_.erase(order_.front());
  order_.pop_front();
}

}  // namespace hadal
