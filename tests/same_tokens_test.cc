// Same request, same tokens (docs/contracts/same-tokens.md), for every architecture: through scheduler,
// cache, runner and the CPU kernels, a request's log-probabilities are the same bits alone, in a batch of 32,
// in chunks, with one thread and two, with prefix hits (--exact), after preemption, and when it is resumed in
// the middle.
//
// On the checkpoints of tests/data/checkpoints (all architectures and weight formats, small).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "engine/engine_core.h"
#include "model/config.h"
#include "runner/device_runner.h"
#include "tensor/checkpoint.h"

namespace hadal {
namespace {

namespace fs = std::filesystem;

constexpr int32_t kBatch = 32;
constexpr int32_t kOutput = 12;

std::vector<std::string> architectures() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(HADAL_SOURCE_DIR "/tests/data/checkpoints"))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// Everything that came of one choice: tokens and the log-probabilities beside each.
class Collector : public OutputSink {
 public:
  struct Made {
    std::vector<int32_t> ids;
    std::vector<float> logprobs;
    friend bool operator==(const Made&, const Made&) = default;
  };
  void deliver(RequestOutput output) override {
    EXPECT_TRUE(output.error.ok()) << output.error;
    cached_tokens = output.cached_tokens;
    for (const OutputToken& token : output.tokens) {
      Made& made = choices[output.choice];
      made.ids.push_back(token.id);
      made.logprobs.push_back(token.logprob);
      for (const TokenLogprob& other : token.top) made.logprobs.push_back(other.logprob);
    }
  }
  std::map<int32_t, Made> choices;
  int32_t cached_tokens = 0;
};

struct Way {
  DType compute = DType::kF32;
  int32_t threads = 2;
  int32_t chunk = 0;
  int32_t num_blocks = 600;
};

class SameTokens : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string folder = std::string(HADAL_SOURCE_DIR "/tests/data/checkpoints/") + GetParam();
    auto config = load_model_config(folder);
    ASSERT_TRUE(config.ok()) << config.status();
    config_ = std::move(*config);
    auto checkpoint = Checkpoint::open(folder);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    checkpoint_ = std::move(*checkpoint);
  }

  std::unique_ptr<EngineCore> make(const Way& setup) {
    DeviceRunnerOptions options;
    options.block_tokens = 4;
    options.num_blocks = setup.num_blocks;
    options.max_rows = 2 * kBatch;
    options.model.compute = setup.compute;
    options.model.cache = setup.compute;
    options.model.max_tokens = 64;
    options.model.max_model_len = 64;
    auto device = Device::open("cpu", {.threads = setup.threads});
    EXPECT_TRUE(device.ok()) << device.status();
    auto runner = make_device_runner(config_, checkpoint_, *device, options);
    EXPECT_TRUE(runner.ok()) << runner.status();
    EngineOptions engine{.max_num_seqs = kBatch, .max_num_batched_tokens = 64, .chunk = setup.chunk};
    engine.exact = true;
    auto core = EngineCore::create(engine, std::move(*runner), nullptr, nullptr, Clock::real());
    EXPECT_TRUE(core.ok()) << core.status();
    return std::move(*core);
  }

  EngineRequest request_of(int32_t index, const std::shared_ptr<Collector>& sink) const {
    EngineRequest request;
    const int32_t length = 3 + (index * 5) % 23;
    for (int32_t i = 0; i < length; ++i)
      request.prompt_ids.push_back((i * 37 + index * 11 + 3) % config_.vocab);
    request.sampling.temperature = index % 3 == 0 ? 0.0f : 1.2f;
    request.sampling.seed = static_cast<uint64_t>(index);
    request.sampling.logprobs = std::min(config_.vocab, 40);
    request.sampling.repetition_penalty = index % 2 == 0 ? 1.0f : 1.2f;
    request.stop.max_tokens = kOutput;
    request.num_choices = index == 2 ? 2 : 1;
    request.sink = sink;
    return request;
  }

  std::shared_ptr<Collector> add(EngineCore& core, EngineRequest request) {
    auto sink = std::static_pointer_cast<Collector>(request.sink);
    EXPECT_TRUE(core.check(request).ok()) << core.check(request);
    core.add({++last_id_, std::move(request), {}, kDefaultTenant});
    return sink;
  }
  std::shared_ptr<Collector> add(EngineCore& core, int32_t index) {
    return add(core, request_of(index, std::make_shared<Collector>()));
  }
  static void finish(EngineCore& core) {
    while (core.has_work()) core.turn();
    EXPECT_TRUE(core.health().ok()) << core.health();
  }

  std::vector<std::shared_ptr<Collector>> all_alone(const Way& setup) {
    std::vector<std::shared_ptr<Collector>> alone;
    const auto core = make(setup);
    for (int32_t i = 0; i < kBatch; ++i) {
      core->reset_prefix_cache();
      alone.push_back(add(*core, i));
      finish(*core);
    }
    return alone;
  }

  void expect_same_together(const Way& setup, const std::vector<std::shared_ptr<Collector>>& alone,
                            const std::string& what) {
    const auto core = make(setup);
    std::vector<std::shared_ptr<Collector>> together;
    for (int32_t i = 0; i < kBatch; ++i) together.push_back(add(*core, i));
    finish(*core);
    if (setup.num_blocks < 100) {
      EXPECT_GT(core->stats().preemptions, 0) << what;
    }
    for (size_t i = 0; i < alone.size(); ++i)
      ASSERT_TRUE(together[i]->choices == alone[i]->choices) << "request " << i << ", " << what;
  }

  ModelConfig config_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  RequestId last_id_ = 0;
};

TEST_P(SameTokens, AloneInABatchOf32InChunksWithOneThreadPreempted) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const Way base{.compute = compute};
    const auto alone = all_alone(base);
    ASSERT_EQ(alone[0]->choices[0].ids.size(), static_cast<size_t>(kOutput));
    expect_same_together(base, alone, "a batch of 32");
    expect_same_together({.compute = compute, .threads = 1}, alone, "one thread");
    expect_same_together({.compute = compute, .chunk = 7}, alone, "chunks of 7");
    expect_same_together({.compute = compute, .num_blocks = 24}, alone, "preempted");
  }
}

TEST_P(SameTokens, WithPrefixHits) {
  const auto alone = all_alone({});
  const auto core = make({});
  for (int32_t i = 0; i < kBatch; ++i) add(*core, i);
  finish(*core);
  int64_t cached = 0;
  for (int32_t i = 0; i < kBatch; ++i) {
    const auto again = add(*core, i);
    finish(*core);
    cached += again->cached_tokens;
    ASSERT_TRUE(again->choices == alone[static_cast<size_t>(i)]->choices) << "request " << i;
  }
  EXPECT_GT(cached, 100) << "nothing was found";
  // a second turn: the prompt goes on behind the first answer, whose blocks were made as output
  EngineRequest first = request_of(7, std::make_shared<Collector>());
  EngineRequest turn = request_of(7, std::make_shared<Collector>());
  const std::vector<int32_t>& answer = alone[7]->choices[0].ids;
  turn.prompt_ids.insert(turn.prompt_ids.end(), answer.begin(), answer.end());
  for (int32_t i = 0; i < 5; ++i) turn.prompt_ids.push_back(i);
  EngineRequest same = turn;
  same.sink = std::make_shared<Collector>();
  const auto with_hits = add(*core, std::move(turn));
  finish(*core);
  const auto fresh_core = make({});
  const auto fresh = add(*fresh_core, std::move(same));
  finish(*fresh_core);
  EXPECT_GT(with_hits->cached_tokens, 0);
  EXPECT_EQ(fresh->cached_tokens, 0);
  EXPECT_TRUE(with_hits->choices == fresh->choices);
}

TEST_P(SameTokens, Resumed) {
  const auto alone = all_alone({});
  const auto core = make({});
  for (const int32_t index : {0, 1, 4}) {
    const Collector::Made& all = alone[static_cast<size_t>(index)]->choices[0];
    const size_t per_token = all.logprobs.size() / all.ids.size();
    for (size_t cut = 1; cut < all.ids.size(); ++cut) {
      core->reset_prefix_cache();
      EngineRequest request = request_of(index, std::make_shared<Collector>());
      request.resume_ids.assign(all.ids.begin(), all.ids.begin() + static_cast<std::ptrdiff_t>(cut));
      const auto rest = add(*core, std::move(request));
      finish(*core);
      const Collector::Made expected{
          {all.ids.begin() + static_cast<std::ptrdiff_t>(cut), all.ids.end()},
          {all.logprobs.begin() + static_cast<std::ptrdiff_t>(cut * per_token), all.logprobs.end()}};
      ASSERT_TRUE(rest->choices[0] == expected) << "request " << index << " cut at " << cut;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, SameTokens, ::testing::ValuesIn(architectures()),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hadal
