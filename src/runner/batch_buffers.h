// The metadata of a step, filled from a StepPlan: output segments first, then prompt segments. It is written
// to the host's arena of the step's slot and sent in one copy (runner/step_arena.h). Addresses on the device
// never change, so that a step can be captured into a graph and replayed.
//
// A step may be padded to a *bucket*: then it says what a captured step of that many rows says, and only
// `live_tokens` and the arrays know how many there are (BatchMeta).
//
// Threads: one.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "kvcache/block_math.h"
#include "runner/step_arena.h"
#include "runner/step_plan.h"
#include "runner/token_sources.h"

namespace hadal {

struct BatchLimits {
  int32_t max_tokens = 0;
  int32_t max_rows = 0;
  int32_t max_model_len = 0;
  int32_t vocab_size = 0;
  int32_t slots = 1;  // steps in flight
};

/// Tokens that a row adds to the batch.
inline size_t tokens_of(const StepRow& row) { return row.token_from != 0 ? 1 : row.tokens.size(); }

class BatchBuffers {
 public:
  static StatusOr<BatchBuffers> create(Device& device, const BatchLimits& limits,
                                       const std::vector<CacheGroupSpec>& groups);

  /// Other numbers of blocks, for the checks.
  void set_blocks(const std::vector<CacheGroupSpec>& groups) { specs_ = groups; }

  /// Checks the plan against the limits and writes its metadata to the slot's arena; nothing is asked of the
  /// device. `bucket` > 0: padded to so many rows; every row of the plan is then an output row of one token.
  /// Errors: invalid_argument naming what does not fit; unimplemented for drafts and adapters.
  Status fill(int32_t slot, const StepPlan& plan, const TokenSources& sources, int32_t bucket);
  /// A step of padding alone.
  void fill_with_padding(int32_t slot, int32_t bucket);
  /// Rows of the batch whose logits are wanted, in this order. Part of the fill.
  void set_logit_rows(const std::vector<int32_t>& rows);
  /// Brings what was filled to the device.
  Status send(Device& device, BackendStream* stream) const;

  /// Metadata of a step of `segments` segments in one form with `tokens` tokens in all and the longest
  /// context, for measuring.
  void shape_for_measuring(TokenForm form, int32_t segments, int32_t tokens);

  const BatchMeta& batch() const { return batch_; }
  const std::vector<GroupMeta>& groups() const { return groups_; }
  const int32_t* logit_rows() const { return arena_.device(layout().logit_rows); }
  /// Batch row of the last token of plan row `row` (of its source, for a draw row).
  int32_t last_token_of(size_t row) const { return last_token_[row]; }

  /// The op that brings tokens drawn by earlier steps into the batch; without rows there are none.
  TakeTokensArgs take_tokens(const int32_t* sampled) const;
  /// Blocks that a group is to copy before the step: pairs in device memory.
  struct Copies {
    const int32_t* pairs = nullptr;
    int32_t count = 0;
  };
  Copies copies(size_t group) const;

 private:
  BatchBuffers(const BatchLimits& limits, const std::vector<CacheGroupSpec>& specs);
  const StepLayout& layout() const { return small_in_use_ ? small_ : large_; }
  template <typename T = int32_t>
  T* host(size_t offset) const {
    return arena_.host<T>(slot_, offset);
  }
  void start(int32_t slot, size_t tokens);
  void point_at_arrays();
  Status check_row(const StepPlan& plan, size_t index) const;
  Status check_tokens(const StepRow& row) const;
  Status add_segment(const StepRow& row, const TokenSources& sources);
  Status add_tables(const StepRow& row, int32_t end);
  void take_token(int32_t index);
  Status add_copies(const std::vector<BlockCopy>& copies);
  void pad(int32_t bucket);
  void finish(int32_t bucket);

  BatchLimits limits_;
  std::vector<CacheGroupSpec> specs_;
  std::vector<int32_t> strides_;  // of the block tables, by group
  StepLayout small_, large_;
  StepArena arena_;
  BatchMeta batch_;
  std::vector<GroupMeta> groups_;

  // of the last fill
  int32_t slot_ = 0;
  bool small_in_use_ = false;
  int32_t tokens_ = 0;
  int32_t segments_ = 0;
  int32_t output_segments_ = 0;
  int32_t taken_rows_ = 0;  // rows up to the last whose token is still on the device
  std::vector<int32_t> copy_counts_;
  std::vector<int32_t> last_token_;
};

}  // namespace hadal
