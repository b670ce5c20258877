// The runner of one rank on one Device: owns the model, the cache memory, batch metadata buffers and the
// sampler's.
#pragma once

#include <memory>

#include "base/status.h"
#include "device/device.h"
#include "model/model.h"
#include "runner/runner.h"

namespace hadal {

struct DeviceRunnerOptions {
  int32_t block_tokens = 64;  // 0: what each cache group asks for
  /// Either usable blocks of the (largest) group, the null block on top, or bytes of cache memory over all
  /// groups with their null blocks; one of them > 0.
  int32_t num_blocks = 0;
  uint64_t cache_bytes = 0;
  /// > 0, on a device with memory of its own: bytes that it may take of it in all. cache_bytes is then a
  /// first guess, which must hold a sequence; the cache gets what is left when all else is there and the
  /// largest steps have run (device_runner_memory.cc).
  uint64_t memory_bytes = 0;
  bool fit_max_model_len = false;  // with memory_bytes: a shorter context is better than none (RunnerInfo)
  int32_t max_rows = 64;           // rows (segments) of one step
  /// Decode steps of up to so many rows are captured into graphs at start, one a bucket
  /// (runner/step_graphs.h); 0: min(max_rows, 512). Devices without graphs capture nothing.
  int32_t max_cudagraph_capture_size = 0;
  bool enforce_eager = false;  // no graphs
  /// Decode steps are padded to their bucket even where they are not captured: what a graph computes, op by
  /// op (tests).
  bool pad_to_bucket = false;
  bool measure_gaps = false;    // StepResult::gap
  int32_t steps_in_flight = 0;  // at most so many; 0: as many as the device takes (tests)
  ModelOptions model;
};

/// Loads `config` and `checkpoint` on `device`, sizes and binds the cache, measures and reserves the
/// workspace, captures graphs. Errors: as Model::create; resource_exhausted where the cache cannot hold one
/// sequence of max_model_len tokens, or the device has too little memory.
StatusOr<std::unique_ptr<Runner>> make_device_runner(const ModelConfig& config,
                                                     std::shared_ptr<const Checkpoint> checkpoint,
                                                     std::shared_ptr<Device> device,
                                                     const DeviceRunnerOptions& options);

}  // namespace hadal
