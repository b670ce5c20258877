// Ops on the paged cache: write_kv_mla, write_kv_gqa, copy_blocks.
#include "kernels/cuda/alignment.h"
#include "kernels/cuda/kernels/cache.h"
#include "kernels/cuda/ops.h"

namespace hadal::cuda {
namespace {

CachePart part_of(const CacheLayer& cache, const Mat& x, int64_t offset, DType dtype, float scale) {
  const uint64_t alignment = group_alignment(dtype);
  const bool records_aligned = is_aligned(static_cast<const char*>(cache.base) + offset, alignment) &&
                               static_cast<uint64_t>(cache.token_bytes) % alignment == 0 &&
                               static_cast<uint64_t>(cache.block_stride) % alignment == 0;
  return {x, offset, dtype, scale, records_aligned && rows_aligned(x)};
}

Status write_parts(std::string_view op, cudaStream_t stream, const CacheLayer& cache, const int32_t* slots,
                   const CachePart& first, const CachePart& second) {
  const int64_t record_bytes = second.offset + second.x.cols * bytes_of(second.dtype);
  if (first.x.rows != second.x.rows || record_bytes > cache.token_bytes) {
    return invalid_argument("{}: a record of {} bytes does not fit {}", op, record_bytes, cache.token_bytes);
  }
  for (const CachePart* part : {&first, &second}) {
    if (!is_activation(part->x.dtype) || !is_cached(part->dtype)) {
      return unimplemented("{}: {} into a cache of {}", op, dtype_name(part->x.dtype),
                           dtype_name(part->dtype));
    }
  }
  if (first.x.rows > 0) launch_write_cache(stream, cache, slots, first, second);
  return OkStatus();
}

}  // namespace

Status write_kv_mla(CudaDevice& device, cudaStream_t stream, const WriteKvMlaArgs& args) {
  const CacheLayer& cache = args.cache;
  const int64_t latent_bytes = args.latent.cols * bytes_of(cache.dtype);
  device.note("cuda.write_kv_mla");
  return write_parts("write_kv_mla", stream, cache, args.slots,
                     part_of(cache, args.latent, 0, cache.dtype, cache.k_scale),
                     part_of(cache, args.k_rope, latent_bytes, cache.rope_dtype, cache.k_scale));
}

Status write_kv_gqa(CudaDevice& device, cudaStream_t stream, const WriteKvGqaArgs& args) {
  const CacheLayer& cache = args.cache;
  const int64_t key_bytes = args.k.cols * bytes_of(cache.dtype);
  device.note("cuda.write_kv_gqa");
  return write_parts("write_kv_gqa", stream, cache, args.slots,
                     part_of(cache, args.k, 0, cache.dtype, cache.k_scale),
                     part_of(cache, args.v, key_bytes, cache.dtype, cache.v_scale));
}

Status copy_blocks(CudaDevice& device, cudaStream_t stream, const CopyBlocksArgs& args) {
  const CacheLayer& cache = args.cache;
  if (args.count <= 0) return OkStatus();
  const int64_t bytes = cache.block_tokens * cache.token_bytes;
  const bool vector = is_aligned(cache.base, 16) && cache.block_stride % 16 == 0 && bytes % 16 == 0;
  launch_copy_blocks(stream, args, vector);
  device.note("cuda.copy_blocks");
  return OkStatus();
}

}  // namespace hadal::cuda
