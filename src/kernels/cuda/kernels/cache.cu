#include "kernels/cuda/kernels/cache.cuh"
#include "kernels/cuda/kernels/cache.h"
#include "kernels/cuda/kernels/launch.cuh"

namespace hadal::cuda {
namespace {

constexpr int kThreads = 128;

__device__ void write_part(const CachePart& part, char* record, int64_t row) {
  for (int64_t column = int64_t{threadIdx.x} * kGroup; column < part.x.cols;
       column += int64_t{blockDim.x} * kGroup) {
    const int count = static_cast<int>(min(int64_t{kGroup}, part.x.cols - column));
    const bool vector = part.vector && count == kGroup;
    float values[kGroup];
    load_group(part.x.dtype, part.x.data, row * part.x.stride + column, count, vector, values);
#pragma unroll
    for (int i = 0; i < kGroup; ++i) values[i] = cache_value(part.dtype, values[i], part.scale);
    store_group(part.dtype, record + part.offset, column, count, vector, values);
  }
}

__global__ void __launch_bounds__(kThreads)
    write_cache_kernel(CacheLayer cache, const int32_t* slots, CachePart first, CachePart second) {
  let_next_start();
  wait_for_previous();
  const int64_t row = blockIdx.x;
  char* record = cache_record(cache, slots[row]);
  write_part(first, record, row);
  write_part(second, record, row);
}

/// A thread moves the same piece of every pair's block, pair by pair, so that a block which is first copied
/// from and then to (or the other way round) comes out as if the pairs ran one behind the other.
template <typename Piece>
__global__ void __launch_bounds__(kThreads) copy_blocks_kernel(CopyBlocksArgs p, int64_t pieces) {
  let_next_start();
  wait_for_previous();
  const int64_t piece = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (piece >= pieces) return;
  auto* base = static_cast<char*>(p.cache.base);
  for (int32_t i = 0; i < p.count; ++i) {
    const auto* from = reinterpret_cast<const Piece*>(base + int64_t{p.pairs[2 * i]} * p.cache.block_stride);
    auto* to = reinterpret_cast<Piece*>(base + int64_t{p.pairs[2 * i + 1]} * p.cache.block_stride);
    to[piece] = from[piece];
  }
}

}  // namespace

void launch_write_cache(cudaStream_t stream, const CacheLayer& cache, const int32_t* slots,
                        const CachePart& first, const CachePart& second) {
  const int64_t groups = (max(first.x.cols, second.x.cols) + kGroup - 1) / kGroup;
  const auto threads = static_cast<unsigned>(min(int64_t{kThreads}, (groups + 31) / 32 * 32));
  launch_kernel<write_cache_kernel>(stream, {static_cast<unsigned>(first.x.rows), threads}, cache, slots,
                                    first, second);
}

void launch_copy_blocks(cudaStream_t stream, const CopyBlocksArgs& args, bool vector) {
  const int64_t bytes = args.cache.block_tokens * args.cache.token_bytes;
  const int64_t pieces = vector ? bytes / 16 : bytes;
  const auto blocks = static_cast<unsigned>((pieces + kThreads - 1) / kThreads);
  if (vector) {
    launch_kernel<copy_blocks_kernel<uint4>>(stream, {blocks, kThreads}, args, pieces);
  } else {
    launch_kernel<copy_blocks_kernel<uint8_t>>(stream, {blocks, kThreads}, args, pieces);
  }
}

}  // namespace hadal::cuda
