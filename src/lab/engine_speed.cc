#include "lab/engine_speed.h"

#include <algorithm>

#include "base/clock.h"
#include "kernels/cpu/membench.h"
#include "lab/collector.h"
#include "tensor/checkpoint.h"

namespace hadal {
namespace {

/// When the first and the last token of a request came.
class TimingSink final : public OutputSink {
 public:
  void deliver(RequestOutput output) override EXCLUDES(mutex_) {
    const MonotonicTime now = Clock::real().now();
    MutexLock lock(mutex_);
    if (!output.tokens.empty()) {
      if (first_ == MonotonicTime{}) first_ = now;
      last_ = now;
    }
    error_ = output.error;
    done_ = output.finish != FinishReason::kNone;
    if (done_) changed_.notify_all();
  }

  struct Times {
    MonotonicTime first, last;
    Status error;
  };
  Times wait() EXCLUDES(mutex_) {
    mutex_.lock();
    changed_.wait(mutex_, [this] { return done_; });
    Times times{first_, last_, error_};
    mutex_.unlock();
    return times;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  MonotonicTime first_ GUARDED_BY(mutex_){}, last_ GUARDED_BY(mutex_){};
  Status error_ GUARDED_BY(mutex_);
  bool done_ GUARDED_BY(mutex_) = false;
};

/// Weight bytes that a step of one token must read: all but the embedding table (unless it is the output
/// matrix too), and of the routed experts those that a token uses.
uint64_t bytes_per_step(const Checkpoint& checkpoint, const ModelConfig& config) {
  uint64_t shared = 0, routed = 0;
  for (const Checkpoint::Entry& entry : checkpoint.entries()) {
    const bool embedding = entry.name == "model.embed_tokens.weight" && !config.tie_embeddings;
    if (embedding) continue;
    const bool expert = entry.name.find(".mlp.experts.") != std::string_view::npos;
    (expert ? routed : shared) += entry.view->bytes();
  }
  if (config.moe.routed > 0) {
    shared += routed / static_cast<uint64_t>(config.moe.routed) * static_cast<uint64_t>(config.moe.top_k);
  }
  return shared;
}

EngineRequest bench_request(const BenchOptions& options, int32_t vocab, int32_t which,
                            std::shared_ptr<TimingSink> sink) {
  EngineRequest request;
  request.prompt_ids.resize(static_cast<size_t>(options.prompt_tokens));
  uint64_t state =
      static_cast<uint64_t>(which) * 7919 + 17;  // any ids will do; different ones spread over experts
  for (int32_t& id : request.prompt_ids) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    id = static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocab));
  }
  request.sampling.temperature = 0.0f;
  request.stop.max_tokens = options.output_tokens;
  request.stop.ignore_eos = true;
  request.detokenize = false;
  request.sink = std::move(sink);
  return request;
}

StatusOr<BenchRound> run_round(const BenchOptions& options, LoadedEngine& loaded, uint64_t step_bytes) {
  std::vector<std::shared_ptr<TimingSink>> sinks;
  const MonotonicTime start = Clock::real().now();
  for (int32_t which = 0; which < options.batch; ++which) {
    sinks.push_back(std::make_shared<TimingSink>());
    RETURN_IF_ERROR(
        loaded.engine->submit(bench_request(options, loaded.config.vocab, which, sinks.back())).status());
  }
  MonotonicTime prefilled = start, ended = start;
  for (const auto& sink : sinks) {
    const TimingSink::Times times = sink->wait();
    RETURN_IF_ERROR(times.error);
    prefilled = std::max(prefilled, times.first);
    ended = std::max(ended, times.last);
  }
  BenchRound round;
  const double prefill = seconds_between(start, prefilled);
  const double decode = seconds_between(prefilled, ended);
  const double steps = options.output_tokens - 1;
  round.prefill_tokens_per_s = static_cast<double>(options.prompt_tokens) * options.batch / prefill;
  round.decode_tokens_per_s = steps * options.batch / decode;
  round.decode_gb_per_s = static_cast<double>(step_bytes) * steps / decode / 1e9;
  return round;
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
  if (options.prompt_tokens < 1 || options.output_tokens < 2 || options.batch < 1 || options.rounds < 1) {
    return invalid_argument(
        "--prompt-tokens, --batch and --rounds must be at least 1, --output-tokens at least 2");
  }
  EngineConfig config = options.engine;
  config.skip_tokenizer = true;
  config.max_num_seqs = std::max(config.max_num_seqs, options.batch);
  config.max_model_len = options.prompt_tokens + options.output_tokens;
  const int32_t blocks_each = (config.max_model_len + config.block_size - 1) / config.block_size + 1;
  config.num_blocks = blocks_each * options.batch + 1;
  ASSIGN_OR_RETURN(LoadedEngine loaded, load_engine(config));
  ASSIGN_OR_RETURN(const auto checkpoint, Checkpoint::open(loaded.folder));
  BenchReport report;
  report.weight_bytes_per_step = bytes_per_step(*checkpoint, loaded.config);
  report.device = loaded.engine->runner_info().device;
  ASSIGN_OR_RETURN(const auto probe, cpu::ReadProbe::create({.threads = config.threads}));
  RETURN_IF_ERROR(
      run_round(options, loaded, report.weight_bytes_per_step).status());  // warm-up: maps the weights
  double before = probe->pass();
  for (int32_t index = 0; index < options.rounds; ++index) {
    ASSIGN_OR_RETURN(BenchRound round, run_round(options, loaded, report.weight_bytes_per_step));
    const double after = probe->pass();
    round.read_gb_per_s = (before + after) / 2 / 1e9;
    before = after;
    report.rounds.push_back(round);
  }
  report.median_prefill =
      median_of(report.rounds, [](const BenchRound& r) { return r.prefill_tokens_per_s; });
  report.median_decode = median_of(report.rounds, [](const BenchRound& r) { return r.decode_tokens_per_s; });
  report.median_read = median_of(report.rounds, [](const BenchRound& r) { return r.read_gb_per_s; });
  report.median_decode_ratio =
      median_of(report.rounds, [](const BenchRound& r) { return r.decode_gb_per_s / r.read_gb_per_s; });
  return report;
}

}  // namespace hadal
