#include "runner/device_runner.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>

#include "base/clock.h"
#include "base/log.h"
#include "comm/communicator.h"
#include "runner/batch_buffers.h"
#include "runner/cache_memory.h"
#include "runner/sampler.h"

namespace hadal {
namespace {

/// One row of logits that a step makes, and where it goes.
struct LogitRow {
  size_t plan_row = 0;
  int32_t batch_row = 0;
  bool samples = false;
};

/// A step that has been launched.
struct Launched {
  StepId id = 0;
  std::vector<RowResult> rows;    // in plan order, of rows that want logits
  std::vector<size_t> result_of;  // plan row -> index into rows
  MonotonicTime started;
};

class DeviceRunner final : public Runner {
 public:
  DeviceRunner(std::shared_ptr<Device> device, const DeviceRunnerOptions& options)
      : device_(std::move(device)), options_(options) {}

  Status init(const ModelConfig& config, std::shared_ptr<const Checkpoint> checkpoint);

  const RunnerInfo& info() const override { return info_; }
  StatusOr<Ticket> launch(const StepPlan& plan) override;
  StatusOr<StepResult> collect(Ticket ticket) override;

 private:
  Status make_buffers();
  Status measure();
  Status measure_batch(TokenForm form, int32_t segments, int32_t tokens);
  Status copy_blocks(const std::vector<BlockCopy>& copies);
  Status run(const StepPlan& plan, Launched& step);
  Status forward(const std::vector<LogitRow>& piece);
  Status take_logits(const StepPlan& plan, const std::vector<LogitRow>& piece, Launched& step);
  void describe(const ModelConfig& config, const std::vector<CacheGroupSpec>& specs);
  Mat logits(int64_t first, int64_t rows) const;

  std::shared_ptr<Device> device_;
  const DeviceRunnerOptions options_;
  SoloCommunicator communicator_;
  std::unique_ptr<Model> model_;
  std::vector<CacheGroupSpec> specs_;
  std::unique_ptr<CacheMemory> cache_;
  std::unique_ptr<BatchBuffers> batch_;
  std::unique_ptr<Sampler> sampler_;
  Buffer logit_rows_, logits_, copy_pairs_;
  BackendStream* stream_ = nullptr;  // the default stream
  RunnerInfo info_;
  std::map<Ticket, Launched> launched_;
  Ticket next_ticket_ = 0;
};

Status DeviceRunner::init(const ModelConfig& config, std::shared_ptr<const Checkpoint> checkpoint) {
  const ModelOptions& model = options_.model;
  // the size of the cache is checked before weights are read: a wrong option should fail at once
  ASSIGN_OR_RETURN(specs_,
                   size_cache(cache_groups_of(config, model.cache), {.block_tokens = options_.block_tokens,
                                                                     .num_blocks = options_.num_blocks,
                                                                     .cache_bytes = options_.cache_bytes,
                                                                     .max_model_len = model.max_model_len,
                                                                     .max_tokens = model.max_tokens,
                                                                     .max_rows = options_.max_rows}));
  ASSIGN_OR_RETURN(model_, Model::create(config, std::move(checkpoint), device_, communicator_, model));
  if (model_->cache_groups().size() != specs_.size())
    return internal_error("the model's cache groups changed");
  ASSIGN_OR_RETURN(CacheMemory cache, CacheMemory::create(*device_, *model_, specs_));
  cache_ = std::make_unique<CacheMemory>(std::move(cache));
  describe(config, specs_);
  RETURN_IF_ERROR(make_buffers());
  return measure();
}

void DeviceRunner::describe(const ModelConfig& config, const std::vector<CacheGroupSpec>& specs) {
  info_.vocab_size = config.vocab;
  info_.max_model_len = options_.model.max_model_len;
  info_.max_tokens_per_step = options_.model.max_tokens;
  info_.max_rows_per_step = options_.max_rows;
  info_.steps_in_flight = 1;  // one set of buffers
  info_.forms_differ = config.mla.has_value();  // expanded and absorbed round differently
  info_.device = device_->facts().name;
  for (const CacheGroupSpec& spec : specs) {
    info_.groups.push_back({spec.name, spec.block_tokens, spec.num_blocks, spec.window});
  }
}

Status DeviceRunner::make_buffers() {
  const BatchLimits limits{.max_tokens = options_.model.max_tokens,
                           .max_rows = options_.max_rows,
                           .max_model_len = options_.model.max_model_len,
                           .vocab_size = info_.vocab_size};
  ASSIGN_OR_RETURN(BatchBuffers batch, BatchBuffers::create(*device_, limits, specs_));
  batch_ = std::make_unique<BatchBuffers>(std::move(batch));
  const int32_t rows = options_.model.max_logit_rows;
  ASSIGN_OR_RETURN(Sampler sampler, Sampler::create(*device_, rows, info_.vocab_size));
  sampler_ = std::make_unique<Sampler>(std::move(sampler));
  ASSIGN_OR_RETURN(logit_rows_, device_->allocate(static_cast<uint64_t>(rows) * sizeof(int32_t)));
  ASSIGN_OR_RETURN(logits_, device_->allocate(static_cast<uint64_t>(rows) *
                                              static_cast<uint64_t>(info_.vocab_size) * sizeof(float)));
  // a step copies at most one block per row and group
  const uint64_t pairs = static_cast<uint64_t>(options_.max_rows) * specs_.size();
  ASSIGN_OR_RETURN(copy_pairs_, device_->allocate(pairs * 2 * sizeof(int32_t)));
  return OkStatus();
}

Mat DeviceRunner::logits(int64_t first, int64_t rows) const {
  return Mat{logits_.as<float>() + first * info_.vocab_size, rows, info_.vocab_size, info_.vocab_size,
             DType::kF32};
}

/// Walks the forward pass with the largest shapes of each kind and reserves the workspace that the ops ask
/// for.
Status DeviceRunner::measure() {
  const int32_t tokens = options_.model.max_tokens;
  const int32_t rows = std::min(options_.max_rows, tokens);
  device_->set_measuring(true);
  Status measured = measure_batch(TokenForm::kPrompt, 1, tokens);
  if (measured.ok()) measured = measure_batch(TokenForm::kPrompt, rows, tokens);
  if (measured.ok()) measured = measure_batch(TokenForm::kOutput, rows, rows);
  if (measured.ok()) measured = measure_batch(TokenForm::kOutput, 1, tokens);
  if (measured.ok()) measured = measure_batch(TokenForm::kOutput, rows, tokens);
  if (measured.ok()) {
    measured =
        device_->run(stream_, OpKind::kSample, sampler_->args(logits(0, options_.model.max_logit_rows), 20));
  }
  device_->set_measuring(false);
  RETURN_IF_ERROR(measured);
  return device_->reserve_workspace(device_->measured_workspace_bytes());
}

Status DeviceRunner::measure_batch(TokenForm form, int32_t segments, int32_t tokens) {
  batch_->shape_for_measuring(form, segments, tokens);
  const int32_t rows = options_.model.max_logit_rows;
  return model_->forward({.stream = stream_,
                          .batch = &batch_->batch(),
                          .groups = batch_->groups().data(),
                          .logit_rows = logit_rows_.as<int32_t>(),
                          .logit_count = rows,
                          .logits = logits(0, rows)});
}

/// The rows of logits that a plan asks for: those to sample first, so that a piece's are adjacent.
std::vector<LogitRow> wanted_logits(const StepPlan& plan, const BatchBuffers& batch) {
  std::vector<LogitRow> wanted;
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    if (plan.rows[i].logits == LogitsWanted::kSampleLast) wanted.push_back({i, batch.last_token_of(i), true});
  }
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const StepRow& row = plan.rows[i];
    if (row.logits != LogitsWanted::kReturnLast && row.logits != LogitsWanted::kReturnAll) continue;
    const auto count = static_cast<int32_t>(row.logits == LogitsWanted::kReturnLast ? 1 : row.tokens.size());
    for (int32_t back = count - 1; back >= 0; --back)
      wanted.push_back({i, batch.last_token_of(i) - back, false});
  }
  return wanted;
}

Launched start_results(const StepPlan& plan) {
  Launched step;
  step.id = plan.id;
  step.result_of.resize(plan.rows.size());
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    if (plan.rows[i].logits == LogitsWanted::kNone) continue;
    step.result_of[i] = step.rows.size();
    step.rows.emplace_back().sequence = plan.rows[i].sequence;
  }
  return step;
}

StatusOr<Runner::Ticket> DeviceRunner::launch(const StepPlan& plan) {
  if (!launched_.empty()) return failed_precondition("a step is in flight; this runner takes one at a time");
  if (plan.rows.empty()) return invalid_argument("step {} has no rows", plan.id);
  const MonotonicTime started = Clock::real().now();
  Launched step = start_results(plan);
  step.started = started;
  RETURN_IF_ERROR(batch_->fill(*device_, stream_, plan));
  RETURN_IF_ERROR(copy_blocks(plan.copies));
  RETURN_IF_ERROR(run(plan, step));
  launched_[++next_ticket_] = std::move(step);
  return next_ticket_;
}

/// Copy-on-write before the step's own writes, group by group, in every layer.
Status DeviceRunner::copy_blocks(const std::vector<BlockCopy>& copies) {
  for (size_t g = 0; g < specs_.size() && !copies.empty(); ++g) {
    std::vector<int32_t> pairs;
    for (const BlockCopy& copy : copies) {
      if (copy.group < 0 || copy.group >= static_cast<int32_t>(specs_.size())) {
        return invalid_argument("a block copy in cache group {}", copy.group);
      }
      if (copy.group != static_cast<int32_t>(g)) continue;
      if (std::min(copy.from, copy.to) < 1 || std::max(copy.from, copy.to) >= specs_[g].num_blocks) {
        return invalid_argument("copy of block {} to {} in cache group {}", copy.from, copy.to,
                                specs_[g].name);
      }
      pairs.insert(pairs.end(), {copy.from, copy.to});
    }
    if (pairs.empty()) continue;
    if (pairs.size() * sizeof(int32_t) > copy_pairs_.bytes())
      return invalid_argument("{} block copies", pairs.size() / 2);
    // two groups share the buffer: on a stream the second upload follows the first group's copies
    RETURN_IF_ERROR(device_->copy(stream_, copy_pairs_.data(), pairs.data(), pairs.size() * sizeof(int32_t),
                                  CopyKind::kHostToDevice));
    for (const CacheLayer& layer : cache_->layers(g)) {
      RETURN_IF_ERROR(device_->run(stream_, OpKind::kCopyBlocks,
                                   CopyBlocksArgs{.cache = layer,
                                                  .pairs = copy_pairs_.as<int32_t>(),
                                                  .count = static_cast<int32_t>(pairs.size() / 2)}));
    }
  }
  return OkStatus();
}

/// One forward pass, or several where more logits are wanted than the buffer holds: each pass writes the same
/// records and makes the next rows (evaluation only; it sizes max_logit_rows so that one is enough).
Status DeviceRunner::run(const StepPlan& plan, Launched& step) {
  const std::vector<LogitRow> wanted = wanted_logits(plan, *batch_);
  const auto most = static_cast<size_t>(options_.model.max_logit_rows);
  size_t done = 0;
  do {
    const size_t count = std::min(most, wanted.size() - done);
    const auto first = wanted.begin() + static_cast<std::ptrdiff_t>(done);
    const std::vector<LogitRow> piece(first, first + static_cast<std::ptrdiff_t>(count));
    RETURN_IF_ERROR(forward(piece));
    RETURN_IF_ERROR(take_logits(plan, piece, step));
    done += count;
  } while (done < wanted.size());
  return OkStatus();
}

Status DeviceRunner::forward(const std::vector<LogitRow>& piece) {
  std::vector<int32_t> rows;
  for (const LogitRow& row : piece) rows.push_back(row.batch_row);
  if (!rows.empty()) {
    RETURN_IF_ERROR(device_->copy(stream_, logit_rows_.data(), rows.data(), rows.size() * sizeof(int32_t),
                                  CopyKind::kHostToDevice));
  }
  return model_->forward({.stream = stream_,
                          .batch = &batch_->batch(),
                          .groups = batch_->groups().data(),
                          .logit_rows = logit_rows_.as<int32_t>(),
                          .logit_count = static_cast<int64_t>(rows.size()),
                          .logits = logits(0, static_cast<int64_t>(rows.size()))});
}

Status DeviceRunner::take_logits(const StepPlan& plan, const std::vector<LogitRow>& piece, Launched& step) {
  std::vector<const StepRow*> sampled;
  for (const LogitRow& row : piece) {
    if (row.samples) sampled.push_back(&plan.rows[row.plan_row]);
  }
  if (!sampled.empty()) {
    RETURN_IF_ERROR(
        sampler_->draw(*device_, stream_, sampled, logits(0, static_cast<int64_t>(sampled.size()))));
    RETURN_IF_ERROR(device_->wait(stream_));
    const std::vector<SampledToken> tokens = sampler_->results();
    for (size_t i = 0; i < sampled.size(); ++i)
      step.rows[step.result_of[piece[i].plan_row]].tokens.push_back(tokens[i]);
  }
  const auto vocab = static_cast<size_t>(info_.vocab_size);
  for (size_t i = sampled.size(); i < piece.size(); ++i) {
    std::vector<float>& to = step.rows[step.result_of[piece[i].plan_row]].logits;
    to.resize(to.size() + vocab);
    RETURN_IF_ERROR(device_->copy(stream_, to.data() + to.size() - vocab,
                                  logits(static_cast<int64_t>(i), 1).data, vocab * sizeof(float),
                                  CopyKind::kDeviceToHost));
    RETURN_IF_ERROR(device_->wait(stream_));  // the vector may move when the next row is appended
  }
  return OkStatus();
}

StatusOr<StepResult> DeviceRunner::collect(Ticket ticket) {
  const auto found = launched_.find(ticket);
  if (found == launched_.end()) return invalid_argument("ticket {} is not in flight", ticket);
  Launched step = std::move(found->second);
  launched_.erase(found);
  RETURN_IF_ERROR(device_->wait(stream_));
  StepResult result;
  result.id = step.id;
  result.rows = std::move(step.rows);
  result.device_seconds = seconds_between(step.started, Clock::real().now());
  return result;
}

Status check_options(const DeviceRunnerOptions& options) {
  if (options.max_rows < 1) return invalid_argument("max_rows must be at least 1, got {}", options.max_rows);
  if (options.model.max_tokens < 1) return invalid_argument("max_tokens must be at least 1");
  if (options.model.max_model_len < 2) return invalid_argument("max_model_len must be at least 2");
  if (options.block_tokens < 0 || options.block_tokens > 4096) {
    return invalid_argument("a block of {} tokens", options.block_tokens);
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<Runner>> make_device_runner(const ModelConfig& config,
                                                     std::shared_ptr<const Checkpoint> checkpoint,
                                                     std::shared_ptr<Device> device,
                                                     const DeviceRunnerOptions& options) {
  RETURN_IF_ERROR(check_options(options));
  DeviceRunnerOptions sized = options;
  // every row may want a token, so one pass makes the logits of all
  sized.model.max_logit_rows = std::max(options.model.max_logit_rows, options.max_rows);
  auto runner = std::make_unique<DeviceRunner>(std::move(device), sized);
  RETURN_IF_ERROR(runner->init(config, std::move(checkpoint)));
  return runner;
}

}  // namespace hadal
