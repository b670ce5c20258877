// Draws tokens from logits on the device: writes the SampleRows and what they point to, runs kSample, fetches
// the results.
//
// Rows, results and the ids that penalties, biases and masks need lie in device memory. That memory grows
// when a step needs more (it is not part of what a graph captures).
//
// Threads: one. A second step in flight needs a second instance.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "runner/step_plan.h"

namespace hadal {

class Sampler {
 public:
  static StatusOr<Sampler> create(Device& device, int32_t max_rows, int32_t vocab_size);

  /// Draws one token for each of `rows` (kSampleLast rows) from the rows of `logits`, in order, and starts
  /// fetching the results. Errors: invalid_argument for a row without sampling parameters or with ids outside
  /// the vocabulary.
  Status draw(Device& device, BackendStream* stream, const std::vector<const StepRow*>& rows,
              const Mat& logits);

  /// The results of the last draw, in order; valid once the stream has been waited for.
  std::vector<SampledToken> results() const;

  /// The descriptor for `rows` rows, for measuring.
  SampleArgs args(const Mat& logits, int32_t top_stride) const;

 private:
  Sampler(int32_t max_rows, int32_t vocab_size) : max_rows_(max_rows), vocab_size_(vocab_size) {}

  /// Bytes that SampleRows point to: gathered on the host, copied at once.
  class Arena {
   public:
    void clear() { bytes_.clear(); }
    /// Offset of the copy of `count` values.
    template <typename T>
    size_t add(const T* values, size_t count);
    const std::vector<uint8_t>& bytes() const { return bytes_; }

   private:
    std::vector<uint8_t> bytes_;
  };
  struct Offsets {  // into the arena, valid where the matching count is > 0
    size_t prompt = 0, output = 0, bias_ids = 0, bias_values = 0, mask = 0;
  };

  Status check(const StepRow& row) const;
  SampleRow describe(const StepRow& row, Offsets& offsets);
  size_t add_mask(const std::vector<int32_t>& forbidden);
  Status reserve(Device& device, int32_t top_stride);
  Status upload(Device& device, BackendStream* stream, const std::vector<const StepRow*>& rows);
  Status fetch(Device& device, BackendStream* stream);

  int32_t max_rows_, vocab_size_;
  Arena arena_;
  std::vector<SampleRow> host_rows_;
  std::vector<Offsets> offsets_;
  Buffer device_arena_, device_rows_, device_tokens_, device_logprobs_, device_ranks_, device_top_ids_,
      device_top_logprobs_;

  // of the last draw
  int32_t top_stride_ = 0;
  std::vector<int32_t> logprobs_wanted_, tokens_, ranks_, top_ids_;
  std::vector<float> logprobs_, top_logprobs_;
};

}  // namespace hadal
