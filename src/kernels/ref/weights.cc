#include "kernels/ref/weights.h"

#include <string_view>

#include "kernels/ref/elements.h"

namespace hadal::ref {
namespace {

constexpr bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16;
}

Status check_fp8(const WeightRef& w) {
  if (w.dtype != DType::kF8E4M3) return unimplemented("fp8 weights must be F8_E4M3");
  if (w.scale_dtype != DType::kF32 && w.scale_dtype != DType::kF8E8M0) {
    return unimplemented("fp8 scales must be F32 or F8_E8M0");
  }
  if (w.block_rows <= 0 || w.block_cols <= 0) return invalid_argument("fp8 weights without a block size");
  if (w.scales == nullptr) return invalid_argument("fp8 weights without scales");
  return OkStatus();
}

Status check_awq(const WeightRef& w) {
  if (w.scales == nullptr || w.zeros == nullptr)
    return invalid_argument("AWQ weights without scales or zeros");
  if (w.scale_dtype != DType::kF16) return unimplemented("AWQ scales must be F16");
  if (w.group <= 0 || w.cols % w.group != 0) {
    return invalid_argument("AWQ group {} does not divide {} columns", w.group, w.cols);
  }
  if (w.rows % 8 != 0) return invalid_argument("AWQ rows must be a multiple of 8, not {}", w.rows);
  return OkStatus();
}

Status check_weight(const WeightRef& w) {
  if (w.format == WeightFormat::kAbsent) return OkStatus();
  if (w.rows <= 0 || w.cols <= 0 || w.data == nullptr) return invalid_argument("empty matrix");
  if (w.bias != nullptr && !is_float(w.bias_dtype)) return unimplemented("bias must be F32, BF16 or F16");
  switch (w.format) {
    case WeightFormat::kDense:
      return is_float(w.dtype) ? OkStatus() : unimplemented("dense weights must be F32, BF16 or F16");
    case WeightFormat::kFp8Block:
      return check_fp8(w);
    case WeightFormat::kAwqGemm:
      return check_awq(w);
    default:
      return unimplemented("weight format {}", static_cast<int>(w.format));
  }
}

void decode_fp8_row(const WeightRef& w, int64_t row, float* out) {
  const int64_t blocks = (w.cols + w.block_cols - 1) / w.block_cols;
  const int64_t scale_row = row / w.block_rows * blocks;
  for (int64_t c = 0; c < w.cols; ++c) {
    out[c] =
        load(w.dtype, w.data, row * w.cols + c) * load(w.scale_dtype, w.scales, scale_row + c / w.block_cols);
  }
}

/// Four bits of output column `column` in a packed row of `words` 32-bit words: word column / 8 holds columns
/// 8w + 0, 2, 4, 6, 1, 3, 5, 7 from its lowest nibble up.
int32_t awq_nibble(const void* packed, int64_t packed_row, int64_t words, int64_t column) {
  constexpr int kNibbleOfColumn[8] = {0, 4, 1, 5, 2, 6, 3, 7};
  const auto word = load_bytes<uint32_t>(packed, packed_row * words + column / 8);
  return static_cast<int32_t>(word >> (4 * kNibbleOfColumn[column % 8]) & 15u);
}

void decode_awq_row(const WeightRef& w, int64_t row, float* out) {
  const int64_t words = w.rows / 8;  // the matrix is stored transposed
  for (int64_t c = 0; c < w.cols; ++c) {
    const int64_t group = c / w.group;
    const int32_t q = awq_nibble(w.data, c, words, row);
    const int32_t zero = awq_nibble(w.zeros, group, words, row);
    out[c] = static_cast<float>(q - zero) * load(w.scale_dtype, w.scales, group * w.rows + row);
  }
}

}  // namespace

Status check_group(const WeightGroup& group) {
  if (group.compute != DType::kF32 && group.compute != DType::kBF16) {
    return invalid_argument("weight group: compute dtype must be F32 or BF16");
  }
  for (int32_t i = 0; i < group.count; ++i) {
    const Status status = check_weight(group.members[i]);
    if (!status.ok()) return annotate(status, fmt::format("weight group member {}", i));
  }
  return OkStatus();
}

Group* make_group(const WeightGroup& group) {
  return new Group{group.kind, group.compute, group.mla, {group.members, group.members + group.count}};
}

void decode_row(const WeightRef& weight, int64_t row, Decode decode, float* out) {
  switch (weight.format) {
    case WeightFormat::kFp8Block:
      decode_fp8_row(weight, row, out);
      break;
    case WeightFormat::kAwqGemm:
      decode_awq_row(weight, row, out);
      break;
    default:
      for (int64_t c = 0; c < weight.cols; ++c)
        out[c] = load(weight.dtype, weight.data, row * weight.cols + c);
      return;
  }
  if (decode == Decode::kExact) return;
  for (int64_t c = 0; c < weight.cols; ++c) out[c] = round_to(DType::kBF16, out[c]);
}

float bias_of(const WeightRef& weight, int64_t row) {
  return weight.bias == nullptr ? 0.0f : load(weight.bias_dtype, weight.bias, row);
}

}  // namespace hadal::ref
