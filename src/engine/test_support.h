// For tests: sinks that record, a toy text stream, requests in one line.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "engine/engine_core.h"
#include "engine/fake_runner.h"

namespace hadal::testing {

/// Everything that came for one request, by choice. deliver() fails the test on a second finish or anything
/// after it.
class RecordingSink : public OutputSink {
 public:
  struct Choice {
    std::vector<int32_t> ids;
    std::vector<OutputToken> tokens;
    std::string text;
    FinishReason finish = FinishReason::kNone;
    std::string stop_reason;
    Status error;
    ErrorKind error_kind = ErrorKind::kNone;
    std::string resumed_text;
    int32_t cached_tokens = 0;
    int32_t outputs = 0;
    std::vector<float> prompt_logits;
  };

  void deliver(RequestOutput output) override EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      Choice& choice = choices_[output.choice];
      EXPECT_EQ(choice.finish, FinishReason::kNone) << "an output after the finish";
      ++choice.outputs;
      choice.text += output.text;
      for (const OutputToken& token : output.tokens) {
        choice.ids.push_back(token.id);
        choice.tokens.push_back(token);
      }
      choice.resumed_text += output.resumed_text;
      choice.cached_tokens = output.cached_tokens;
      choice.error_kind = output.error_kind;
      EXPECT_EQ(output.output_tokens, resumed + static_cast<int32_t>(choice.ids.size()));
      if (!output.prompt_logits.empty()) choice.prompt_logits = output.prompt_logits;
      choice.finish = output.finish;
      choice.stop_reason = output.stop_reason;
      choice.error = output.error;
      if (output.finish != FinishReason::kNone) ++finished_;
    }
    changed_.notify_all();
    if (on_output) on_output();
  }

  Choice choice(int32_t index) const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto found = choices_.find(index);
    return found == choices_.end() ? Choice{} : found->second;
  }
  int32_t finished() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return finished_;
  }
  /// False after 20 s.
  bool wait_finished(int32_t count) EXCLUDES(mutex_) {
    mutex_.lock();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (finished_ < count && changed_.wait_until(mutex_, until) != std::cv_status::timeout) {
    }
    const bool done = finished_ >= count;
    mutex_.unlock();
    return done;
  }

  std::function<void()> on_output;  // may throw
  int32_t resumed = 0;              // output tokens that the request came with

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::map<int32_t, Choice> choices_ GUARDED_BY(mutex_);
  int32_t finished_ GUARDED_BY(mutex_) = 0;
};

/// Token t is the letter 'a' + t % 26; a token that is a multiple of 7 only comes out with the next one.
class ToyText : public TextStream {
 public:
  std::string add(int32_t token) override {
    held_ += static_cast<char>('a' + token % 26);
    return token % 7 == 0 ? std::string() : std::exchange(held_, {});
  }
  std::string finish() override { return std::exchange(held_, {}); }

 private:
  std::string held_;
};

inline std::string toy_text(const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += static_cast<char>('a' + id % 26);
  return text;
}

inline TextStreamFactory toy_factory() {
  return [](bool) { return std::make_unique<ToyText>(); };
}

inline RunnerInfo toy_info(int32_t blocks = 64, int32_t block_tokens = 4) {
  RunnerInfo info;
  info.vocab_size = 97;
  info.max_model_len = 120;
  info.max_tokens_per_step = 64;
  info.max_rows_per_step = 16;
  info.forms_differ = true;
  info.groups = {{"full", block_tokens, blocks, 0}};
  info.device = "toy";
  return info;
}

inline EngineRequest toy_request(std::vector<int32_t> prompt, int32_t max_tokens,
                                 std::shared_ptr<OutputSink> sink) {
  EngineRequest request;
  request.prompt_ids = std::move(prompt);
  request.stop.max_tokens = max_tokens;
  request.sink = std::move(sink);
  return request;
}

inline std::vector<int32_t> toy_prompt(int32_t size, int32_t salt = 0) {
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < size; ++i) prompt.push_back((i * 31 + salt * 17 + 5) % 97);
  return prompt;
}

/// A core over a FakeRunner.
struct ToyCore {
  explicit ToyCore(const RunnerInfo& info,
                   EngineOptions options = {.max_num_seqs = 8, .max_num_batched_tokens = 32, .exact = true},
                   TextStreamFactory text = toy_factory()) {
    auto owned = std::make_unique<FakeRunner>(info);
    runner = owned.get();
    StatusOr<std::unique_ptr<EngineCore>> made =
        EngineCore::create(options, std::move(owned), std::move(text), nullptr, clock);
    EXPECT_TRUE(made.ok()) << made.status();
    core = std::move(made).value();
  }

  RequestId add(EngineRequest request) {
    const Status good = core->check(request);
    EXPECT_TRUE(good.ok()) << good;
    const TenantId tenant = core->tenant_of(request);
    core->add({++last_id, std::move(request), clock.now(), tenant});
    return last_id;
  }
  void finish(int max_turns = 10000) {
    while (core->has_work() && max_turns-- > 0) core->turn();
    EXPECT_FALSE(core->has_work()) << "requests are left";
    EXPECT_EQ(core->cache_accounts().free + core->cache_accounts().cached, core->cache_accounts().total)
        << "blocks are left";
    EXPECT_EQ(core->queued(), 0);
  }

  ManualClock clock;
  FakeRunner* runner = nullptr;
  std::unique_ptr<EngineCore> core;
  RequestId last_id = 0;
};

}  // namespace hadal::testing
