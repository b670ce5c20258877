#include "kernels/cpu/attention.h"

namespace hadal::cpu {

Segment segment_of(const BatchMeta& batch, int32_t index) {
  Segment segment;
  segment.index = index;
  segment.first_row = batch.query_start[index];
  segment.rows = batch.query_start[index + 1] - segment.first_row;
  segment.context = batch.context_len[index];
  segment.first_position = segment.context - segment.rows;
  return segment;
}

CacheReader reader_of(const CacheLayer& cache, const GroupMeta& group, int32_t segment) {
  return {&cache, group.block_table + int64_t{segment} * group.table_stride};
}

bool is_fp8(DType dtype) { return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2; }

void attend_prompt_tile(const IsaKernels& kernels, const PromptTile& t) {
  float carry[kQueryBlock];
  // rows before the tile see none of it
  const int64_t first = std::max<int64_t>(0, t.tile - t.first_position);
  // with a window, rows far behind it see none either
  const int64_t last =
      t.window > 0 ? std::min(t.rows, t.tile + t.count - 1 + t.window - t.first_position) : t.rows;
  for (int64_t r0 = first; r0 < last; r0 += kQueryBlock) {
    const int64_t rows = std::min(kQueryBlock, last - r0);
    const char* queries = static_cast<const char*>(t.queries) + r0 * t.ldq * bytes_of(t.q_dtype);
    const DotArgs dot{queries, t.ldq, nullptr,  t.keys, t.dk,    rows, t.count,
                      t.dk,    t.dk,  t.scores, kTile,  nullptr, 0};
    kernels.dot->dot[elem_of(t.q_dtype)][kElemF32](&dot);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t position = t.first_position + r0 + i;
      const int64_t oldest = t.window > 0 ? std::max<int64_t>(0, position - t.window + 1 - t.tile) : 0;
      const int64_t newest = std::min(t.count, position + 1 - t.tile);
      const SoftmaxArgs softmax{t.scores + i * kTile,
                                static_cast<int32_t>(kTile),
                                static_cast<int32_t>(oldest),
                                static_cast<int32_t>(newest),
                                t.scale,
                                t.maximum + r0 + i,
                                t.sum + r0 + i};
      carry[i] = kernels.vector->softmax(&softmax);
    }
    const AxpyArgs axpy{t.scores, kTile, t.values, t.dv, rows, t.dv, t.count, t.accumulated + r0 * t.dv,
                        t.dv,     carry};
    kernels.vector->axpy[kElemF32](&axpy);
  }
}

void put_rows(const IsaKernels& kernels, float* accumulated, const float* sum, int64_t rows, int64_t width,
              const Mat& out, int64_t row, int64_t col) {
  for (int64_t i = 0; i < rows; ++i) {
    float* v = accumulated + i * width;
    for (int64_t c = 0; c < width; ++c) v[c] /= sum[i];
    kernels.vector->from_f32(elem_of(out.dtype), v, at(out, row + i, col), width);
  }
}

}  // namespace hadal::cpu
