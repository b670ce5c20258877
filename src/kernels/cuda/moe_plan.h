// The experts of a mixture, or the slices of an MLP, as the kernels take them: which kernels, what scratch,
// and the launches. Private to kernels/cuda.
//
// Kernels by load (tokens an expert on average); all but the last need the shapes of kernels/moe_skinny.h and
// bfloat16 activations:
//   tiny     up to 4 tokens: every pair for itself, no sorting
//   skinny   weights as the 16-row side of tensor-core products, read once for up to 32 tokens
//   gemm     tiles of 128 tokens; bfloat16 experts on Hopper on its own instructions (kernels/moe_wgmma.h)
//   generic  float32 without tensor cores
// With CudaDevice::batch_invariant only tiny and skinny, whose values have the same bits.
#pragma once

#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/kernels/moe_params.h"
#include "kernels/cuda/prepared.h"

namespace hadal::cuda {

/// The experts of a group. False where they are not alike, or a matrix is absent.
bool routed_experts(const CudaGroup& group, int32_t count, ExpertSet& set);

/// An MLP [width of x -> its width -> width of x] cut into `count` slices, each an expert of its own whose
/// results add up to the MLP's. False where scale blocks do not allow it or there are biases.
bool mlp_slices(const CudaGroup& group, int32_t count, ExpertSet& set);

/// Whether the tensor-core kernels take these experts.
bool fast_experts(const ExpertSet& set, int64_t width, int64_t inner);

enum class MoePath : int32_t { kTiny, kSkinny, kGemm, kGeneric };

/// What kernels are asked to do; `ids` and `weights` may be null where there are no routed experts.
struct MoeWork {
  ExpertSet routed{}, shared{};
  Mat x;
  Mat out;  // F32
  int64_t inner = 0;
  int32_t top_k = 0;
  const int32_t* ids = nullptr;
  const float* weights = nullptr;
  const int32_t* live = nullptr;
  int32_t accumulate = 0;
  bool fast = false;
};

/// Scratch for `tokens` rows or fewer, on whatever path.
uint64_t moe_scratch_bytes(const CudaDevice& device, const MoeWork& work);
MoePath moe_path(const CudaDevice& device, const MoeWork& work);
Status run_moe(CudaDevice& device, cudaStream_t stream, const MoeWork& work, MoePath path,
               const Workspace& workspace);

/// silu(gate x) * up x of an MLP as one slice, on tiles of 128 tokens, into `hidden` [tokens, inner] without
/// gaps. x's rows lie on 16 bytes.
Status run_mlp_gate_up(CudaDevice& device, cudaStream_t stream, const MoeWork& work, void* hidden);

}  // namespace hadal::cuda
