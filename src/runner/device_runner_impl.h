// DeviceRunner itself. Private to runner/: how it is made is in device_runner.cc, how a step runs in
// device_runner_steps.cc.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "comm/communicator.h"
#include "runner/batch_buffers.h"
#include "runner/cache_memory.h"
#include "runner/device_runner.h"
#include "runner/expert_load.h"
#include "runner/sampler.h"
#include "runner/step_gaps.h"
#include "runner/step_graphs.h"
#include "runner/token_sources.h"

namespace hadal {

/// One row of logits that a step makes, and where it goes.
struct LogitRow {
  size_t plan_row = 0;
  int32_t batch_row = 0;
  bool samples = false;
};

/// A step that has been launched.
struct Launched {
  Runner::Ticket ticket = 0;
  StepId id = 0;
  int32_t slot = 0;                     // of pinned memory and events
  int32_t bucket = 0;                   // rows that it is padded to; 0: not padded
  std::vector<RowResult> rows;          // in plan order, of rows that want logits
  std::vector<size_t> result_of;        // plan row -> index into rows
  std::vector<LogitRow> wanted;         // those to sample first
  std::vector<const StepRow*> sampled;  // while it is launched
  bool decodes = false;                 // has output rows
  bool counts_experts = false;
  MonotonicTime started;
};

class DeviceRunner final : public Runner {
 public:
  static constexpr int32_t kMaxStepsInFlight = 2;

  DeviceRunner(std::shared_ptr<Device> device, const DeviceRunnerOptions& options);
  ~DeviceRunner() override;

  Status init(const ModelConfig& config, std::shared_ptr<const Checkpoint> checkpoint);

  const RunnerInfo& info() const override { return info_; }
  StatusOr<Ticket> launch(const StepPlan& plan) override;
  StatusOr<StepResult> collect(Ticket ticket) override;
  ExpertLoad expert_load() const override { return experts_->snapshot(); }

 private:
  // making
  Status load_model(const ModelConfig& config, std::shared_ptr<const Checkpoint> checkpoint);
  Status make_cache();
  void describe(const ModelConfig& config);
  Status make_buffers();
  Status make_meter();
  Status with_what_would_fit(const Status& made) const;
  Status measure();
  Status measure_batch(TokenForm form, int32_t segments, int32_t tokens);
  CacheSizing cache_sizing() const;
  bool sizes_by_use() const;
  bool captures() const;
  StatusOr<Graph> capture_graph(int32_t bucket);
  Status capture_graphs();

  // memory (device_runner_memory.cc)
  std::vector<CacheGroupSpec> smallest_cache() const;
  size_t sequence_rows() const;
  Status run_largest_steps();
  StatusOr<uint64_t> measure_graphs();
  Status size_by_use(const ModelConfig& config, uint64_t free_at_start);

  // a step
  int32_t bucket_of(const StepPlan& plan) const;
  Status prepare(const StepPlan& plan, Launched& step);
  Status enqueue(Launched& step);
  Status copy_blocks();
  Status run(Launched& step);
  Status forward(size_t first_row, size_t rows);
  Status forward_bucket(int32_t bucket);
  Status return_logits(Launched& step, size_t first, size_t last);
  Mat logits(int64_t first, int64_t rows) const;

  std::shared_ptr<Device> device_;
  const DeviceRunnerOptions options_;
  const int32_t depth_;  // steps in flight
  SoloCommunicator communicator_;
  std::unique_ptr<Model> model_;
  std::vector<CacheGroupSpec> specs_;
  std::unique_ptr<CacheMemory> cache_;
  std::unique_ptr<BatchBuffers> batch_;
  std::unique_ptr<Sampler> sampler_;
  std::unique_ptr<TokenSources> sources_;
  std::unique_ptr<ExpertLoadMeter> experts_;
  std::optional<StepGaps> gaps_;  // where they are measured
  StepGraphs graphs_;
  Buffer logits_;
  struct Marks {
    Event started, done;
  };
  std::array<Marks, kMaxStepsInFlight> marks_;  // by slot
  BackendStream* stream_ = nullptr;             // the default stream
  RunnerInfo info_;
  std::deque<Launched> launched_;
  Ticket next_ticket_ = 0;
};

}  // namespace hadal
