// Same request, same tokens, through scheduler, cache, runner and model: alone, together, in chunks,
// preempted and recomputed, and as one of n choices. On small random checkpoints made on the spot, for ref
// and cpu.
#include <gtest/gtest.h>

#include <map>

#include "engine/engine_core.h"
#include "runner/device_runner.h"
#include "runner/test_models.h"

namespace hadal {
namespace {

using testing::tiny_mla_model;
using testing::tiny_window_model;
using testing::TinyModel;

class Collector : public OutputSink {
 public:
  void deliver(RequestOutput output) override {
    EXPECT_TRUE(output.error.ok()) << output.error;
    for (const OutputToken& token : output.tokens) {
      tokens[output.choice].push_back(token.id);
      logprobs[output.choice].push_back(token.logprob);
    }
  }
  std::map<int32_t, std::vector<int32_t>> tokens;
  std::map<int32_t, std::vector<float>> logprobs;
};

EngineRequest request_of(int32_t index, const std::shared_ptr<Collector>& sink) {
  EngineRequest request;
  for (int32_t i = 0; i < 5 + 4 * index; ++i) request.prompt_ids.push_back((i * 37 + index * 11 + 3) % 61);
  request.sampling.temperature = index % 3 == 0 ? 0.0f : 1.5f;
  request.sampling.seed = static_cast<uint64_t>(index);
  request.sampling.logprobs = 0;
  request.sampling.repetition_penalty = index % 2 == 0 ? 1.0f : 1.2f;
  request.stop.max_tokens = 30;
  request.num_choices = index == 2 ? 3 : 1;
  request.sink = sink;
  return request;
}

class EngineModelTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<EngineCore> make(int32_t num_blocks, int32_t chunk) {
    const std::string name = GetParam();
    static const TinyModel mla = tiny_mla_model(), window = tiny_window_model();
    const TinyModel& model = name.substr(0, name.find('_')) == "mla" ? mla : window;
    DeviceRunnerOptions options;
    options.block_tokens = 4;
    options.num_blocks = num_blocks;
    options.max_rows = 10;
    options.model.compute = DType::kF32;
    options.model.cache = DType::kBF16;
    options.model.max_tokens = 32;
    options.model.max_model_len = 64;
    auto device = Device::open(name.substr(name.find('_') + 1), {.threads = 2});
    EXPECT_TRUE(device.ok()) << device.status();
    auto runner = make_device_runner(model.config, model.checkpoint, *device, options);
    EXPECT_TRUE(runner.ok()) << runner.status();
    auto core =
        EngineCore::create({.max_num_seqs = 10, .max_num_batched_tokens = 32, .chunk = chunk, .exact = true},
                           std::move(runner).value(), nullptr, nullptr, Clock::real());
    EXPECT_TRUE(core.ok()) << core.status();
    return std::move(core).value();
  }

  static std::shared_ptr<Collector> add(EngineCore& core, int32_t index) {
    auto sink = std::make_shared<Collector>();
    EngineRequest request = request_of(index, sink);
    EXPECT_TRUE(core.check(request).ok()) << core.check(request);
    core.add({static_cast<RequestId>(index + 1), std::move(request), {}});
    return sink;
  }
  static void finish(EngineCore& core) {
    while (core.has_work()) core.turn();
    EXPECT_TRUE(core.health().ok()) << core.health();
    EXPECT_EQ(core.cache_accounts().free + core.cache_accounts().cached, core.cache_accounts().total);
  }
};

TEST_P(EngineModelTest, ARequestGivesTheSameTokensWhateverRunsBesideIt) {
  std::vector<std::shared_ptr<Collector>> alone;
  for (int32_t i = 0; i < 7; ++i) {
    const auto core = make(/*num_blocks=*/120, /*chunk=*/0);
    alone.push_back(add(*core, i));
    finish(*core);
    ASSERT_EQ(alone.back()->tokens[0].size(), 30u);
  }
  EXPECT_NE(alone[2]->tokens[0], alone[2]->tokens[1]) << "the choices of a request are all alike";
  for (const auto& [num_blocks, chunk] :
       {std::pair(400, 0), std::pair(30, 0), std::pair(30, 7), std::pair(16, 1)}) {
    const auto core = make(num_blocks, chunk);
    std::vector<std::shared_ptr<Collector>> together;
    for (int32_t i = 0; i < 7; ++i) together.push_back(add(*core, i));
    finish(*core);
    if (num_blocks <= 30) {
      EXPECT_GT(core->stats().preemptions, 0);
    }
    for (size_t i = 0; i < 7; ++i) {
      EXPECT_EQ(together[i]->tokens, alone[i]->tokens) << "request " << i << ", blocks " << num_blocks;
      EXPECT_EQ(together[i]->logprobs, alone[i]->logprobs) << "request " << i << ", blocks " << num_blocks;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EngineModelTest,
                         ::testing::Values("mla_ref", "mla_cpu", "window_ref", "window_cpu"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace hadal
