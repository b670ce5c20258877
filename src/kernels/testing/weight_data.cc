#include "kernels/testing/weight_data.h"

#include <cmath>

#include "base/status.h"
#include "kernels/ref/elements.h"

namespace hadal::testing {
namespace {

std::vector<uint8_t> bytes_for(int64_t count, DType dtype) {
  return std::vector<uint8_t>(static_cast<size_t>(count * bytes_of(dtype)));
}
int64_t blocks(int64_t size, int64_t block) { return (size + block - 1) / block; }

}  // namespace

std::string WeightSpec::name() const {
  std::string text;
  switch (format) {
    case WeightFormat::kDense:
      text = dtype_name(dtype);
      break;
    case WeightFormat::kFp8Block:
      text = fmt::format("fp8 {}x{} {}", block_rows, block_cols, dtype_name(scale_dtype));
      break;
    case WeightFormat::kAwqGemm:
      text = fmt::format("awq g{}", group);
      break;
    default:
      text = "absent";
  }
  return bias ? text + " bias" : text;
}

WeightData::WeightData(Random& random, const WeightSpec& spec, int64_t rows, int64_t cols, float deviation) {
  ref_.format = spec.format;
  ref_.rows = rows;
  ref_.cols = cols;
  switch (spec.format) {
    case WeightFormat::kFp8Block:
      fill_fp8(random, spec, deviation);
      break;
    case WeightFormat::kAwqGemm:
      fill_awq(random, spec, deviation);
      break;
    default:
      ref_.dtype = spec.dtype;
      data_ = bytes_for(rows * cols, spec.dtype);
      fill_normal(random, spec.dtype, data_.data(), rows * cols, deviation);
  }
  ref_.data = data_.data();
  if (spec.bias) {
    ref_.bias_dtype = spec.format == WeightFormat::kDense ? spec.dtype : DType::kF16;
    bias_ = bytes_for(rows, ref_.bias_dtype);
    fill_normal(random, ref_.bias_dtype, bias_.data(), rows, 1.0f);
    ref_.bias = bias_.data();
  }
}

void WeightData::fill_fp8(Random& random, const WeightSpec& spec, float deviation) {
  ref_.dtype = DType::kF8E4M3;
  ref_.scale_dtype = spec.scale_dtype;
  ref_.block_rows = spec.block_rows;
  ref_.block_cols = spec.block_cols;
  data_ = bytes_for(ref_.rows * ref_.cols, ref_.dtype);
  const int64_t count = blocks(ref_.rows, spec.block_rows) * blocks(ref_.cols, spec.block_cols);
  scales_ = bytes_for(count, spec.scale_dtype);
  fill_normal(random, ref_.dtype, data_.data(), ref_.rows * ref_.cols, 64.0f);
  for (int64_t i = 0; i < count; ++i) {
    const float scale = deviation / 64.0f * (1.0f + 0.25f * random.signed_unit());
    if (spec.scale_dtype == DType::kF8E8M0) {
      ref::store_bytes(scales_.data(), i, e8m0_from_float(scale));
    } else {
      ref::store(spec.scale_dtype, scales_.data(), i, scale);
    }
  }
  ref_.scales = scales_.data();
}

void WeightData::fill_awq(Random& random, const WeightSpec& spec, float deviation) {
  ref_.dtype = DType::kI32;
  ref_.scale_dtype = DType::kF16;
  ref_.group = spec.group;
  const int64_t groups = ref_.cols / spec.group;
  data_ = bytes_for(ref_.cols * ref_.rows / 8, DType::kI32);
  zeros_ = bytes_for(groups * ref_.rows / 8, DType::kI32);
  scales_ = bytes_for(groups * ref_.rows, DType::kF16);
  fill_bits(random, data_.data(), static_cast<int64_t>(data_.size()));
  fill_bits(random, zeros_.data(), static_cast<int64_t>(zeros_.size()));
  // q - zero of two uniform nibbles has deviation 6.5
  for (int64_t i = 0; i < groups * ref_.rows; ++i) {
    ref::store(DType::kF16, scales_.data(), i, deviation / 6.5f * (1.0f + 0.25f * random.signed_unit()));
  }
  ref_.scales = scales_.data();
  ref_.zeros = zeros_.data();
}

}  // namespace hadal::testing
