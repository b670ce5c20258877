// A step: launched with one copy in each direction that matters, collected when the stream has passed it.
#include <algorithm>
#include <numeric>

#include "runner/device_runner_impl.h"

namespace hadal {
namespace {

/// The rows of logits that a plan asks for: those to sample first, so that they are adjacent.
std::vector<LogitRow> wanted_logits(const StepPlan& plan, const BatchBuffers& batch) {
  std::vector<LogitRow> wanted;
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    if (plan.rows[i].logits == LogitsWanted::kSampleLast) wanted.push_back({i, batch.last_token_of(i), true});
  }
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const StepRow& row = plan.rows[i];
    if (row.logits != LogitsWanted::kReturnLast && row.logits != LogitsWanted::kReturnAll) continue;
    const auto count = static_cast<int32_t>(row.logits == LogitsWanted::kReturnLast ? 1 : tokens_of(row));
    for (int32_t back = count - 1; back >= 0; --back)
      wanted.push_back({i, batch.last_token_of(i) - back, false});
  }
  return wanted;
}

void start_results(const StepPlan& plan, Launched& step) {
  step.id = plan.id;
  step.result_of.resize(plan.rows.size());
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    if (plan.rows[i].logits == LogitsWanted::kNone) continue;
    step.result_of[i] = step.rows.size();
    step.rows.emplace_back().sequence = plan.rows[i].sequence;
  }
}

std::vector<int32_t> identity(int32_t count) {
  std::vector<int32_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

}  // namespace

StatusOr<Runner::Ticket> DeviceRunner::launch(const StepPlan& plan) {
  if (launched_.size() >= static_cast<size_t>(depth_)) {
    return failed_precondition("{} in flight; this runner takes no more",
                               depth_ == 1 ? "a step is" : "two steps are");
  }
  if (plan.rows.empty()) return invalid_argument("step {} has no rows", plan.id);
  Launched step;
  step.ticket = next_ticket_ + 1;
  // tickets are collected in order: whoever had this slot before has been
  step.slot = static_cast<int32_t>(step.ticket % static_cast<Ticket>(depth_));
  step.started = Clock::real().now();
  RETURN_IF_ERROR(prepare(plan, step));
  if (Status status = enqueue(step); !status.ok()) {
    // what has been asked for still uses the slot's memory; its own error, if any, is no other than this one
    device_->wait(stream_).IgnoreError();
    return status;
  }
  std::vector<SequenceId> drawn;
  for (const StepRow* row : step.sampled) drawn.push_back(row->sequence);
  sources_->launched(plan.id, drawn);
  step.sampled.clear();
  next_ticket_ = step.ticket;
  launched_.push_back(std::move(step));
  return next_ticket_;
}

/// A graph makes the logits of every row of its bucket, in order.
int32_t DeviceRunner::bucket_of(const StepPlan& plan) const {
  if (graphs_.buckets().empty() || plan.rows.size() > static_cast<size_t>(graphs_.buckets().back())) return 0;
  const bool decodes = std::all_of(plan.rows.begin(), plan.rows.end(), [](const StepRow& row) {
    return row.form == TokenForm::kOutput && row.draws_from < 0 && tokens_of(row) == 1 &&
           row.logits == LogitsWanted::kSampleLast;
  });
  return decodes ? graphs_.bucket_for(plan.rows.size()) : 0;
}

/// Checks the plan and writes what is to be sent; the device is not asked for anything.
Status DeviceRunner::prepare(const StepPlan& plan, Launched& step) {
  start_results(plan, step);
  step.bucket = bucket_of(plan);
  step.decodes = plan.rows.front().form == TokenForm::kOutput;  // they come first
  RETURN_IF_ERROR(batch_->fill(step.slot, plan, *sources_, step.bucket));
  step.wanted = wanted_logits(plan, *batch_);
  std::vector<int32_t> rows;
  for (const LogitRow& row : step.wanted) {
    rows.push_back(row.batch_row);
    if (row.samples) step.sampled.push_back(&plan.rows[row.plan_row]);
  }
  batch_->set_logit_rows(step.bucket > 0 ? identity(step.bucket) : rows);
  return sampler_->prepare(step.slot, step.sampled, *sources_);
}

Status DeviceRunner::enqueue(Launched& step) {
  Marks& marks = marks_[static_cast<size_t>(step.slot)];
  RETURN_IF_ERROR(device_->record(stream_, marks.started));
  RETURN_IF_ERROR(batch_->send(*device_, stream_));
  RETURN_IF_ERROR(sampler_->send());
  if (gaps_) RETURN_IF_ERROR(gaps_->before_kernels(*device_, stream_, step.ticket, step.decodes));
  RETURN_IF_ERROR(copy_blocks());
  if (const TakeTokensArgs take = batch_->take_tokens(sampler_->drawn()); take.rows > 0)
    RETURN_IF_ERROR(device_->run(stream_, OpKind::kTakeTokens, take));
  RETURN_IF_ERROR(run(step));
  ASSIGN_OR_RETURN(step.counts_experts, experts_->fetch(*device_, stream_, step.slot, step.started));
  RETURN_IF_ERROR(device_->record(stream_, marks.done));
  return gaps_ ? gaps_->queued(*device_, step.ticket) : OkStatus();
}

/// Copy-on-write before the step's own writes, group by group, in every layer.
Status DeviceRunner::copy_blocks() {
  for (size_t g = 0; g < specs_.size(); ++g) {
    const BatchBuffers::Copies copies = batch_->copies(g);
    if (copies.count == 0) continue;
    for (const CacheLayer& layer : cache_->layers(g)) {
      RETURN_IF_ERROR(
          device_->run(stream_, OpKind::kCopyBlocks,
                       CopyBlocksArgs{.cache = layer, .pairs = copies.pairs, .count = copies.count}));
    }
  }
  return OkStatus();
}

/// One forward pass, or several where more logits are wanted than the buffer holds: each pass writes the same
/// records and makes the next rows (evaluation only; it sizes max_logit_rows so that one is enough). Rows to
/// sample are at most as many as the buffer holds, and come first.
Status DeviceRunner::run(Launched& step) {
  const auto most = static_cast<size_t>(options_.model.max_logit_rows);
  const size_t sampled = step.sampled.size();
  size_t done = 0;
  do {
    const size_t count = std::min(most, step.wanted.size() - done);
    RETURN_IF_ERROR(step.bucket > 0 ? forward_bucket(step.bucket) : forward(done, count));
    const bool draws = done == 0 && sampled > 0;
    if (draws) RETURN_IF_ERROR(sampler_->draw(logits(0, static_cast<int64_t>(sampled))));
    if (gaps_) RETURN_IF_ERROR(gaps_->after_kernels(*device_, stream_, step.ticket));
    if (draws) RETURN_IF_ERROR(sampler_->fetch());
    RETURN_IF_ERROR(return_logits(step, done, done + count));
    done += count;
  } while (done < step.wanted.size());
  return OkStatus();
}

/// Makes the logits of `rows` of the wanted rows.
Status DeviceRunner::forward(size_t first_row, size_t rows) {
  return model_->forward({.stream = stream_,
                          .batch = &batch_->batch(),
                          .groups = batch_->groups().data(),
                          .logit_rows = batch_->logit_rows() + first_row,
                          .logit_count = static_cast<int64_t>(rows),
                          .logits = logits(0, static_cast<int64_t>(rows))});
}

Status DeviceRunner::forward_bucket(int32_t bucket) {
  if (const Graph* graph = graphs_.graph(bucket); graph != nullptr) return device_->replay(stream_, *graph);
  return forward(0, static_cast<size_t>(bucket));
}

/// Logits that the plan wants back, of the wanted rows first .. last, which the buffer holds now. The copies
/// wait: they are large and rare, and the next pass overwrites their source.
Status DeviceRunner::return_logits(Launched& step, size_t first, size_t last) {
  const auto vocab = static_cast<size_t>(info_.vocab_size);
  for (size_t i = std::max(first, step.sampled.size()); i < last;) {
    size_t end = i;  // rows of one row of the plan are adjacent
    while (end < last && step.wanted[end].plan_row == step.wanted[i].plan_row) ++end;
    std::vector<float>& to = step.rows[step.result_of[step.wanted[i].plan_row]].logits;
    const size_t count = (end - i) * vocab;
    to.resize(to.size() + count);
    RETURN_IF_ERROR(device_->copy(stream_, to.data() + to.size() - count,
                                  logits(static_cast<int64_t>(i - first), 1).data, count * sizeof(float),
                                  CopyKind::kDeviceToHost));
    i = end;
  }
  return OkStatus();
}

StatusOr<StepResult> DeviceRunner::collect(Ticket ticket) {
  const auto found = std::find_if(launched_.begin(), launched_.end(),
                                  [&](const Launched& step) { return step.ticket == ticket; });
  if (found == launched_.end()) return invalid_argument("ticket {} is not in flight", ticket);
  if (found != launched_.begin())
    return failed_precondition("ticket {} is to be collected before {}", launched_.front().ticket, ticket);
  Launched step = std::move(launched_.front());
  launched_.pop_front();
  Marks& marks = marks_[static_cast<size_t>(step.slot)];
  StepResult result;
  result.id = step.id;
  if (depth_ > 1) {
    RETURN_IF_ERROR(device_->wait(marks.done));
    ASSIGN_OR_RETURN(result.device_seconds, device_->elapsed(marks.started, marks.done));
  } else {
    RETURN_IF_ERROR(device_->wait(stream_));
    result.device_seconds = seconds_between(step.started, Clock::real().now());
  }
  const std::vector<SampledToken> tokens = sampler_->results(step.slot);
  for (size_t i = 0; i < tokens.size(); ++i)
    step.rows[step.result_of[step.wanted[i].plan_row]].tokens.push_back(tokens[i]);
  if (step.counts_experts) experts_->take(step.slot);
  if (gaps_) {
    ASSIGN_OR_RETURN(result.gap, gaps_->gap_before(*device_, step.ticket));
  }
  result.rows = std::move(step.rows);
  return result;
}

}  // namespace hadal
