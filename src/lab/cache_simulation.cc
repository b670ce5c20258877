#include "lab/cache_simulation.h"

#include <limits>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/check.h"

namespace hadal {
namespace {

using Prompt = std::vector<int32_t>;

Status check_capacity(const BlockTrace& trace, int32_t capacity) {
  if (capacity >= trace.longest) return OkStatus();
  return invalid_argument("a cache of {} blocks cannot hold the longest prompt, which has {}", capacity,
                          trace.longest);
}

/// Blocks at the front of the prompt for which `cached` says yes.
template <typename Cached>
size_t leading_hits(const Prompt& prompt, const Cached& cached) {
  size_t count = 0;
  while (count < prompt.size() && cached(prompt[count])) ++count;
  return count;
}

/// A cache of numbered places: what the server's pool is, less reference counts.
class SimulatedCache {
 public:
  SimulatedCache(const BlockTrace& trace, int32_t capacity, uint64_t bonus)
      : place_of_(static_cast<size_t>(trace.distinct), kNullBlock),
        content_(static_cast<size_t>(capacity) + 1),
        use_(static_cast<size_t>(capacity) + 1),
        queue_(bonus) {}

  void serve(const Prompt& prompt, CacheHits& hits) {
    const size_t leading = leading_hits(prompt, [&](int32_t id) { return place(id) != kNullBlock; });
    hits.hits += static_cast<int64_t>(leading);
    hold(prompt, leading);
    fill(prompt, leading, hits);
    release(prompt);
  }

 private:
  BlockId& place(int32_t id) { return place_of_[static_cast<size_t>(id)]; }
  BlockUse& use(int32_t id) { return use_[static_cast<size_t>(place(id))]; }

  /// Everything of the prompt that is there leaves the queue. Behind the first miss it is no hit: it is
  /// computed again.
  void hold(const Prompt& prompt, size_t leading) {
    for (size_t i = 0; i < prompt.size(); ++i) {
      if (place(prompt[i]) == kNullBlock) continue;
      queue_.remove(place(prompt[i]));
      if (i < leading) {
        ++use(prompt[i]).hits;
      } else {
        use(prompt[i]) = {};
      }
    }
  }

  void fill(const Prompt& prompt, size_t leading, CacheHits& hits) {
    for (size_t i = leading; i < prompt.size(); ++i) {
      if (place(prompt[i]) != kNullBlock) continue;
      place(prompt[i]) = take(hits);
      content_[static_cast<size_t>(place(prompt[i]))] = prompt[i];
      use(prompt[i]) = {};
    }
  }

  BlockId take(CacheHits& hits) {
    if (used_ + 1 < static_cast<BlockId>(content_.size())) return ++used_;
    const BlockId worst = queue_.worst();
    queue_.remove(worst);
    place(content_[static_cast<size_t>(worst)]) = kNullBlock;
    ++hits.evictions;
    return worst;
  }

  void release(const Prompt& prompt) {
    for (size_t i = prompt.size(); i-- > 0;) {
      BlockUse& record = use(prompt[i]);
      record.last_use = ++clock_;
      record.depth = static_cast<int32_t>(i);
      queue_.add(place(prompt[i]), record);
    }
  }

  std::vector<BlockId> place_of_;  // by id; kNullBlock: not cached
  std::vector<int32_t> content_;   // by place
  std::vector<BlockUse> use_;      // by place
  EvictionQueue queue_;
  BlockId used_ = kNullBlock;
  uint64_t clock_ = 0;
};

/// For every prompt and block the number of the next prompt with that block.
std::vector<std::vector<int32_t>> next_uses(const BlockTrace& trace) {
  constexpr int32_t kNever = std::numeric_limits<int32_t>::max();
  std::vector<int32_t> upcoming(static_cast<size_t>(trace.distinct), kNever);
  std::vector<std::vector<int32_t>> next(trace.prompts.size());
  for (size_t number = trace.prompts.size(); number-- > 0;) {
    for (const int32_t id : trace.prompts[number]) {
      next[number].push_back(std::exchange(upcoming[static_cast<size_t>(id)], static_cast<int32_t>(number)));
    }
  }
  return next;
}

}  // namespace

StatusOr<BlockTrace> block_trace(const Trace& trace, const BlockTraceOptions& options) {
  BlockTrace blocks;
  std::unordered_map<int64_t, int32_t> numbers;
  int64_t index = 0;
  for (const TraceRequest& request : trace.requests) {
    if (index++ < options.skip || request.hash_ids.empty()) continue;
    if (options.limit > 0 && index - 1 - options.skip >= options.limit) break;
    Prompt prompt;
    for (const int64_t id : request.hash_ids) {
      if (options.max_blocks > 0 && static_cast<int32_t>(prompt.size()) >= options.max_blocks) break;
      prompt.push_back(numbers.try_emplace(id, static_cast<int32_t>(numbers.size())).first->second);
    }
    blocks.blocks += static_cast<int64_t>(prompt.size());
    blocks.longest = std::max(blocks.longest, static_cast<int32_t>(prompt.size()));
    blocks.prompts.push_back(std::move(prompt));
  }
  blocks.distinct = static_cast<int32_t>(numbers.size());
  if (blocks.blocks == 0) {
    return invalid_argument(
        "no request of the trace has hash_ids; a cache needs to know which blocks are equal");
  }
  return blocks;
}

StatusOr<CacheHits> simulate_cache(const BlockTrace& trace, int32_t capacity, uint64_t bonus) {
  RETURN_IF_ERROR(check_capacity(trace, capacity));
  SimulatedCache cache(trace, capacity, bonus);
  CacheHits hits;
  for (const Prompt& prompt : trace.prompts) cache.serve(prompt, hits);
  return hits;
}

StatusOr<CacheHits> simulate_oracle(const BlockTrace& trace, int32_t capacity) {
  RETURN_IF_ERROR(check_capacity(trace, capacity));
  using Future =
      std::pair<std::pair<int32_t, size_t>, int32_t>;  // next use, depth, block: the greatest goes first
  std::set<Future> order;
  std::unordered_map<int32_t, Future> cached;
  const auto next = next_uses(trace);
  CacheHits hits;
  for (size_t number = 0; number < trace.prompts.size(); ++number) {
    const Prompt& prompt = trace.prompts[number];
    hits.hits += static_cast<int64_t>(leading_hits(prompt, [&](int32_t id) { return cached.count(id) > 0; }));
    for (const int32_t id : prompt) {
      if (const auto found = cached.find(id); found != cached.end()) {
        order.erase(found->second);
        cached.erase(found);
      }
    }
    while (cached.size() + prompt.size() > static_cast<size_t>(capacity)) {
      CHECK(!order.empty());
      cached.erase(std::prev(order.end())->second);
      order.erase(std::prev(order.end()));
      ++hits.evictions;
    }
    for (size_t i = 0; i < prompt.size(); ++i) {
      const Future future{{next[number][i], i}, prompt[i]};
      cached.emplace(prompt[i], future);
      order.insert(future);
    }
  }
  return hits;
}

CacheHits simulate_unlimited(const BlockTrace& trace) {
  std::vector<bool> seen(static_cast<size_t>(trace.distinct), false);
  CacheHits hits;
  for (const Prompt& prompt : trace.prompts) {
    hits.hits +=
        static_cast<int64_t>(leading_hits(prompt, [&](int32_t id) { return seen[static_cast<size_t>(id)]; }));
    for (const int32_t id : prompt) seen[static_cast<size_t>(id)] = true;
  }
  return hits;
}

}  // namespace hadal
