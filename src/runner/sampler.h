// Draws tokens from logits on the device: writes the SampleRows and what they point to, runs kSample, brings
// the results back.
//
// A step goes through `prepare` (checks, host memory only), `send` (one copy), `draw`, `fetch` (one copy, two
// with lists of alternatives) and, once the stream has passed, `results`. Rows and what they point to lie in
// one region, on the host one a step in flight. That memory grows when a step needs more than any before it,
// after waiting for the stream (it is not part of what a graph captures).
//
// Threads: one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "runner/step_plan.h"
#include "runner/token_sources.h"

namespace hadal {

class Sampler {
 public:
  /// `max_rows`: drawn by one step. `slots`: steps in flight.
  static StatusOr<Sampler> create(Device& device, BackendStream* stream, int32_t max_rows, int32_t vocab_size,
                                  int32_t slots);

  /// Elements between two places of a TokenSources over drawn().
  int32_t place_stride() const { return 3 * max_rows_; }
  /// Tokens drawn by earlier steps, indexed as TokenSources says.
  const int32_t* drawn() const { return device_results_.as<int32_t>(); }

  /// Writes what is to be drawn for each of `rows` (kSampleLast rows), in order, to place `place`. Errors:
  /// invalid_argument for a row without sampling parameters or with ids outside the vocabulary.
  Status prepare(int32_t slot, const std::vector<const StepRow*>& rows, const TokenSources& sources);
  Status send();
  /// Draws one token for each of the prepared rows from the rows of `logits`.
  Status draw(const Mat& logits);
  Status fetch();

  /// What the step in this slot drew, in order; valid once the stream has passed its fetch.
  std::vector<SampledToken> results(int32_t slot) const;

  /// The descriptor for `rows` rows, for measuring.
  SampleArgs args_for_measuring(const Mat& logits, int32_t top_stride) const;

 private:
  struct Slot {
    Buffer region;   // [rows] SampleRow, then what they point to
    Buffer results;  // tokens, log-probabilities, ranks
    Buffer top;      // ids, log-probabilities of alternatives
    std::vector<int32_t> logprobs_wanted;
    int32_t top_stride = 0;
    bool any_logprobs = false;
  };
  Sampler(Device& device, BackendStream* stream, int32_t max_rows, int32_t vocab_size)
      : device_(&device), stream_(stream), max_rows_(max_rows), vocab_size_(vocab_size) {}

  Status check(const StepRow& row) const;
  size_t bytes_of(const StepRow& row) const;
  Status reserve(size_t region_bytes, uint64_t top_bytes);
  Status grow(Buffer& buffer, uint64_t bytes, MemoryKind kind);
  template <typename T>
  const T* put(const T* values, size_t count);
  StatusOr<SampleRow> describe(const StepRow& row, const TokenSources& sources);
  void put_bias(const SamplingParams& params, SampleRow& out);
  const uint32_t* put_mask(const StepRow& row);
  Slot& slot() { return slots_[static_cast<size_t>(slot_)]; }
  size_t rows() const { return slots_[static_cast<size_t>(slot_)].logprobs_wanted.size(); }

  Device* device_;
  BackendStream* stream_;
  int32_t max_rows_, vocab_size_;
  std::vector<Slot> slots_;
  Buffer device_region_;
  Buffer device_results_;  // [TokenSources::kPlaces][tokens, log-probabilities, ranks]
  Buffer device_top_;

  // of the step being prepared and launched
  int32_t slot_ = 0;
  int32_t place_ = 0;
  size_t used_ = 0;  // bytes of the region
};

}  // namespace hadal
