// Random workloads, replayable by seed: the engine against the slow twin of reference_model.h, step for step
// (who is preempted, who runs with how many tokens, how many blocks are in use), and every output against
// what the request gives alone. HADAL_STRESS_SEED runs one seed, HADAL_STRESS_STEPS sets how many steps are
// made in all.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "engine/reference_model.h"
#include "engine/test_support.h"

namespace hadal {
namespace {

using namespace hadal::testing;  // NOLINT
using Key = ReferenceModel::Key;

/// Notes which choices got a token or ended, in order.
class TracingSink : public RecordingSink {
 public:
  explicit TracingSink(std::vector<std::pair<int32_t, bool>>* events) : events_(events) {}
  void deliver(RequestOutput output) override {
    if (!output.tokens.empty()) events_->push_back({output.choice, false});
    if (output.finish != FinishReason::kNone) events_->push_back({output.choice, true});
    RecordingSink::deliver(std::move(output));
  }

 private:
  std::vector<std::pair<int32_t, bool>>* events_;
};

struct Live {
  std::shared_ptr<TracingSink> sink;
  std::vector<std::pair<int32_t, bool>> events;
  std::vector<int32_t> prompt;
  SamplingParams sampling;
  StopParams stop;
  int32_t choices = 1;
  bool cancelled = false;
};

class Workload {
 public:
  explicit Workload(uint64_t seed) : random_(seed) {
    info_ = toy_info(static_cast<int32_t>(10 + pick(25)), static_cast<int32_t>(1 + pick(6)));
    info_.max_model_len = 60;
    if (pick(3) == 0) {
      info_.groups.push_back({"window", static_cast<int32_t>(1 + pick(5)),
                              static_cast<int32_t>(16 + pick(30)), static_cast<int32_t>(1 + pick(12))});
    }
    options_.max_num_seqs = static_cast<int32_t>(1 + pick(8));
    options_.max_num_batched_tokens = options_.max_num_seqs + static_cast<int32_t>(pick(30));
    info_.max_rows_per_step = options_.max_num_seqs + static_cast<int32_t>(pick(3));
    if (pick(4) == 0)
      options_.chunk = 1 + static_cast<int32_t>(pick(static_cast<uint64_t>(options_.max_num_batched_tokens)));
    toy_ = std::make_unique<ToyCore>(info_, options_);
    std::vector<ReferenceModel::Group> groups;
    for (const RunnerCacheGroup& group : info_.groups) {
      groups.push_back({group.block_tokens, group.num_blocks - 1, group.window});
    }
    model_ = std::make_unique<ReferenceModel>(
        groups, ReferenceModel::Limits{options_.max_num_batched_tokens, info_.max_rows_per_step,
                                       options_.max_num_seqs, options_.chunk});
    toy_->runner->on_launch = [this](const StepPlan& plan) {
      note(plan);
      return OkStatus();
    };
  }

  /// Makes `steps` steps with arrivals and cancellations, then lets all finish. Returns the steps made.
  int run(int steps) {
    int made = 0;
    for (; made < steps && !::testing::Test::HasFailure(); ++made) {
      while (live_.size() < 14 && pick(3) == 0) arrive();
      if (!live_.empty() && pick(12) == 0)
        cancel(std::next(live_.begin(), static_cast<long>(pick(live_.size())))->first);
      turn();
    }
    for (; toy_->core->has_work() && made < steps + 20000 && !::testing::Test::HasFailure(); ++made) turn();
    EXPECT_TRUE(live_.empty());
    EXPECT_EQ(toy_->core->cache_accounts().free, toy_->core->cache_accounts().total);
    return made;
  }
  int64_t preemptions() { return toy_->core->stats().preemptions; }
  int64_t finished() const { return finished_; }

 private:
  uint64_t pick(uint64_t below) { return random_() % below; }

  void arrive() {
    Live one;
    one.prompt =
        toy_prompt(static_cast<int32_t>(1 + pick(pick(4) == 0 ? 50 : 14)), static_cast<int32_t>(pick(1000)));
    one.choices =
        pick(4) == 0 ? 1 + static_cast<int32_t>(pick(static_cast<uint64_t>(options_.max_num_seqs))) : 1;
    one.sampling.seed = random_();
    one.stop.max_tokens = static_cast<int32_t>(1 + pick(30));
    if (pick(3) == 0)
      one.stop.stop_token_ids = {static_cast<int32_t>(pick(97)), static_cast<int32_t>(pick(97))};
    if (pick(3) == 0)
      one.stop.min_tokens = static_cast<int32_t>(pick(static_cast<uint64_t>(one.stop.max_tokens) + 1));
    EngineRequest request;
    request.prompt_ids = one.prompt;
    request.sampling = one.sampling;
    request.stop = one.stop;
    request.num_choices = one.choices;
    request.return_prompt_logits = pick(10) == 0;
    const auto prompt = static_cast<int32_t>(one.prompt.size());
    const bool logits = request.return_prompt_logits;
    const RequestId id = ++next_id_;
    Live& kept = live_[id] = std::move(one);
    kept.sink = std::make_shared<TracingSink>(&kept.events);
    request.sink = kept.sink;
    if (!toy_->core->check(request).ok()) {  // more than this cache or step can hold
      live_.erase(id);
      return;
    }
    for (int32_t c = 0; c < kept.choices; ++c) key_of_[next_sequence_++] = {id, c};
    model_->arrive(id, prompt, kept.choices, logits);
    toy_->core->add({id, std::move(request), toy_->clock.now()});
  }

  void cancel(RequestId id) {
    live_[id].cancelled = true;
    toy_->core->cancel(id);
    settle();
  }

  void turn() {
    if (!toy_->core->has_work()) return;
    seen_.clear();
    launched_ = false;
    const int64_t preempted = toy_->core->stats().preemptions;
    const ReferenceModel::Step expected = model_->step();
    toy_->core->turn();
    ASSERT_TRUE(launched_) << "nothing ran";
    ASSERT_EQ(seen_, expected.tokens);
    ASSERT_EQ(toy_->core->stats().preemptions - preempted, static_cast<int64_t>(expected.preempted.size()));
    model_->apply(expected);
    settle();
    ASSERT_EQ(toy_->core->cache_accounts().held, model_->blocks_in_use());
    ASSERT_EQ(toy_->core->cache_accounts().in_flight, 0);
  }

  void note(const StepPlan& plan) {
    launched_ = true;
    for (const StepRow& row : plan.rows) {
      if (!row.tokens.empty()) seen_[key_of_.at(row.sequence)] += static_cast<int>(row.tokens.size());
    }
  }

  /// Tells the model what came out; checks what has ended.
  void settle() {
    for (auto at = live_.begin(); at != live_.end();) {
      Live& one = at->second;
      for (const auto& [choice, ended] : std::exchange(one.events, {})) {
        if (ended) {
          model_->end({at->first, choice});
        } else {
          model_->token({at->first, choice});
        }
      }
      if (one.sink->finished() < one.choices) {
        ++at;
        continue;
      }
      for (int32_t c = 0; c < one.choices; ++c) check(one, c);
      ++finished_;
      at = live_.erase(at);
    }
  }

  void check(const Live& one, int32_t choice) const {
    const RecordingSink::Choice got = one.sink->choice(choice);
    std::vector<int32_t> expected =
        expected_tokens(info_, one.prompt, one.sampling, choice, one.stop.max_tokens, one.stop.stop_token_ids,
                        one.stop.min_tokens);
    if (one.cancelled) {
      ASSERT_LE(got.ids.size(), expected.size());
      expected.resize(got.ids.size());
    } else {
      ASSERT_TRUE(got.finish == FinishReason::kStop || got.finish == FinishReason::kLength)
          << finish_reason_name(got.finish) << " " << got.error;
    }
    ASSERT_EQ(got.ids, expected);
  }

  std::mt19937_64 random_;
  RunnerInfo info_;
  EngineOptions options_;
  std::unique_ptr<ToyCore> toy_;
  std::unique_ptr<ReferenceModel> model_;
  std::map<RequestId, Live> live_;
  std::map<SequenceId, Key> key_of_;
  SequenceId next_sequence_ = 1;
  RequestId next_id_ = 0;
  std::map<Key, int> seen_;
  bool launched_ = false;
  int64_t finished_ = 0;
};

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(EngineStress, TheSameAsTheSlowTwinStepForStep) {
  const auto steps = static_cast<int64_t>(number_from("HADAL_STRESS_STEPS", 6000));
  const uint64_t only = number_from("HADAL_STRESS_SEED", 0);
  int64_t made = 0, preemptions = 0, finished = 0;
  for (uint64_t seed = only > 0 ? only : 1; made < steps && !HasFailure(); ++seed) {
    SCOPED_TRACE("replay with HADAL_STRESS_SEED=" + std::to_string(seed));
    Workload workload(seed);
    made += workload.run(60);
    preemptions += workload.preemptions();
    finished += workload.finished();
    if (only > 0) break;
  }
  std::printf("%lld steps, %lld preemptions, %lld requests\n", static_cast<long long>(made),
              static_cast<long long>(preemptions), static_cast<long long>(finished));
  if (only == 0) {
    EXPECT_GT(preemptions, 50);
  }
}

}  // namespace
}  // namespace hadal
