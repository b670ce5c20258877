// Sampling: one cluster of blocks a row where the GPU has clusters, else a kernel a phase (kernels/sample.h).
#include "kernels/cuda/kernels/sample.h"

#include "kernels/cuda/ops.h"

namespace hadal::cuda {
namespace {

constexpr int64_t kMaxRows = 65535;  // of a grid

SampleScratch scratch_for(const SampleArgs& args, bool clusters) {
  const int64_t vocab = args.logits.cols;
  const int parts = sample_parts(vocab, clusters), capacity = sample_capacity(vocab);
  return {static_cast<char*>(args.workspace.data), sample_row_bytes(parts, capacity), parts, capacity};
}

bool runs_clusters(const CudaDevice& device) { return device.major >= 9 && sample_runs_clusters(); }

}  // namespace

uint64_t sample_workspace(const CudaDevice& device, const SampleArgs& args) {
  return static_cast<uint64_t>(args.logits.rows * scratch_for(args, runs_clusters(device)).row_bytes);
}

Status sample(CudaDevice& device, cudaStream_t stream, const SampleArgs& args) {
  if (args.logits.dtype != DType::kF32) return invalid_argument("sample: logits must be F32");
  if (args.logits.cols > kMaxSampleVocab || args.logits.rows > kMaxRows) {
    return unimplemented("sample: [{}, {}] logits, at most [{}, {}] are taken", args.logits.rows,
                         args.logits.cols, kMaxRows, kMaxSampleVocab);
  }
  if (args.logits.rows == 0) return OkStatus();
  const bool clusters = runs_clusters(device);
  const SampleScratch scratch = scratch_for(args, clusters);
  const auto needed = static_cast<uint64_t>(args.logits.rows * scratch.row_bytes);
  if (args.workspace.bytes < needed) {
    return failed_precondition("sample: a workspace of {} bytes is needed, {} are given", needed,
                               args.workspace.bytes);
  }
  if (clusters) {
    device.note("cuda.sample.cluster");
    return check(launch_sample_cluster(stream, args, scratch), "launching the sampler");
  }
  device.note("cuda.sample.phases");
  launch_sample_phases(stream, args, scratch);
  return OkStatus();
}

}  // namespace hadal::cuda
