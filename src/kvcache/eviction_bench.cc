// The order of eviction at the size of a large cache: what a block costs that is released, hit or evicted.
#include <benchmark/benchmark.h>

#include <random>

#include "kvcache/eviction.h"

namespace hadal {
namespace {

struct Filled {
  explicit Filled(int32_t count) : queue(default_reuse_bonus(count)) {
    for (BlockId block = 1; block <= count; ++block) queue.add(block, next());
  }
  BlockUse next() {
    ++clock;
    return {.last_use = clock,
            .hits = static_cast<uint32_t>(random() % 4 == 0 ? random() % 8 : 0),
            .depth = static_cast<int32_t>(random() % 64)};
  }
  EvictionQueue queue;
  std::minstd_rand random{7};
  uint64_t clock = 0;
};

/// The worst block is evicted and comes back as one used just now: a full cache under new prompts.
void evict_and_add(benchmark::State& state) {
  Filled filled(static_cast<int32_t>(state.range(0)));
  for (auto _ : state) {
    const BlockId block = filled.queue.worst();
    filled.queue.remove(block);
    filled.queue.add(block, filled.next());
  }
}
BENCHMARK(evict_and_add)->Arg(1000)->Arg(100'000)->Arg(1'000'000);

/// Any block is hit, held and released again.
void hit_and_release(benchmark::State& state) {
  const auto count = static_cast<int32_t>(state.range(0));
  Filled filled(count);
  for (auto _ : state) {
    const auto block = static_cast<BlockId>(1 + filled.random() % static_cast<uint32_t>(count));
    filled.queue.remove(block);
    filled.queue.add(block, filled.next());
  }
}
BENCHMARK(hit_and_release)->Arg(1000)->Arg(100'000)->Arg(1'000'000);

}  // namespace
}  // namespace hadal
