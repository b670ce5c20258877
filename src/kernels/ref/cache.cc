#include "kernels/ref/cache.h"

#include <cstring>

#include "kernels/ref/ref_ops.h"

namespace hadal::ref {

Status write_kv_mla(const WriteKvMlaArgs& args) {
  const CacheLayer& cache = args.cache;
  const int64_t latent_bytes = args.latent.cols * bytes_of(cache.dtype);
  const int64_t record_bytes = latent_bytes + args.k_rope.cols * bytes_of(cache.rope_dtype);
  if (args.latent.rows != args.k_rope.rows || record_bytes > cache.token_bytes) {
    return invalid_argument("write_kv_mla: a record of {} bytes does not fit {}", record_bytes,
                            cache.token_bytes);
  }
  for (int64_t r = 0; r < args.latent.rows; ++r) {
    char* record = cache_record(cache, args.slots[r]);
    write_cached(cache.dtype, record, args.latent, r, 0, args.latent.cols, cache.k_scale);
    write_cached(cache.rope_dtype, record + latent_bytes, args.k_rope, r, 0, args.k_rope.cols, cache.k_scale);
  }
  return OkStatus();
}

Status write_kv_gqa(const WriteKvGqaArgs& args) {
  const CacheLayer& cache = args.cache;
  const int64_t key_bytes = args.k.cols * bytes_of(cache.dtype);
  const int64_t record_bytes = key_bytes + args.v.cols * bytes_of(cache.dtype);
  if (args.k.rows != args.v.rows || record_bytes > cache.token_bytes) {
    return invalid_argument("write_kv_gqa: a record of {} bytes does not fit {}", record_bytes,
                            cache.token_bytes);
  }
  for (int64_t r = 0; r < args.k.rows; ++r) {
    char* record = cache_record(cache, args.slots[r]);
    write_cached(cache.dtype, record, args.k, r, 0, args.k.cols, cache.k_scale);
    write_cached(cache.dtype, record + key_bytes, args.v, r, 0, args.v.cols, cache.v_scale);
  }
  return OkStatus();
}

Status copy_blocks(const CopyBlocksArgs& args) {
  const CacheLayer& cache = args.cache;
  const size_t bytes = static_cast<size_t>(cache.block_tokens * cache.token_bytes);
  for (int32_t i = 0; i < args.count; ++i) {
    const int64_t from = int64_t{args.pairs[2 * i]} * cache.block_tokens;
    const int64_t to = int64_t{args.pairs[2 * i + 1]} * cache.block_tokens;
    std::memmove(cache_record(cache, to), cache_record(cache, from), bytes);
  }
  return OkStatus();
}

}  // namespace hadal::ref
