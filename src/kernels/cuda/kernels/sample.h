// Sampling on the device (SampleArgs in kernels/api/ops.h). A row is split into parts, a block of threads
// each, and goes through five phases (sample_phases.cuh); rows that do not need a phase skip it. From sm_90
// on the parts of a row are a cluster and the phases one kernel; before, each phase is a kernel of its own.
// The number of parts depends on the vocabulary alone, so a row's result does not depend on the rows beside
// it.
//
// All that decides a token is exact or fixed-order: weights are exp in double as 64-bit fixed point, their
// sums are integers, so the order in which threads add them does not matter.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/api/ops.h"

namespace hadal::cuda {

inline constexpr int kMaxSampleVocab = 1 << 18;  // sums of weights fit 64 bits, ids 18
inline constexpr int kSampleBins = 1024;
inline constexpr int kSampleListMax = 4096;  // candidates that are sorted in shared memory
inline constexpr int kSampleTopList = 32;    // largest logits that a part keeps for the list of alternatives

/// What a part of a row found.
struct SamplePart {
  uint64_t best;   // largest adjusted logit and its id (order_of), 0: none above -inf
  double raw_sum;  // of exp(raw logit - largest raw logit of the row)
  float raw_max;   // of the raw logits
  float low;       // smallest adjusted logit above -inf
  uint32_t has_nan;
  uint32_t unused;
};

/// Where a row's scratch lies in the workspace.
struct SampleScratch {
  char* base;
  int64_t row_bytes;
  int32_t parts;
  int32_t capacity;  // of the candidate list
};

/// Candidates that are sorted: fewer for small vocabularies, so that tests of those meet the way beyond the
/// list too.
constexpr int sample_capacity(int64_t vocab) {
  return vocab / 8 < 64 ? 64 : vocab / 8 > kSampleListMax ? kSampleListMax : static_cast<int>(vocab / 8);
}
constexpr int64_t sample_row_bytes(int parts, int capacity) {
  const int64_t bytes = int64_t{parts} * static_cast<int64_t>(sizeof(SamplePart)) +
                        int64_t{kSampleBins} * 12 + 64 + int64_t{capacity} * 8 +
                        int64_t{parts} * kSampleTopList * 8;
  return (bytes + 63) / 64 * 64;
}
/// Parts a row: of a cluster (at most 8 blocks), or of a grid.
constexpr int sample_parts(int64_t vocab, bool cluster) {
  const int64_t parts = cluster ? (vocab + 1023) / 1024 : (vocab + 4095) / 4096;
  return static_cast<int>(cluster && parts > 8 ? 8 : parts);
}

/// Whether the device runs the cluster kernel (sm_90 code was built and is what it loads).
bool sample_runs_clusters();
cudaError_t launch_sample_cluster(cudaStream_t stream, const SampleArgs& args, const SampleScratch& scratch);
void launch_sample_phases(cudaStream_t stream, const SampleArgs& args, const SampleScratch& scratch);

}  // namespace hadal::cuda
