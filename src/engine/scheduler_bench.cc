// The scheduler's own time in a step: plan and commit. Beside it, as counters: what the engine does for the
// cache when the step has been collected (`after_us`: naming the new tokens, publishing complete blocks), and
// the share of a decode step of V2-Lite on an H200 at 256 sequences, 13.59 ms (`of_step`, in percent).
//
// The sequences go on as in the engine: each step makes a token for each of them. `churn` ends one sequence a
// step, whose place the first of those that wait takes: a prompt of 256 tokens is looked up and computed.
#include <benchmark/benchmark.h>

#include <ctime>
#include <deque>
#include <optional>

#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/step_builder.h"

namespace hadal {
namespace {

constexpr int32_t kSteps = 256;  // tokens that a sequence may grow by until the house is built anew
constexpr int32_t kWaitingPrompt = 256;
constexpr double kStepSeconds = 13.59e-3;

struct Load {
  int32_t running = 256, length = 1024, tenants = 1, waiting = 0;
  bool churn = false;
};

class House {
 public:
  explicit House(const Load& load)
      : load_(load),
        cache_(*KvCache::create({{"mla", 64, load.running * ((load.length + kSteps) / 64 + 2) + 1, 0}})),
        limits_(static_cast<size_t>(load.tenants)) {
    for (int32_t t = 0; t < load.tenants; ++t) {
      lists_.add_tenant();
      fair_.add_tenant(1.0);
      cache_.add_account({AccountLimits{}});
      fair_.arrive(t);
    }
    std::vector<CacheCopy> copies;
    for (int32_t i = 0; i < load.running; ++i) {
      Sequence& one = add(load.length);
      one.computed = one.charged = load.length;
      one.has_run = true;
      cache_.extend(one.blocks, 0, load.length, 0, &copies);
      lists_.run(&one);
      one.output = {1};
      cache_.append(one.chain, 1);
      cache_.publish(one.blocks, one.chain, one.computed);
    }
    for (int32_t i = 0; i < load.waiting; ++i) lists_.wait(&add(kWaitingPrompt));
  }

  CommittedStep step(StepId id) {
    const StepBudget budget{
        .max_tokens = 2048, .max_rows = 2 * load_.running, .max_sequences = load_.running};
    const StepDecision decision =
        plan(plan_state(lists_, fair_, limits_, cache_, load_.running), budget, MonotonicTime{});
    return *commit(decision, id, lists_, fair_, cache_);
  }

  void after(const CommittedStep& step, StepId id) {
    cache_.retire(id);
    for (const CommittedStep::Part& part : step.parts) {
      Sequence& one = sequences_[part.sequence - 1];
      one.computed += part.tokens;
      cache_.publish(one.blocks, one.chain, one.computed);
      if (one.computed < one.known()) continue;
      one.output.push_back(static_cast<int32_t>(id % 1000));
      cache_.append(one.chain, one.output.back());
    }
  }

  /// One of those that run ends, and another comes.
  void turn_over() {
    Sequence& ends = *lists_.running().front();
    cache_.release(ends.blocks);
    lists_.finish(&ends);
    lists_.wait(&add(kWaitingPrompt));
  }

 private:
  Sequence& add(int32_t prompt) {
    Sequence& one = sequences_.emplace_back();
    one.id = sequences_.size();
    one.order = {0, one.id, 0};
    one.tenant = static_cast<TenantId>(one.id % static_cast<uint64_t>(load_.tenants));
    std::vector<int32_t> ids(static_cast<size_t>(prompt));
    for (size_t i = 0; i < ids.size(); ++i)
      ids[i] = static_cast<int32_t>((one.id * 7919 + i * (one.id % 89 + 1)) % 100000);
    one.prompt = std::make_shared<const std::vector<int32_t>>(std::move(ids));
    one.sampling = sampling_;
    one.blocks = cache_.new_sequence(account_of_tenant(one.tenant));
    one.chain = cache_.new_chain(*one.prompt, "", 0);
    return one;
  }

  const Load load_;
  KvCache cache_;
  SequenceLists lists_;
  FairClock fair_;
  std::vector<TenantLimits> limits_;
  std::deque<Sequence> sequences_;
  std::shared_ptr<const SamplingParams> sampling_ = std::make_shared<const SamplingParams>();
};

/// Of the processor, so that a busy machine's other work is not in it.
double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void plan_and_commit(benchmark::State& state, const Load& load) {
  std::optional<House> house;
  StepId id = 0;
  double scheduling = 0, after = 0;
  for (auto _ : state) {
    if (id % kSteps == 0) house.emplace(load);
    const double begin = thread_seconds();
    const CommittedStep step = house->step(++id);
    const double middle = thread_seconds();
    house->after(step, id);
    const double end = thread_seconds();
    if (load.churn) house->turn_over();
    state.SetIterationTime(middle - begin);
    scheduling += middle - begin;
    after += end - middle;
  }
  const auto steps = static_cast<double>(state.iterations());
  state.counters["after_us"] = 1e6 * after / steps;
  state.counters["of_step"] = 100 * scheduling / steps / kStepSeconds;
}

#define SCHEDULER_BENCH(name, ...) \
  BENCHMARK_CAPTURE(plan_and_commit, name, Load{__VA_ARGS__})->UseManualTime()->Unit(benchmark::kMicrosecond)

SCHEDULER_BENCH(sequences_256, .length = 1024);
SCHEDULER_BENCH(sequences_256_of_8192, .length = 8192);
SCHEDULER_BENCH(sequences_64, .running = 64);
SCHEDULER_BENCH(two_tenants, .tenants = 2);
SCHEDULER_BENCH(two_tenants_1000_wait, .tenants = 2, .waiting = 1000);
SCHEDULER_BENCH(two_tenants_20000_wait, .tenants = 2, .waiting = 20000);
SCHEDULER_BENCH(two_tenants_1000_wait_churn, .tenants = 2, .waiting = 1000, .churn = true);
SCHEDULER_BENCH(two_tenants_1000_wait_churn_of_8192, .length = 8192, .tenants = 2, .waiting = 1000,
                .churn = true);

}  // namespace
}  // namespace hadal
