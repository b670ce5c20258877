// Draws tokens from logits on the device: writes the SampleRows and what they point to, runs kSample, brings
// the results back.
//
// A step goes through `prepare` (checks, host memory only), `send` (one copy, one more for each prompt whose
// repetitions are penalised for the first time), `draw`, `fetch` (one copy, two
// with lists of alternatives) and, once the stream has passed, `results`. Rows and what they point to lie in
// one region, on the host one a step in flight. That memory grows when a step needs more than any before it,
// after waiting for the stream (it is not part of what a graph captures); by how much it may on the device is
// known (bytes_to_come).
//
// Threads: one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "runner/prompt_store.h"
#include "runner/step_plan.h"
#include "runner/token_sources.h"

namespace hadal {

struct SamplerLimits {
  int32_t max_rows = 0;  // drawn by one step
  int32_t vocab_size = 0;
  int32_t max_model_len = 0;
  int32_t slots = 1;  // steps in flight
};

class Sampler {
 public:
  /// Alternatives and biases of a row, for bytes_to_come: what a server allows (openai/request.h).
  static constexpr int32_t kUsualLogprobs = 20, kUsualBias = 1024;

  static StatusOr<Sampler> create(Device& device, BackendStream* stream, const SamplerLimits& limits);

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

  /// Device memory that a step may take on top of what is held now: every row with penalties over a whole
  /// context, ids that may not be drawn, kUsualBias biases and kUsualLogprobs alternatives.
  uint64_t bytes_to_come() const;

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
  struct NewPrompt {
    SharedIds prompt;
    int32_t* to = nullptr;  // on the device
    size_t at = 0;          // byte in the slot's region, behind what is used of it
  };
  Sampler(Device& device, BackendStream* stream, const SamplerLimits& limits)
      : device_(&device),
        stream_(stream),
        max_rows_(limits.max_rows),
        vocab_size_(limits.vocab_size),
        max_model_len_(limits.max_model_len) {}
  uint64_t most_region_bytes() const;
  uint64_t most_top_bytes() const;

  Status check(const StepRow& row) const;
  size_t bytes_of(const StepRow& row);
  Status reserve(size_t region_bytes, uint64_t top_bytes);
  Status grow(Buffer& buffer, uint64_t bytes, uint64_t most, MemoryKind kind);
  template <typename T>
  const T* put(const T* values, size_t count);
  StatusOr<SampleRow> describe(const StepRow& row, const TokenSources& sources);
  void put_prompt(const StepRow& row, SampleRow& out);
  void stage_new_prompts();
  void put_bias(const SamplingParams& params, SampleRow& out);
  const uint32_t* put_mask(const StepRow& row);
  Slot& slot() { return slots_[static_cast<size_t>(slot_)]; }
  size_t rows() const { return slots_[static_cast<size_t>(slot_)].logprobs_wanted.size(); }

  Device* device_;
  BackendStream* stream_;
  int32_t max_rows_, vocab_size_, max_model_len_;
  std::vector<Slot> slots_;
  Buffer device_region_;
  Buffer device_results_;  // [TokenSources::kPlaces][tokens, log-probabilities, ranks]
  Buffer device_top_;
  PromptStore prompts_;

  // of the step being prepared and launched
  int32_t slot_ = 0;
  int32_t place_ = 0;
  size_t used_ = 0;  // bytes of the region
  std::vector<NewPrompt> new_prompts_;
};

}  // namespace hadal
