// Records of the paged cache: written here, read by the attention kernels (cache_reader.h).
#include <cstring>

#include "kernels/cpu/row_ops.h"
#include "tensor/convert.h"

namespace hadal::cpu {
namespace {

bool is_cache_dtype(DType dtype) {
  return is_dense_weight(dtype) || dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2;
}

char* record_of(const CacheLayer& cache, int64_t slot) {
  const int64_t block = slot / cache.block_tokens, offset = slot % cache.block_tokens;
  return static_cast<char*>(cache.base) + block * cache.block_stride + offset * cache.token_bytes;
}

/// n values of a row to a record, as x / scale in fp8.
void write_values(const CpuDevice& device, const Mat& from, int64_t row, float* buffer, DType dtype,
                  float scale, char* to) {
  const int64_t n = from.cols;
  const float* v = row_of<float>(from, row);
  if (from.dtype != DType::kF32) {
    if (from.dtype == dtype) {
      std::memcpy(to, v, static_cast<size_t>(n * bytes_of(dtype)));
      return;
    }
    device.kernels.vector->to_f32(elem_of(from.dtype), v, 1.0f, buffer, n);
    v = buffer;
  }
  if (dtype == DType::kF8E4M3) {
    for (int64_t i = 0; i < n; ++i) to[i] = static_cast<char>(e4m3_from_float(v[i] / scale));
  } else if (dtype == DType::kF8E5M2) {
    for (int64_t i = 0; i < n; ++i) to[i] = static_cast<char>(e5m2_from_float(v[i] / scale));
  } else {
    device.kernels.vector->from_f32(elem_of(dtype), v, to, n);
  }
}

struct Part {
  Mat from;
  DType dtype;
  float scale;
};

/// The two parts of a record, one after the other.
Status write_records(CpuDevice& device, std::string_view op, const Part& first, const Part& second,
                     const CacheLayer& cache, const int32_t* slots) {
  const int64_t first_bytes = first.from.cols * bytes_of(first.dtype);
  if (!is_cache_dtype(first.dtype) || !is_cache_dtype(second.dtype))
    return internal_error("{}: cache dtype", op);
  if (!is_activation(first.from.dtype) || !is_activation(second.from.dtype))
    return internal_error("{}: input dtype", op);
  if (first_bytes + second.from.cols * bytes_of(second.dtype) > cache.token_bytes) {
    return internal_error("{}: a record does not fit {} bytes", op, cache.token_bytes);
  }
  if (std::max(first.from.cols, second.from.cols) * 4 > kThreadScratch)
    return internal_error("{}: rows are too wide", op);
  const int64_t rows = first.from.rows;
  const int64_t step = 32;
  device.pool.run(ceil_div(rows, step), [&](int64_t task, int thread) {
    float* buffer = reinterpret_cast<float*>(device.thread_scratch(thread));
    for (int64_t r = task * step; r < std::min(rows, (task + 1) * step); ++r) {
      char* record = record_of(cache, slots[r]);
      write_values(device, first.from, r, buffer, first.dtype, first.scale, record);
      write_values(device, second.from, r, buffer, second.dtype, second.scale, record + first_bytes);
    }
  });
  return OkStatus();
}

}  // namespace

Status write_kv_mla(CpuDevice& device, const WriteKvMlaArgs& args) {
  device.note(Used::kWriteKvMla);
  const CacheLayer& cache = args.cache;
  return write_records(device, "write_kv_mla", {args.latent, cache.dtype, cache.k_scale},
                       {args.k_rope, cache.rope_dtype, cache.k_scale}, cache, args.slots);
}

Status write_kv_gqa(CpuDevice& device, const WriteKvGqaArgs& args) {
  device.note(Used::kWriteKvGqa);
  const CacheLayer& cache = args.cache;
  return write_records(device, "write_kv_gqa", {args.k, cache.dtype, cache.k_scale},
                       {args.v, cache.dtype, cache.v_scale}, cache, args.slots);
}

Status copy_blocks(CpuDevice& device, const CopyBlocksArgs& args) {
  char* base = static_cast<char*>(args.cache.base);
  // block_stride may cover several layers: only this layer's records move
  const auto bytes = static_cast<size_t>(args.cache.token_bytes * args.cache.block_tokens);
  for (int32_t i = 0; i < args.count; ++i) {
    const int64_t from = args.pairs[2 * i], to = args.pairs[2 * i + 1];
    std::memcpy(base + to * args.cache.block_stride, base + from * args.cache.block_stride, bytes);
  }
  device.note(Used::kCopyBlocks);
  return OkStatus();
}

Status take_tokens(CpuDevice& device, const TakeTokensArgs& args) {
  for (int64_t i = 0; i < args.rows; ++i) {
    if (args.from[i] >= 0) args.token_ids[i] = std::max(args.sampled[args.from[i]], 0);
  }
  device.note(Used::kTakeTokens);
  return OkStatus();
}

}  // namespace hadal::cpu
