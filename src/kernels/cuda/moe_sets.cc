// Experts of a group and slices of an MLP as strided sets of matrices.
#include "kernels/cuda/moe_plan.h"

namespace hadal::cuda {
namespace {

int64_t distance(const void* from, const void* to) {
  return from == nullptr || to == nullptr ? 0 : static_cast<const char*>(to) - static_cast<const char*>(from);
}

bool alike(const WeightRef& a, const WeightRef& b) {
  return a.format == b.format && a.dtype == b.dtype && a.rows == b.rows && a.cols == b.cols &&
         a.scale_dtype == b.scale_dtype && a.block_rows == b.block_rows && a.block_cols == b.block_cols &&
         a.group == b.group;
}

/// Member `member` of every expert.
bool strided(const CudaGroup& group, int32_t count, MlpMember member, ExpertMatrix& matrix) {
  const auto of = [&](int32_t expert) -> const WeightRef& {
    return group.members[static_cast<size_t>(expert) * kMlpMembers + static_cast<size_t>(member)];
  };
  matrix.first = of(0);
  if (matrix.first.format == WeightFormat::kAbsent) return false;
  if (count > 1) {
    matrix.stride = distance(matrix.first.data, of(1).data);
    matrix.scale_stride = distance(matrix.first.scales, of(1).scales);
    matrix.zero_stride = distance(matrix.first.zeros, of(1).zeros);
  }
  if (group.has_experts) return true;  // found alike when they were prepared
  for (int32_t e = 2; e < count; ++e) {
    if (!alike(matrix.first, of(e)) || distance(matrix.first.data, of(e).data) != e * matrix.stride ||
        distance(matrix.first.scales, of(e).scales) != e * matrix.scale_stride ||
        distance(matrix.first.zeros, of(e).zeros) != e * matrix.zero_stride) {
      return false;
    }
  }
  return count < 2 || alike(matrix.first, of(1));
}

int64_t blocks(int64_t size, int64_t block) { return (size + block - 1) / block; }

/// Every slice is `rows` further rows.
bool slice_rows(const WeightRef& w, int64_t rows, ExpertMatrix& matrix) {
  matrix.first = w;
  switch (w.format) {
    case WeightFormat::kDense:
      matrix.stride = rows * w.cols * bytes_of(w.dtype);
      return true;
    case WeightFormat::kFp8Block:
      matrix.stride = rows * w.cols;
      matrix.scale_stride = rows / w.block_rows * blocks(w.cols, w.block_cols) * bytes_of(w.scale_dtype);
      return rows % w.block_rows == 0;
    case WeightFormat::kAwqGemm:
      matrix.stride = rows * w.cols / 2;
      matrix.zero_stride = rows * (w.cols / w.group);
      matrix.scale_stride = 2 * matrix.zero_stride;
      return true;
    default:
      return false;
  }
}

/// Every slice is `cols` further columns.
bool slice_cols(const WeightRef& w, int64_t cols, ExpertMatrix& matrix) {
  matrix.first = w;
  switch (w.format) {
    case WeightFormat::kDense:
      matrix.stride = cols * bytes_of(w.dtype);
      return true;
    case WeightFormat::kFp8Block:
      matrix.stride = cols;
      matrix.scale_stride = cols / w.block_cols * bytes_of(w.scale_dtype);
      return cols % w.block_cols == 0;
    case WeightFormat::kAwqGemm:
      matrix.stride = cols / 2;
      matrix.zero_stride = cols / w.group;
      matrix.scale_stride = 2 * matrix.zero_stride;
      return cols % w.group == 0 && cols % 8 == 0;
    default:
      return false;
  }
}

/// Values that a quad of lanes reads of a row (kernels/moe_fragments.cuh).
int64_t span_of(WeightFormat format) {
  return format == WeightFormat::kAwqGemm ? 128 : format == WeightFormat::kFp8Block ? 64 : 32;
}

bool fast_matrix(const WeightRef& w) {
  switch (w.format) {
    case WeightFormat::kDense:
      return w.dtype == DType::kBF16;
    case WeightFormat::kFp8Block:
      return w.block_rows % 64 == 0 && w.block_cols % 64 == 0;
    case WeightFormat::kAwqGemm:
      return w.group % 32 == 0;
    default:
      return false;
  }
}

}  // namespace

bool routed_experts(const CudaGroup& group, int32_t count, ExpertSet& set) {
  if (group.kind != GroupKind::kExperts || count <= 0 ||
      group.members.size() != static_cast<size_t>(count) * kMlpMembers) {
    return false;
  }
  set.count = count;
  return strided(group, count, kMlpGate, set.gate) && strided(group, count, kMlpUp, set.up) &&
         strided(group, count, kMlpDown, set.down);
}

bool mlp_slices(const CudaGroup& group, int32_t count, ExpertSet& set) {
  if (group.kind != GroupKind::kMlp || group.members.size() != kMlpMembers) return false;
  const WeightRef &gate = group.members[kMlpGate], &up = group.members[kMlpUp],
                  &down = group.members[kMlpDown];
  if (gate.bias != nullptr || up.bias != nullptr || down.bias != nullptr || gate.rows % count != 0 ||
      up.rows != gate.rows || up.cols != gate.cols || down.cols != gate.rows) {
    return false;
  }
  const int64_t inner = gate.rows / count;
  set.count = count;
  return slice_rows(gate, inner, set.gate) && slice_rows(up, inner, set.up) &&
         slice_cols(down, inner, set.down);
}

bool fast_experts(const ExpertSet& set, int64_t width, int64_t inner) {
  const WeightRef &gate = set.gate.first, &up = set.up.first, &down = set.down.first;
  const int64_t span = span_of(gate.format);
  return fast_matrix(gate) && fast_matrix(down) && alike(gate, up) && down.format == gate.format &&
         width % 64 == 0 && inner % 64 == 0 && width % span == 0 && inner % span == 0;
}

}  // namespace hadal::cuda
