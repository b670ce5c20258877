// A device that is lost, or never finishes a step, with two steps in flight: through the engine and the
// runner that serve uses. The faults are played (device/testing/fault_backend.h); tools/gpu_check brings them
// about on a real GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/log.h"
#include "base/mutex.h"
#include "device/testing/deferred_backend.h"
#include "device/testing/fault_backend.h"
#include "engine/engine.h"
#include "runner/device_runner.h"
#include "runner/test_models.h"

namespace hadal {
namespace {

using namespace hadal::testing;  // NOLINT
using ::testing::HasSubstr;

constexpr int32_t kRequests = 6;
constexpr int32_t kGoodSteps = 12;
constexpr int32_t kOutput = 190;

/// What came of one request; the watchdog's word counts no tokens.
class Client final : public OutputSink {
 public:
  void deliver(RequestOutput output) override {
    {
      const MutexLock lock(mutex_);
      EXPECT_EQ(finish_, FinishReason::kNone) << "an output after the finish";
      tokens_ += static_cast<int32_t>(output.tokens.size());
      finish_ = output.finish;
      kind_ = output.error_kind;
      error_ = output.error;
    }
    changed_.notify_all();
  }
  /// False after 20 s.
  bool wait() {
    mutex_.lock();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (finish_ == FinishReason::kNone && changed_.wait_until(mutex_, until) != std::cv_status::timeout) {
    }
    const bool done = finish_ != FinishReason::kNone;
    mutex_.unlock();
    return done;
  }
  // after wait()
  int32_t tokens() const { return tokens_; }
  FinishReason finish() const { return finish_; }
  ErrorKind kind() const { return kind_; }
  const Status& error() const { return error_; }

 private:
  Mutex mutex_;
  CondVar changed_;
  int32_t tokens_ = 0;
  FinishReason finish_ = FinishReason::kNone;
  ErrorKind kind_ = ErrorKind::kNone;
  Status error_;
};

class DeviceFault : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kOff); }
  void TearDown() override {
    end_played_hang();  // before the engine's thread is waited for
    engine_.reset();
    set_log_level(LogLevel::kInfo);
  }

  void start(Fault fault, double step_timeout_s) {
    static const TinyModel model = tiny_mla_model();
    auto device =
        Device::open(*fault_backend(&deferred_backend("cpu"), {.fault = fault, .after = kGoodSteps}));
    ASSERT_TRUE(device.ok()) << device.status();
    DeviceRunnerOptions options;
    options.block_tokens = 4;
    options.num_blocks = 400;
    options.max_rows = 2 * kRequests;
    options.model.compute = options.model.cache = DType::kF32;
    options.model.max_tokens = 64;
    options.model.max_model_len = 200;
    auto runner = make_device_runner(model.config, model.checkpoint, *device, options);
    ASSERT_TRUE(runner.ok()) << runner.status();
    ASSERT_EQ((*runner)->info().steps_in_flight, 2);
    const EngineOptions engine{
        .max_num_seqs = kRequests, .max_num_batched_tokens = 64, .step_timeout_s = step_timeout_s};
    auto started = Engine::create(engine, std::move(*runner), nullptr);
    ASSERT_TRUE(started.ok()) << started.status();
    engine_ = std::move(*started);
  }

  std::shared_ptr<Client> submit() {
    auto sink = std::make_shared<Client>();
    EngineRequest request;
    request.prompt_ids = {3, 1, 4, 1, 5};
    request.stop.max_tokens = kOutput;
    request.detokenize = false;
    request.sink = sink;
    EXPECT_TRUE(engine_->submit(std::move(request)).ok());
    return sink;
  }

  /// All of them end with the engine, after what came before the fault.
  void expect_all_fail(const char* why) {
    std::vector<std::shared_ptr<Client>> sinks;
    for (int32_t i = 0; i < kRequests; ++i) sinks.push_back(submit());
    for (const auto& sink : sinks) {
      ASSERT_TRUE(sink->wait()) << "a request was left hanging";
      EXPECT_EQ(sink->finish(), FinishReason::kError);
      EXPECT_EQ(sink->kind(), ErrorKind::kEngineDead);
      EXPECT_THAT(std::string(message_of(sink->error())), HasSubstr(why));
      EXPECT_LT(sink->tokens(), kOutput);
    }
    EXPECT_GE(sinks[0]->tokens(), 5) << "it was well at first";
    for (int i = 0; i < 1000 && engine_->health().ok(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_FALSE(engine_->health().ok());
    EngineRequest late;
    late.prompt_ids = {1};
    late.stop.max_tokens = 1;
    late.detokenize = false;
    late.sink = std::make_shared<Client>();
    EXPECT_FALSE(engine_->submit(std::move(late)).ok());
  }

  std::unique_ptr<Engine> engine_;
};

TEST_F(DeviceFault, ALostDeviceEndsAllRequestsAndTheEngine) {
  start(Fault::kLost, 0);
  expect_all_fail("the device is lost to this process");
}

TEST_F(DeviceFault, AStepThatNeverEndsIsSeenByTheWatchdog) {
  start(Fault::kHang, 0.5);
  const auto before = std::chrono::steady_clock::now();
  expect_all_fail("taken to hang");
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
}

TEST_F(DeviceFault, WithoutOneEverythingIsAnswered) {
  start(Fault::kNone, 5);
  std::vector<std::shared_ptr<Client>> sinks;
  for (int32_t i = 0; i < kRequests; ++i) sinks.push_back(submit());
  for (const auto& sink : sinks) {
    ASSERT_TRUE(sink->wait());
    EXPECT_EQ(sink->finish(), FinishReason::kLength);
    EXPECT_EQ(sink->tokens(), kOutput);
  }
  EXPECT_TRUE(engine_->health().ok());
}

}  // namespace
}  // namespace hadal
