// What follows the projections of an attention layer, one kernel each (MlaPrologueArgs and GqaPrologueArgs in
// kernels/api/ops.h): norms, rotary embedding and the write into the paged cache.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/api/ops.h"

namespace hadal::cuda {

/// Columns of a norm in launch_mla_prologue.
inline constexpr int64_t kMaxPrologueNormCols = 4096;

/// `args.kv` and `args.q` (or, with query compression, `args.q_latent`) hold the products. Writes the cache;
/// rotates q, or, with query compression, writes q_normed: q is then still to come and launch_rope rotates
/// it. The flags: all rows that the norm touches allow 16-byte accesses.
void launch_mla_prologue(cudaStream_t stream, const MlaPrologueArgs& args, bool vector_latent,
                         bool vector_query);

/// `args.q`, `args.k` and `args.v` hold the products. Rotates q in place; k is written rotated, to the cache
/// alone.
void launch_gqa_prologue(cudaStream_t stream, const GqaPrologueArgs& args);

}  // namespace hadal::cuda
