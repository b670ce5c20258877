#include "runner/device_runner.h"

#include <algorithm>

#include "base/log.h"
#include "runner/device_runner_impl.h"

namespace hadal {
namespace {

/// Without events a launched step could not be waited for alone.
int32_t depth_of(const Device& device, const DeviceRunnerOptions& options) {
  if (device.api().event_create == nullptr) return 1;
  const int32_t possible = std::clamp(device.facts().steps_in_flight, 1, DeviceRunner::kMaxStepsInFlight);
  return options.steps_in_flight > 0 ? std::min(possible, options.steps_in_flight) : possible;
}

bool pads(const Device& device, const DeviceRunnerOptions& options) {
  return options.pad_to_bucket || (device.facts().graphs != 0 && !options.enforce_eager);
}

int32_t largest_bucket(const DeviceRunnerOptions& options) {
  const int32_t asked = options.max_cudagraph_capture_size > 0 ? options.max_cudagraph_capture_size : 512;
  return std::min({asked, options.max_rows, options.model.max_tokens});
}

}  // namespace

DeviceRunner::DeviceRunner(std::shared_ptr<Device> device, const DeviceRunnerOptions& options)
    : device_(std::move(device)), options_(options), depth_(depth_of(*device_, options)) {}

/// Steps in flight read and write memory that is about to go.
DeviceRunner::~DeviceRunner() {
  if (launched_.empty()) return;
  if (const Status status = device_->wait(stream_); !status.ok())
    log_warning("a step in flight while its runner ends: {}", message_of(status));
}

CacheSizing DeviceRunner::cache_sizing() const {
  return {.block_tokens = options_.block_tokens,
          .num_blocks = options_.num_blocks,
          .cache_bytes = options_.cache_bytes,
          .max_model_len = options_.model.max_model_len,
          .max_tokens = options_.model.max_tokens,
          .max_rows = options_.max_rows};
}

bool DeviceRunner::sizes_by_use() const {
  return options_.memory_bytes > 0 && device_->facts().host_memory == 0;
}

bool DeviceRunner::captures() const {
  return device_->facts().graphs != 0 && !options_.enforce_eager && !graphs_.buckets().empty();
}

Status DeviceRunner::init(const ModelConfig& config, std::shared_ptr<const Checkpoint> checkpoint) {
  const uint64_t free_at_start = device_->facts().free_bytes;
  // the size of the cache is checked before weights are read: a wrong option should fail at once
  ASSIGN_OR_RETURN(specs_, size_cache(cache_groups_of(config, options_.model.cache), cache_sizing()));
  RETURN_IF_ERROR(load_model(config, std::move(checkpoint)));
  if (model_->cache_groups().size() != specs_.size())
    return internal_error("the model's cache groups changed");
  if (sizes_by_use()) specs_ = smallest_cache();
  RETURN_IF_ERROR(make_cache());
  describe(config);
  RETURN_IF_ERROR(with_what_would_fit(make_buffers()));
  RETURN_IF_ERROR(with_what_would_fit(measure()));
  if (sizes_by_use()) {
    RETURN_IF_ERROR(size_by_use(config, free_at_start));
    RETURN_IF_ERROR(make_meter());  // what those steps chose does not count
  }
  return captures() ? capture_graphs() : OkStatus();
}

Status DeviceRunner::with_what_would_fit(const Status& made) const {
  if (made.code() != absl::StatusCode::kResourceExhausted) return made;
  const BackendFacts facts = device_->facts();
  return annotate(made,
                  fmt::format("the device has {} MiB free of {} MiB beside weights and a KV cache of {} "
                              "MiB, too little for steps of {} tokens and {} rows; a smaller cache, "
                              "--max-num-batched-tokens or --max-num-seqs would help",
                              facts.free_bytes >> 20, facts.total_bytes >> 20,
                              cache_bytes_of(model_->cache_groups(), specs_) >> 20, options_.model.max_tokens,
                              options_.max_rows));
}

Status DeviceRunner::make_cache() {
  ASSIGN_OR_RETURN(CacheMemory cache, CacheMemory::create(*device_, *model_, specs_));
  cache_ = std::make_unique<CacheMemory>(std::move(cache));
  return OkStatus();
}

/// The device may still be reading the mapped checkpoint when the model is made, or could not be.
Status DeviceRunner::load_model(const ModelConfig& config, std::shared_ptr<const Checkpoint> checkpoint) {
  StatusOr<std::unique_ptr<Model>> model =
      Model::create(config, checkpoint, device_, communicator_, options_.model);
  const StatusOr<BackendLoadReport> report = device_->finish_prepare();
  RETURN_IF_ERROR(model.status());
  RETURN_IF_ERROR(report.status());
  model_ = std::move(*model);
  if (report->seconds > 0) {
    const double gigabytes = static_cast<double>(report->bytes) * 1e-9;
    log_info("weights: {:.2f} GB in {:.2f} s, {:.2f} GB/s", gigabytes, report->seconds,
             gigabytes / report->seconds);
  }
  return OkStatus();
}

void DeviceRunner::describe(const ModelConfig& config) {
  info_.vocab_size = config.vocab;
  info_.max_model_len = options_.model.max_model_len;
  info_.max_tokens_per_step = options_.model.max_tokens;
  info_.max_rows_per_step = options_.max_rows;
  info_.steps_in_flight = depth_;
  info_.forms_differ = config.mla.has_value();  // expanded and absorbed round differently
  info_.device = device_->facts().name;
  info_.groups.clear();
  for (const CacheGroupSpec& spec : specs_)
    info_.groups.push_back({spec.name, spec.block_tokens, spec.num_blocks, spec.window});
}

Status DeviceRunner::make_buffers() {
  const BatchLimits limits{.max_tokens = options_.model.max_tokens,
                           .max_rows = options_.max_rows,
                           .max_model_len = options_.model.max_model_len,
                           .vocab_size = info_.vocab_size,
                           .slots = depth_};
  ASSIGN_OR_RETURN(BatchBuffers batch, BatchBuffers::create(*device_, limits, specs_));
  batch_ = std::make_unique<BatchBuffers>(std::move(batch));
  ASSIGN_OR_RETURN(Sampler sampler, Sampler::create(*device_, stream_,
                                                    {.max_rows = options_.max_rows,
                                                     .vocab_size = info_.vocab_size,
                                                     .max_model_len = options_.model.max_model_len,
                                                     .slots = depth_}));
  sampler_ = std::make_unique<Sampler>(std::move(sampler));
  sources_ = std::make_unique<TokenSources>(sampler_->place_stride());
  RETURN_IF_ERROR(make_meter());
  ASSIGN_OR_RETURN(logits_, device_->allocate(static_cast<uint64_t>(options_.model.max_logit_rows) *
                                              static_cast<uint64_t>(info_.vocab_size) * sizeof(float)));
  for (Marks& marks : marks_) {
    ASSIGN_OR_RETURN(marks.started, device_->create_event());
    ASSIGN_OR_RETURN(marks.done, device_->create_event());
  }
  if (options_.measure_gaps) {
    ASSIGN_OR_RETURN(gaps_, StepGaps::create(*device_, depth_));
  }
  if (pads(*device_, options_)) graphs_ = StepGraphs(step_buckets(largest_bucket(options_)));
  return OkStatus();
}

Status DeviceRunner::make_meter() {
  ASSIGN_OR_RETURN(experts_, ExpertLoadMeter::create(*device_, model_->expert_counters(), depth_));
  return OkStatus();
}

Mat DeviceRunner::logits(int64_t first, int64_t rows) const {
  return Mat{logits_.as<float>() + first * info_.vocab_size, rows, info_.vocab_size, info_.vocab_size,
             DType::kF32};
}

/// Walks the forward pass with the largest shapes of each kind and reserves the workspace that the ops ask
/// for. Nothing may grow it later: graphs know its address.
Status DeviceRunner::measure() {
  const int32_t tokens = options_.model.max_tokens;
  const int32_t rows = std::min(options_.max_rows, tokens);
  device_->set_measuring(true);
  Status measured = measure_batch(TokenForm::kPrompt, 1, tokens);
  if (measured.ok()) measured = measure_batch(TokenForm::kPrompt, rows, tokens);
  if (measured.ok()) measured = measure_batch(TokenForm::kOutput, rows, rows);
  if (measured.ok()) measured = measure_batch(TokenForm::kOutput, 1, tokens);
  if (measured.ok()) measured = measure_batch(TokenForm::kOutput, rows, tokens);
  for (const int32_t bucket : graphs_.buckets()) {
    if (measured.ok()) measured = measure_batch(TokenForm::kOutput, bucket, bucket);
  }
  if (measured.ok()) {
    // alternatives: as many as a request may ask for, whatever it is that a server allows
    measured = device_->run(
        stream_, OpKind::kSample,
        sampler_->args_for_measuring(logits(0, options_.model.max_logit_rows), info_.vocab_size));
  }
  device_->set_measuring(false);
  RETURN_IF_ERROR(measured);
  return device_->reserve_workspace(device_->measured_workspace_bytes());
}

Status DeviceRunner::measure_batch(TokenForm form, int32_t segments, int32_t tokens) {
  batch_->shape_for_measuring(form, segments, tokens);
  return forward(0, static_cast<size_t>(options_.model.max_logit_rows));
}

/// The shape runs once op by op first, with padding alone, so that kernels are loaded when they are captured.
StatusOr<Graph> DeviceRunner::capture_graph(int32_t bucket) {
  batch_->fill_with_padding(0, bucket);
  batch_->set_logit_rows(std::vector<int32_t>(static_cast<size_t>(bucket), 0));
  RETURN_IF_ERROR(batch_->send(*device_, stream_));
  RETURN_IF_ERROR(forward_bucket(bucket));
  RETURN_IF_ERROR(device_->wait(stream_));
  StatusOr<Graph> graph = device_->capture(stream_, [&] { return forward_bucket(bucket); });
  if (graph.ok()) return graph;
  return annotate(graph.status(), fmt::format("a graph of {} rows (enforce_eager does without)", bucket));
}

/// One a bucket.
Status DeviceRunner::capture_graphs() {
  const MonotonicTime started = Clock::real().now();
  for (const int32_t bucket : graphs_.buckets()) {
    ASSIGN_OR_RETURN(Graph graph, capture_graph(bucket));
    graphs_.add(bucket, std::move(graph));
  }
  log_info("captured {} graphs of up to {} rows in {:.2f} s", graphs_.buckets().size(),
           graphs_.buckets().back(), seconds_between(started, Clock::real().now()));
  return OkStatus();
}

namespace {

Status check_options(const DeviceRunnerOptions& options) {
  if (options.max_rows < 1) return invalid_argument("max_rows must be at least 1, got {}", options.max_rows);
  if (options.model.max_tokens < 1) return invalid_argument("max_tokens must be at least 1");
  if (options.model.max_model_len < 2) return invalid_argument("max_model_len must be at least 2");
  if (options.block_tokens < 0 || options.block_tokens > 4096)
    return invalid_argument("a block of {} tokens", options.block_tokens);
  if (options.max_cudagraph_capture_size < 0) {
    return invalid_argument("max_cudagraph_capture_size must not be negative, got {}",
                            options.max_cudagraph_capture_size);
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
