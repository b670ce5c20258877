// The metadata of a step in device memory, at addresses that never change over a runner's life, so that a
// step can be captured into a graph and replayed. Filled from a StepPlan: output segments first, then prompt
// segments.
//
// Threads: one. A second step in flight needs a second instance.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "kvcache/block_math.h"
#include "runner/step_plan.h"

namespace hadal {

struct BatchLimits {
  int32_t max_tokens = 0;
  int32_t max_rows = 0;
  int32_t max_model_len = 0;
  int32_t vocab_size = 0;
};

class BatchBuffers {
 public:
  static StatusOr<BatchBuffers> create(Device& device, const BatchLimits& limits,
                                       const std::vector<CacheGroupSpec>& groups);

  /// Checks the plan against the limits and copies its metadata to the device. Errors: invalid_argument
  /// naming what does not fit; unimplemented for drafts, adapters and tokens still on the device.
  Status fill(Device& device, BackendStream* stream, const StepPlan& plan);

  /// Metadata of a step of `segments` segments in one form with `tokens` tokens in all and the longest
  /// context, for measuring.
  void shape_for_measuring(TokenForm form, int32_t segments, int32_t tokens);

  const BatchMeta& batch() const { return batch_; }
  const std::vector<GroupMeta>& groups() const { return groups_; }
  /// Batch row of the last token of plan row `row` (of its source, for a draw row).
  int32_t last_token_of(size_t row) const { return last_token_[row]; }

 private:
  BatchBuffers(const BatchLimits& limits, const std::vector<CacheGroupSpec>& specs)
      : limits_(limits), specs_(specs) {}
  Status allocate(Device& device);
  Status check_row(const StepPlan& plan, size_t index) const;
  Status add_segment(const StepRow& row);
  Status upload(Device& device, BackendStream* stream);

  BatchLimits limits_;
  std::vector<CacheGroupSpec> specs_;
  BatchMeta batch_;
  std::vector<GroupMeta> groups_;
  std::vector<int32_t> last_token_;

  // host side, then device side
  std::vector<int32_t> token_ids_, positions_, query_start_, context_len_;
  std::vector<uint8_t> form_;
  std::vector<std::vector<int32_t>> slots_, tables_;
  Buffer device_token_ids_, device_positions_, device_query_start_, device_context_len_, device_form_;
  std::vector<Buffer> device_slots_, device_tables_;
};

}  // namespace hadal
