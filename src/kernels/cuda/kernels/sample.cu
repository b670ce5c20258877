#include "kernels/cuda/kernels/launch.cuh"
#include "kernels/cuda/kernels/ptx.cuh"
#include "kernels/cuda/kernels/sample.h"
#include "kernels/cuda/kernels/sample_phases.cuh"

namespace hadal::cuda {
namespace {

/// Grid (parts, rows).
enum class Phase : int32_t { kScan, kWeigh, kCollect, kFinish, kRank };

__device__ __forceinline__ bool needs_weighing(const SampleRow& row) {
  return is_drawn(row) || wants_logprobs(row);
}

template <Phase kPhase>
__global__ void __launch_bounds__(kSampleThreads, 2)
    sample_phase_kernel(SampleArgs args, SampleScratch scratch) {
  __shared__ SampleShared shared;
  const int64_t r = blockIdx.y;
  const int part = static_cast<int>(blockIdx.x);
  let_next_start();
  wait_for_previous();
  const SampleRow row = args.rows[r];
  const RowScratch mine(scratch, r);
  if constexpr (kPhase == Phase::kScan) scan_phase(args, row, r, part, mine, shared);
  if constexpr (kPhase == Phase::kWeigh) {
    if (needs_weighing(row)) weigh_phase(args, row, r, part, mine, shared);
  }
  if constexpr (kPhase == Phase::kCollect) {
    if (is_drawn(row)) collect_phase(args, row, r, part, mine, shared);
  }
  if constexpr (kPhase == Phase::kFinish) finish_phase(args, row, r, mine, shared);
  if constexpr (kPhase == Phase::kRank) {
    if (wants_logprobs(row)) rank_phase(args, r, part, mine, shared);
  }
}

/// The blocks of a row are one cluster. What is skipped depends on the row alone, so its blocks agree about
/// barriers.
__global__ void __launch_bounds__(kSampleThreads, 2)
    sample_cluster_kernel(SampleArgs args, SampleScratch scratch) {
#if __CUDA_ARCH__ >= 900
  __shared__ SampleShared shared;
  const int64_t r = blockIdx.y;
  const int part = static_cast<int>(blockIdx.x);
  let_next_start();
  wait_for_previous();
  const SampleRow row = args.rows[r];
  const RowScratch mine(scratch, r);
  scan_phase(args, row, r, part, mine, shared);
  cluster_barrier();
  if (needs_weighing(row)) {
    weigh_phase(args, row, r, part, mine, shared);
    cluster_barrier();
  }
  if (is_drawn(row)) {
    collect_phase(args, row, r, part, mine, shared);
    cluster_barrier();
  }
  if (part == 0) finish_phase(args, row, r, mine, shared);
  if (wants_logprobs(row)) {
    cluster_barrier();
    rank_phase(args, r, part, mine, shared);
  }
#endif
}

}  // namespace

bool sample_runs_clusters() {
  static const bool runs = [] {
    cudaFuncAttributes attributes{};
    if (cudaFuncGetAttributes(&attributes, sample_cluster_kernel) != cudaSuccess) {
      cudaGetLastError();
      return false;
    }
    return attributes.ptxVersion >= 90;
  }();
  return runs;
}

cudaError_t launch_sample_cluster(cudaStream_t stream, const SampleArgs& args, const SampleScratch& scratch) {
  const auto parts = static_cast<unsigned>(scratch.parts);
  const LaunchShape shape{dim3(parts, static_cast<unsigned>(args.logits.rows)), kSampleThreads, 0, parts};
  return launch_kernel<sample_cluster_kernel>(stream, shape, args, scratch);
}

void launch_sample_phases(cudaStream_t stream, const SampleArgs& args, const SampleScratch& scratch) {
  const auto rows = static_cast<unsigned>(args.logits.rows);
  const dim3 grid(static_cast<unsigned>(scratch.parts), rows);
  launch_kernel<sample_phase_kernel<Phase::kScan>>(stream, {grid, kSampleThreads}, args, scratch);
  launch_kernel<sample_phase_kernel<Phase::kWeigh>>(stream, {grid, kSampleThreads}, args, scratch);
  launch_kernel<sample_phase_kernel<Phase::kCollect>>(stream, {grid, kSampleThreads}, args, scratch);
  launch_kernel<sample_phase_kernel<Phase::kFinish>>(stream, {dim3(1, rows), kSampleThreads}, args, scratch);
  launch_kernel<sample_phase_kernel<Phase::kRank>>(stream, {grid, kSampleThreads}, args, scratch);
}

}  // namespace hadal::cuda
