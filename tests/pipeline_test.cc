// Two steps in flight through the engine and the runner that serve uses: a full batch of requests that join,
// end and are cancelled at random, with penalties, seeds, stop strings and several choices, gives each
// request the tokens and the text that it gets alone with one step in flight.
//
// On the checkpoints of tests/data/checkpoints ($HADAL_SOURCE_DIR, default where this was compiled), in
// float32 and bfloat16. $HADAL_TEST_DEVICE is the device under test: by default the CPU, for the pipeline
// behind device/testing/deferred_backend.h, which runs nothing before it must; with cuda (batch-invariant,
// and with graphs), libhadal_cuda.so must lie beside the binary.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>

#include "device/testing/deferred_backend.h"
#include "engine/engine_core.h"
#include "engine/test_support.h"
#include "model/config.h"
#include "runner/device_runner.h"
#include "tensor/checkpoint.h"

namespace hadal {
namespace {

using testing::RecordingSink;

constexpr int32_t kBatch = 64;
constexpr int32_t kRequests = 256;
constexpr int32_t kMaxModelLen = 96;

std::string setting(const char* name, const std::string& otherwise) {
  const char* set = std::getenv(name);
  return set != nullptr && *set != '\0' ? set : otherwise;
}

std::string device_under_test() { return setting("HADAL_TEST_DEVICE", "cpu"); }

enum class Depth : uint8_t { kOne, kTwo };

/// A CPU has two steps in flight only behind the stand-in for a GPU.
std::shared_ptr<Device> open_device(Depth depth) {
  const std::string name = device_under_test();
  const bool stand_in = depth == Depth::kTwo && (name == "cpu" || name == "ref");
  auto device = stand_in ? Device::open(testing::deferred_backend(name), {.threads = 2})
                         : Device::open(name, {.threads = 2, .batch_invariant = true});
  EXPECT_TRUE(device.ok()) << device.status();
  return device.ok() ? *device : nullptr;
}

struct Case {
  std::string checkpoint;
  DType compute = DType::kF32;
  int32_t num_blocks = 0;
};

void PrintTo(const Case& value, std::ostream* out) { *out << value.checkpoint; }

/// What came of all choices of a request.
struct Outcome {
  std::vector<RecordingSink::Choice> choices;
};

class Pipeline : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const std::string folder =
        setting("HADAL_SOURCE_DIR", HADAL_SOURCE_DIR) + "/tests/data/checkpoints/" + GetParam().checkpoint;
    auto config = load_model_config(folder);
    ASSERT_TRUE(config.ok()) << config.status();
    config_ = std::move(*config);
    auto checkpoint = Checkpoint::open(folder);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    checkpoint_ = std::move(*checkpoint);
  }

  std::unique_ptr<EngineCore> make(const std::shared_ptr<Device>& device, Depth depth, int32_t num_blocks) {
    DeviceRunnerOptions options;
    options.block_tokens = 4;
    options.num_blocks = num_blocks;
    options.max_rows = 2 * kBatch;
    options.steps_in_flight = depth == Depth::kOne ? 1 : 2;
    options.model.compute = GetParam().compute;
    options.model.cache = GetParam().compute;
    options.model.max_tokens = 96;
    options.model.max_model_len = kMaxModelLen;
    auto runner = make_device_runner(config_, checkpoint_, device, options);
    EXPECT_TRUE(runner.ok()) << runner.status();
    if (!runner.ok()) return nullptr;
    EXPECT_EQ((*runner)->info().steps_in_flight, options.steps_in_flight);
    const EngineOptions engine{.max_num_seqs = kBatch, .max_num_batched_tokens = 96, .exact = true};
    auto core =
        EngineCore::create(engine, std::move(*runner), testing::toy_factory(), nullptr, Clock::real());
    EXPECT_TRUE(core.ok()) << core.status();
    return core.ok() ? std::move(*core) : nullptr;
  }

  /// The same request whenever it is asked for.
  EngineRequest request_of(int32_t index) const {
    std::mt19937 random(static_cast<uint32_t>(index) * 2654435761u + 1);
    const auto pick = [&](int32_t least, int32_t most) {
      return least + static_cast<int32_t>(random() % static_cast<uint32_t>(most - least + 1));
    };
    EngineRequest request;
    for (int32_t left = pick(1, 40); left > 0; --left)
      request.prompt_ids.push_back(pick(0, config_.vocab - 1));
    SamplingParams& sampling = request.sampling;
    sampling.temperature = index % 3 == 0 ? 0.0f : 1.3f;
    sampling.seed = static_cast<uint64_t>(index) + 1000;
    if (index % 2 == 0) {
      sampling.presence_penalty = 0.7f;
      sampling.frequency_penalty = 0.4f;
      sampling.repetition_penalty = 1.3f;
    }
    if (index % 5 == 0) sampling.top_k = 20;
    if (index % 7 == 0) sampling.logit_bias = {{pick(0, config_.vocab - 1), 2.0f}};
    if (index % 11 == 0) sampling.logprobs = 3;
    request.stop.max_tokens = pick(1, 56);
    if (index % 4 == 0)
      request.stop.stop_token_ids = {pick(0, config_.vocab - 1), pick(0, config_.vocab - 1)};
    if (index % 4 == 1) request.stop.stop = {"e", std::string{static_cast<char>('a' + pick(0, 25)), 'b'}};
    if (index % 6 == 1) request.stop.min_tokens = std::min(request.stop.max_tokens, 5);
    request.num_choices = index % 13 == 2 ? 3 : 1;
    return request;
  }

  static Outcome outcome_of(const RecordingSink& sink, int32_t choices) {
    Outcome outcome;
    for (int32_t i = 0; i < choices; ++i) outcome.choices.push_back(sink.choice(i));
    return outcome;
  }

  std::shared_ptr<RecordingSink> add(EngineCore& core, int32_t index) {
    auto sink = std::make_shared<RecordingSink>();
    EngineRequest request = request_of(index);
    request.sink = sink;
    const Status good = core.check(request);
    EXPECT_TRUE(good.ok()) << good;
    core.add({static_cast<RequestId>(index + 1), std::move(request), {}, kDefaultTenant});
    return sink;
  }

  std::vector<Outcome> alone() {
    std::vector<Outcome> outcomes;
    const auto core = make(open_device(Depth::kOne), Depth::kOne, 400);
    for (int32_t index = 0; core != nullptr && index < kRequests; ++index) {
      core->reset_prefix_cache();
      const auto sink = add(*core, index);
      while (core->has_work()) core->turn();
      EXPECT_TRUE(core->health().ok()) << core->health();
      outcomes.push_back(outcome_of(*sink, request_of(index).num_choices));
    }
    return outcomes;
  }

  struct Together {
    std::vector<Outcome> outcomes;
    std::vector<bool> cancelled;
    int32_t most_at_once = 0;
    EngineStats stats;
  };
  /// Joining a few at a time, so that the batch is full most of the time; one in six is cancelled some time.
  Together together(const std::shared_ptr<Device>& device) {
    Together all;
    all.cancelled.resize(kRequests);
    const auto core = make(device, Depth::kTwo, GetParam().num_blocks);
    if (core == nullptr) return all;
    std::mt19937 random(5);
    std::vector<std::shared_ptr<RecordingSink>> sinks;
    std::vector<int32_t> doomed;
    const auto unfinished = [&] { return core->requests(); };
    while (core->has_work() || sinks.size() < kRequests) {
      for (auto join = random() % 16; join > 0 && sinks.size() < kRequests && unfinished() < kBatch + 8;
           --join) {
        const auto index = static_cast<int32_t>(sinks.size());
        sinks.push_back(add(*core, index));
        if (random() % 6 == 0) doomed.push_back(index);
      }
      if (!doomed.empty() && random() % 4 == 0) {
        const int32_t index = doomed.back();
        doomed.pop_back();
        const auto& sink = *sinks[static_cast<size_t>(index)];
        all.cancelled[static_cast<size_t>(index)] = sink.finished() < request_of(index).num_choices;
        core->cancel(static_cast<RequestId>(index + 1));
      }
      core->turn();
      all.most_at_once = std::max(all.most_at_once, static_cast<int32_t>(core->stats().running));
    }
    EXPECT_TRUE(core->health().ok()) << core->health();
    const CacheAccounts accounts = core->cache_accounts();
    EXPECT_EQ(accounts.free + accounts.cached, accounts.total) << "blocks are left";
    for (int32_t index = 0; index < kRequests; ++index)
      all.outcomes.push_back(outcome_of(*sinks[static_cast<size_t>(index)], request_of(index).num_choices));
    all.stats = core->stats();
    return all;
  }

  ModelConfig config_;
  std::shared_ptr<const Checkpoint> checkpoint_;
};

/// `cut`: the request was cancelled, what came is the beginning.
void expect_same(const RecordingSink::Choice& together, const RecordingSink::Choice& alone, bool cut) {
  if (cut && together.finish == FinishReason::kAbort) {
    ASSERT_LE(together.ids.size(), alone.ids.size());
    EXPECT_TRUE(std::equal(together.ids.begin(), together.ids.end(), alone.ids.begin()));
    return;
  }
  EXPECT_EQ(together.ids, alone.ids);
  EXPECT_EQ(together.text, alone.text);
  EXPECT_EQ(together.finish, alone.finish);
  EXPECT_EQ(together.stop_reason, alone.stop_reason);
  for (size_t i = 0; i < std::min(together.tokens.size(), alone.tokens.size()); ++i)
    EXPECT_EQ(together.tokens[i].logprob, alone.tokens[i].logprob) << "token " << i;
}

TEST_P(Pipeline, GivesEachRequestWhatItGetsAlone) {
  const std::vector<Outcome> expected = alone();
  ASSERT_EQ(expected.size(), static_cast<size_t>(kRequests));
  const auto device = open_device(Depth::kTwo);
  ASSERT_NE(device, nullptr);
  const Together all = together(device);
  ASSERT_EQ(all.outcomes.size(), static_cast<size_t>(kRequests));
  std::map<FinishReason, int32_t> ends;
  for (int32_t index = 0; index < kRequests; ++index) {
    const auto at = static_cast<size_t>(index);
    for (size_t choice = 0; choice < expected[at].choices.size(); ++choice) {
      SCOPED_TRACE(fmt::format("request {}, choice {}", index, choice));
      expect_same(all.outcomes[at].choices[choice], expected[at].choices[choice], all.cancelled[at]);
      ++ends[all.outcomes[at].choices[choice].finish];
    }
  }
  // else it would have compared little
  EXPECT_GE(ends[FinishReason::kStop], 10);
  EXPECT_GE(ends[FinishReason::kLength], 50);
  EXPECT_GE(ends[FinishReason::kAbort], 5);
  EXPECT_EQ(ends[FinishReason::kError] + ends[FinishReason::kNone], 0);
  if (GetParam().num_blocks < 1000) {
    EXPECT_GT(all.stats.preemptions, 0);
  } else {
    EXPECT_GE(all.most_at_once, kBatch - 4);
  }
  if (device->backend_name() == "deferred") {
    EXPECT_THAT(testing::deferred_report(*device).violations, ::testing::IsEmpty());
    EXPECT_GT(testing::deferred_report(*device).replays, 5) << "graphs were captured for nothing";
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Pipeline,
                         ::testing::Values(Case{"v2-lite", DType::kF32, 1600},
                                           Case{"v2-lite", DType::kBF16, 300}, Case{"v3", DType::kF32, 300},
                                           Case{"qwen2-window", DType::kF32, 300},
                                           Case{"llama-linear", DType::kBF16, 1600}),
                         [](const auto& test) {
                           std::string name = test.param.checkpoint +
                                              (test.param.compute == DType::kF32 ? "_f32" : "_bf16") +
                                              (test.param.num_blocks < 1000 ? "_preempted" : "");
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hadal
