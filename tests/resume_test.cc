// A request cut at every position and continued on another engine gives exactly the rest: fifty varied
// requests on the demo model, with its tokenizer, penalties, min_tokens, stop strings, biases, several seeds
// and choices.
#include <gtest/gtest.h>

#include "engine/engine_core.h"
#include "engine/tokenizer_text.h"
#include "model/config.h"
#include "runner/device_runner.h"
#include "tensor/checkpoint.h"
#include "text/tokenizer.h"

namespace hadal {
namespace {

constexpr int32_t kRequests = 50;

class Gathering : public OutputSink {
 public:
  void deliver(RequestOutput output) override {
    EXPECT_TRUE(output.error.ok()) << output.error;
    for (const OutputToken& token : output.tokens) {
      ids.push_back(token.id);
      logprobs.push_back(token.logprob);
    }
    resumed_text += output.resumed_text;
    text += output.text;
    finish = output.finish;
    stop_reason = output.stop_reason;
    output_tokens = output.output_tokens;
  }
  std::vector<int32_t> ids;
  std::vector<float> logprobs;
  std::string resumed_text, text, stop_reason;
  FinishReason finish = FinishReason::kNone;
  int32_t output_tokens = 0;
};

class ResumeOnTheDemoModel : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string folder = HADAL_SOURCE_DIR "/models/demo";
    auto config = load_model_config(folder);
    auto checkpoint = Checkpoint::open(folder);
    auto tokenizer = Tokenizer::load(folder);
    ASSERT_TRUE(config.ok() && checkpoint.ok() && tokenizer.ok());
    tokenizer_ = std::move(*tokenizer);
    auto device = Device::open("cpu", {.threads = 2});
    ASSERT_TRUE(device.ok()) << device.status();
    DeviceRunnerOptions options;
    options.num_blocks = 64;
    options.max_rows = 8;
    options.model.compute = DType::kBF16;
    options.model.cache = DType::kBF16;
    options.model.max_tokens = 128;
    options.model.max_model_len = 512;
    auto runner = make_device_runner(*config, *checkpoint, *device, options);
    ASSERT_TRUE(runner.ok()) << runner.status();
    EngineOptions engine{.max_num_seqs = 4, .max_num_batched_tokens = 128, .exact = true};
    auto core =
        EngineCore::create(engine, std::move(*runner), make_text_streams(tokenizer_), nullptr, Clock::real());
    ASSERT_TRUE(core.ok()) << core.status();
    core_ = std::move(*core);
  }

  EngineRequest varied(int32_t index, const std::string& free_text) const {
    static const char* const prompts[] = {
        "The capital of France is",   "17 + 25 =",       "秘鲁的首都是",
        "Once upon a time there was", "Count: one, two", "The sum of 3 and 4"};
    EngineRequest request;
    request.prompt_ids = tokenizer_->encode(prompts[index % 6], AddSpecial::kYes);
    SamplingParams& sampling = request.sampling;
    sampling.seed = static_cast<uint64_t>(index) * 7919 + 1;
    sampling.choice = static_cast<uint32_t>(index % 3);
    sampling.temperature = index % 5 == 0 ? 0.0f : 0.7f + 0.1f * static_cast<float>(index % 7);
    sampling.top_p = index % 4 == 1 ? 0.9f : 1.0f;
    sampling.top_k = index % 4 == 2 ? 40 : 0;
    sampling.repetition_penalty = index % 3 == 1 ? 1.3f : 1.0f;
    sampling.presence_penalty = index % 3 == 2 ? 0.8f : 0.0f;
    sampling.frequency_penalty = index % 6 == 2 ? 0.5f : 0.0f;
    sampling.logprobs = 0;
    if (index % 7 == 3) sampling.logit_bias = {{11, 4.0f}, {42, -8.0f}};
    request.stop.max_tokens = 6 + index % 10;
    request.stop.min_tokens = index % 4 == 3 ? 4 : 0;
    request.stop.stop_token_ids = {1, 2};
    if (index % 3 == 0 && free_text.size() > 6) request.stop.stop = {free_text.substr(4, 2)};
    request.stop.include_stop_str_in_output = index % 6 == 0;
    return request;
  }

  std::shared_ptr<Gathering> run(EngineRequest request) {
    auto sink = std::make_shared<Gathering>();
    request.sink = sink;
    core_->reset_prefix_cache();
    EXPECT_TRUE(core_->check(request).ok()) << core_->check(request);
    core_->add({++last_id_, std::move(request), Clock::real().now(), kDefaultTenant});
    while (core_->has_work()) core_->turn();
    return sink;
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<EngineCore> core_;
  RequestId last_id_ = 0;
};

TEST_F(ResumeOnTheDemoModel, GivesExactlyTheRestWhereverItIsCut) {
  int cuts = 0, stopped = 0;
  for (int32_t index = 0; index < kRequests; ++index) {
    const std::string free_text = run(varied(index, ""))->text;
    const auto whole = run(varied(index, free_text));
    stopped += whole->finish == FinishReason::kStop ? 1 : 0;
    for (size_t cut = 1; cut < whole->ids.size(); ++cut, ++cuts) {
      SCOPED_TRACE("request " + std::to_string(index) + " cut at " + std::to_string(cut));
      const auto at = static_cast<std::ptrdiff_t>(cut);
      EngineRequest request = varied(index, free_text);
      request.resume_ids.assign(whole->ids.begin(), whole->ids.begin() + at);
      const auto rest = run(std::move(request));
      ASSERT_EQ(rest->ids, std::vector<int32_t>(whole->ids.begin() + at, whole->ids.end()));
      ASSERT_EQ(rest->logprobs, std::vector<float>(whole->logprobs.begin() + at, whole->logprobs.end()));
      ASSERT_EQ(rest->resumed_text + rest->text, whole->text);
      ASSERT_EQ(rest->finish, whole->finish);
      ASSERT_EQ(rest->stop_reason, whole->stop_reason);
      ASSERT_EQ(rest->output_tokens, whole->output_tokens);
    }
  }
  EXPECT_GT(cuts, 250);
  EXPECT_GT(stopped, 5) << "no request ended by a stop";
}

}  // namespace
}  // namespace hadal
