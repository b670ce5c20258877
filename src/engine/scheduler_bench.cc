// The scheduler's own time in a step: plan and commit, 256 sequences that generate.
#include <benchmark/benchmark.h>

#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/step_builder.h"

namespace hadal {
namespace {

struct House {
  explicit House(int32_t count, int32_t length)
      : cache(*KvCache::create({{"mla", 64, count * (length / 64 + 2) + 1, 0}})),
        sequences(static_cast<size_t>(count)) {
    lists.add_tenant();
    fair.add_tenant(1.0);
    cache.add_account({AccountLimits{}});
    fair.arrive(kDefaultTenant);
    const auto sampling = std::make_shared<const SamplingParams>();
    std::vector<CacheCopy> copies;
    for (size_t i = 0; i < sequences.size(); ++i) {
      Sequence& one = sequences[i];
      one.id = i + 1;
      one.order = {0, i + 1, 0};
      one.prompt = std::make_shared<const std::vector<int32_t>>(static_cast<size_t>(length), 1);
      one.output = {1};
      one.computed = length;
      one.sampling = sampling;
      one.blocks = cache.new_sequence(account_of_tenant(kDefaultTenant));
      one.chain = cache.new_chain(*one.prompt, "", 0);
      one.charged = length;
      cache.extend(one.blocks, 0, length, 0, &copies);
      lists.run(&one);
    }
  }
  KvCache cache;
  SequenceLists lists;
  FairClock fair;
  std::vector<Sequence> sequences;
};

void plan_and_commit(benchmark::State& state) {
  const auto count = static_cast<int32_t>(state.range(0));
  House house(count, static_cast<int32_t>(state.range(1)));
  const StepBudget budget{.max_tokens = 2048, .max_rows = count, .max_sequences = count, .chunk = 0};
  const std::vector<TenantLimits> limits(1);
  StepId id = 0;
  for (auto _ : state) {
    const StepDecision decision =
        plan(plan_state(house.lists, house.fair, limits, house.cache, count), budget, {});
    benchmark::DoNotOptimize(
        commit(decision, ++id, house.lists, house.fair, house.cache));  // computes the same position again
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(plan_and_commit)
    ->Args({256, 1024})
    ->Args({256, 8192})
    ->Args({64, 1024})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace hadal
