// Matrix products as the other ops of this backend call them. Private to kernels/cuda.
//
// Four families, chosen by the host from shapes and formats alone:
//   skinny   up to 16 rows of x, bfloat16 x, weights dense BF16, fp8 or AWQ: reads each weight once, straight
//            into tensor-core fragments
//   wgmma    more rows, bfloat16 x, weights dense BF16, on Hopper: warpgroup products fed by the copy engine,
//            the inner length split over a cluster where the tiles alone leave multiprocessors idle
//   tile     any number of rows, the formats of skinny, any GPU: tensor-core tiles fed through shared memory,
//            split alike (sm_90)
//   generic  everything else (float32 activations, F32 and F16 weights, odd inner lengths), float32 FMA
// With CudaDevice::batch_invariant the skinny family is left out and splits depend on the weight's shape
// alone, so that a row's bits do not depend on the number of rows.
#pragma once

#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/status.h"

namespace hadal::cuda {

inline constexpr int32_t kMaxLinearOuts = 4;

/// Scratch that a product of `x` needs (from x's dtype, shape, stride and address; a null address counts as
/// aligned): 0 where x's rows begin on 16 bytes.
uint64_t launch_linear_workspace(const Mat& x);

/// out[r, n] = sum_k x[r, k] * W[n, k] (+ bias[n]) (+ out[r, n] with `accumulate`, F32 only). x and out: F32
/// or BF16, any strides. `weight` lies in device memory as kernels/cuda/prepared.h says.
Status launch_linear(CudaDevice& device, cudaStream_t stream, const Mat& x, const WeightRef& weight,
                     const Mat& out, int32_t accumulate, const Workspace& workspace);

/// The same with the output's columns dealt out in order: outs[0] takes the first outs[0].cols of them and so
/// on; together they are weight.rows. Every out has x.rows rows; dtypes may differ.
Status launch_linear_split(CudaDevice& device, cudaStream_t stream, const Mat& x, const WeightRef& weight,
                           const Mat* outs, int32_t count, const Workspace& workspace);

/// Whether launch_linear_silu takes these: Hopper, everything BF16, gate | up dense without bias.
bool linear_silu_supports(const CudaDevice& device, const Mat& x, const WeightRef& gate_up, const Mat& out);

/// out[r, n] = silu(gate_n x_r) * (up_n x_r) with gate and up the halves of one weight [2 out.cols, x.cols]:
/// an MLP's hidden values in one kernel. Scratch as launch_linear_workspace says.
Status launch_linear_silu(CudaDevice& device, cudaStream_t stream, const Mat& x, const WeightRef& gate_up,
                          const Mat& out, const Workspace& workspace);

}  // namespace hadal::cuda
