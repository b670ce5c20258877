#include "lab/engine_speed.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "kernels/cpu/membench.h"
#include "lab/bench_request.h"
#include "model/model.h"
#include "model/weight_bytes.h"

namespace hadal {
namespace {

/// When each token of a request came.
class TimingSink final : public OutputSink {
 public:
  void deliver(RequestOutput output) override EXCLUDES(mutex_) {
    const MonotonicTime now = Clock::real().now();
    MutexLock lock(mutex_);
    times_.insert(times_.end(), output.tokens.size(), now);
    error_ = output.error;
    done_ = output.finish != FinishReason::kNone;
    if (done_) changed_.notify_all();
  }

  StatusOr<std::vector<MonotonicTime>> wait() EXCLUDES(mutex_) {
    mutex_.lock();
    changed_.wait(mutex_, [this] { return done_; });
    std::vector<MonotonicTime> times = times_;
    const Status error = error_;
    mutex_.unlock();
    RETURN_IF_ERROR(error);
    return times;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<MonotonicTime> times_ GUARDED_BY(mutex_);
  Status error_ GUARDED_BY(mutex_);
  bool done_ GUARDED_BY(mutex_) = false;
};

uint64_t bytes_per_step(const BenchOptions& options, const ModelConfig& config, DType cache) {
  const double context = options.prompt_tokens + options.output_tokens / 2.0;
  const double records =
      options.batch * context * static_cast<double>(cache_bytes_per_token(cache_groups_of(config, cache)));
  return static_cast<uint64_t>(weight_bytes_of(config).read_by_step(config, options.batch) + records);
}

/// The device's own bandwidth in bytes per second.
class BandwidthProbe {
 public:
  static StatusOr<BandwidthProbe> create(Device& device, int32_t threads) {
    BandwidthProbe probe;
    if (device.facts().host_memory != 0) {
      ASSIGN_OR_RETURN(probe.read_, cpu::ReadProbe::create({.threads = threads}));
      return StatusOr<BandwidthProbe>(std::move(probe));
    }
    probe.device_ = &device;
    ASSIGN_OR_RETURN(probe.from_, device.allocate(kCopyBytes));
    ASSIGN_OR_RETURN(probe.to_, device.allocate(kCopyBytes));
    ASSIGN_OR_RETURN(probe.start_, device.create_event());
    ASSIGN_OR_RETURN(probe.end_, device.create_event());
    return StatusOr<BandwidthProbe>(std::move(probe));
  }

  StatusOr<double> pass() {
    if (device_ == nullptr) return read_->pass();
    RETURN_IF_ERROR(device_->record(nullptr, start_));
    for (int copy = 0; copy < kCopies; ++copy) {
      RETURN_IF_ERROR(
          device_->copy(nullptr, to_.data(), from_.data(), kCopyBytes, CopyKind::kDeviceToDevice));
    }
    RETURN_IF_ERROR(device_->record(nullptr, end_));
    RETURN_IF_ERROR(device_->wait(end_));
    ASSIGN_OR_RETURN(const double seconds, device_->elapsed(start_, end_));
    return 2.0 * kCopies * static_cast<double>(kCopyBytes) / seconds;
  }

 private:
  static constexpr uint64_t kCopyBytes = uint64_t{1} << 30;
  static constexpr int kCopies = 8;
  std::unique_ptr<cpu::ReadProbe> read_;
  Device* device_ = nullptr;
  Buffer from_, to_;
  Event start_, end_;
};

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(q * static_cast<double>(values.size())))];
}

/// The window in which all sequences generate, seen by the last one that began.
StatusOr<BenchRound> summarise(const BenchOptions& options, MonotonicTime start,
                               const std::vector<std::vector<MonotonicTime>>& times, uint64_t step_bytes) {
  const auto last_begun = std::max_element(
      times.begin(), times.end(), [](const auto& a, const auto& b) { return a.front() < b.front(); });
  MonotonicTime window_end = times.front().back();
  for (const auto& mine : times) window_end = std::min(window_end, mine.back());
  std::vector<double> steps;
  MonotonicTime end = last_begun->front();
  for (size_t i = 1; i < last_begun->size() && (*last_begun)[i] <= window_end; ++i) {
    steps.push_back(seconds_between((*last_begun)[i - 1], (*last_begun)[i]));
    end = (*last_begun)[i];
  }
  if (steps.empty()) {
    return failed_precondition(
        "the first sequence ended before the last one began: raise --output-tokens (or "
        "--max-num-batched-tokens)");
  }
  BenchRound round;
  round.ttft_s = seconds_between(start, last_begun->front());
  const double decode = seconds_between(last_begun->front(), end);
  const auto count = static_cast<double>(steps.size());
  round.prefill_tokens_per_s = static_cast<double>(options.prompt_tokens) * options.batch / round.ttft_s;
  round.decode_tokens_per_s = count * options.batch / decode;
  round.decode_gb_per_s = static_cast<double>(step_bytes) * count / decode / 1e9;
  round.step_p50_s = quantile(steps, 0.50);
  round.step_p99_s = quantile(steps, 0.99);
  round.window_begin_s = std::chrono::duration<double>(last_begun->front().time_since_epoch()).count();
  round.steps_s = std::move(steps);
  return round;
}

StatusOr<BenchRound> run_round(const BenchOptions& options, LoadedEngine& loaded, uint64_t step_bytes) {
  std::vector<std::shared_ptr<TimingSink>> sinks;
  const MonotonicTime start = Clock::real().now();
  for (int32_t which = 0; which < options.batch; ++which) {
    sinks.push_back(std::make_shared<TimingSink>());
    EngineRequest request =
        bench_request(options.prompt_tokens, options.output_tokens, loaded.config.vocab, which);
    request.sink = sinks.back();
    RETURN_IF_ERROR(loaded.engine->submit(std::move(request)).status());
  }
  std::vector<std::vector<MonotonicTime>> times;
  for (const auto& sink : sinks) {
    ASSIGN_OR_RETURN(std::vector<MonotonicTime> mine, sink->wait());
    if (mine.size() < 2) return internal_error("a request gave {} tokens", mine.size());
    times.push_back(std::move(mine));
  }
  return summarise(options, start, times, step_bytes);
}

ExpertsTouched touched_between(const ExpertLoad& before, const ExpertLoad& after) {
  ExpertsTouched touched{after.experts, after.sampled_steps - before.sampled_steps, 0.0};
  if (touched.steps == 0 || after.active.empty()) return touched;
  double chosen = 0.0;
  for (size_t layer = 0; layer < after.active.size(); ++layer)
    chosen += static_cast<double>(after.active[layer] - (before.active.empty() ? 0 : before.active[layer]));
  touched.mean = chosen / static_cast<double>(after.active.size()) / static_cast<double>(touched.steps);
  return touched;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <typename Member>
double median_of(const std::vector<BenchRound>& rounds, Member member) {
  std::vector<double> values;
  for (const BenchRound& round : rounds) values.push_back(member(round));
  return median(std::move(values));
}

}  // namespace

StatusOr<BenchReport> bench_engine(const BenchOptions& options) {
  if (options.prompt_tokens < 1 || options.output_tokens < 2 || options.batch < 1 || options.rounds < 1 ||
      options.churn_steps < 0) {
    return invalid_argument(
        "--prompt-tokens, --batch and --rounds must be at least 1, --output-tokens at least 2, "
        "--churn-steps not negative");
  }
  EngineConfig config = options.engine;
  config.skip_tokenizer = true;
  config.enable_prefix_caching = false;  // every round computes its prompts
  config.max_num_seqs = std::max(config.max_num_seqs, options.batch);
  config.max_model_len = options.prompt_tokens + options.output_tokens;
  const int32_t blocks_each = (config.max_model_len + config.block_size - 1) / config.block_size + 1;
  // those that a cancelled request gives back only after its last step, too
  config.num_blocks = blocks_each * (options.batch + (options.churn_steps > 0 ? 2 : 0)) + 1;
  config.measure_step_gaps = true;
  const auto gaps = std::make_shared<GapRecorder>();
  ASSIGN_OR_RETURN(LoadedEngine loaded, load_engine(config, [&](const LoadedEngine&) { return gaps; }));
  BenchReport report;
  ASSIGN_OR_RETURN(const DType compute, compute_dtype(config.dtype, loaded.config));
  ASSIGN_OR_RETURN(const DType cache, cache_dtype(config.kv_cache_dtype, compute));
  report.bytes_per_step = bytes_per_step(options, loaded.config, cache);
  report.device = loaded.engine->runner_info().device;
  ASSIGN_OR_RETURN(BandwidthProbe probe, BandwidthProbe::create(*loaded.device, config.threads));
  RETURN_IF_ERROR(run_round(options, loaded, report.bytes_per_step).status());  // warm-up: maps the weights
  ASSIGN_OR_RETURN(double before, probe.pass());
  gaps->take();
  const ExpertLoad load_before = loaded.engine->expert_load();
  for (int32_t index = 0; index < options.rounds; ++index) {
    ASSIGN_OR_RETURN(BenchRound round, run_round(options, loaded, report.bytes_per_step));
    ASSIGN_OR_RETURN(const double after, probe.pass());
    round.read_gb_per_s = (before + after) / 2 / 1e9;
    before = after;
    report.rounds.push_back(std::move(round));
  }
  report.idle = gaps->take();
  report.touched = touched_between(load_before, loaded.engine->expert_load());
  if (options.churn_steps > 0) {
    ASSIGN_OR_RETURN(report.churn, run_churn(loaded, *gaps,
                                             {.steps = options.churn_steps,
                                              .batch = options.batch,
                                              .prompt_tokens = options.prompt_tokens,
                                              .output_tokens = options.output_tokens}));
  }
  report.median_prefill =
      median_of(report.rounds, [](const BenchRound& r) { return r.prefill_tokens_per_s; });
  report.median_decode = median_of(report.rounds, [](const BenchRound& r) { return r.decode_tokens_per_s; });
  report.median_read = median_of(report.rounds, [](const BenchRound& r) { return r.read_gb_per_s; });
  report.median_decode_ratio =
      median_of(report.rounds, [](const BenchRound& r) { return r.decode_gb_per_s / r.read_gb_per_s; });
  report.median_ttft_s = median_of(report.rounds, [](const BenchRound& r) { return r.ttft_s; });
  report.median_step_p50_s = median_of(report.rounds, [](const BenchRound& r) { return r.step_p50_s; });
  report.median_step_p99_s = median_of(report.rounds, [](const BenchRound& r) { return r.step_p99_s; });
  return report;
}

}  // namespace hadal
