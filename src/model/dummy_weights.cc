#include "model/dummy_weights.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace hadal {
namespace {

constexpr float kDeviation = 0.02f;

/// FNV-1a of the name, never 0: 0 means "no dummy".
uint64_t seed_of(const std::string& name) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
  return hash | 1;
}

/// Normal values by table: 4096 quantile centres picked by a 64-bit generator are as good as exact ones here.
const std::array<float, 4096>& normal_table() {
  static const std::array<float, 4096> table = [] {
    std::array<float, 4096> made{};
    std::array<float, 4096>::size_type filled = 0;
    double x = -6.0, cumulative = 0.0;
    const double step = 1e-4;
    while (filled < made.size() && x < 6.0) {  // invert the distribution function by walking it
      cumulative += std::exp(-0.5 * (x + step / 2) * (x + step / 2)) * 0.3989422804014327 * step;
      x += step;
      while (filled < made.size() && cumulative >= (static_cast<double>(filled) + 0.5) / 4096.0)
        made[filled++] = static_cast<float>(x) * kDeviation;
    }
    return made;
  }();
  return table;
}

uint16_t to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

/// float16 of a value of normal size (all that normal_table and 0 and 1 need; what is too small becomes 0).
uint16_t to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const int32_t exponent = static_cast<int32_t>((bits >> 23) & 0xFF) - 127 + 15;
  if (exponent <= 0) return 0;
  return static_cast<uint16_t>(((bits >> 16) & 0x8000) | (static_cast<uint32_t>(exponent) << 10) |
                               ((bits >> 13) & 0x3FF));
}

void put(float value, DType dtype, uint8_t* to) {
  if (dtype == DType::kF32) {
    std::memcpy(to, &value, sizeof(value));
    return;
  }
  const uint16_t half = dtype == DType::kBF16 ? to_bf16(value) : to_f16(value);
  std::memcpy(to, &half, sizeof(half));
}

void fill_normal(uint64_t seed, DType dtype, int64_t elements, uint8_t* to) {
  std::array<std::array<uint8_t, 4>, 4096> encoded{};
  for (size_t i = 0; i < encoded.size(); ++i) put(normal_table()[i], dtype, encoded[i].data());
  const auto size = static_cast<size_t>(bytes_of(dtype));
  uint64_t state = seed;
  for (int64_t i = 0; i < elements; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    std::memcpy(to + static_cast<size_t>(i) * size, encoded[state >> 52].data(), size);
  }
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

std::vector<uint8_t> DummyWeights::tensor(const std::string& name, int64_t elements, DType dtype) const {
  const auto size = static_cast<size_t>(bytes_of(dtype));
  std::vector<uint8_t> bytes(static_cast<size_t>(elements) * size);
  if (ends_with(name, "bias")) return bytes;
  if (!ends_with(name, "norm.weight")) {
    fill_normal(seed_of(name), dtype, elements, bytes.data());
    return bytes;
  }
  for (size_t i = 0; i < static_cast<size_t>(elements); ++i) put(1.0f, dtype, bytes.data() + i * size);
  return bytes;
}

StatusOr<WeightRef> DummyWeights::linear(const std::string& module, int64_t rows, int64_t cols, bool bias) {
  const bool on_host = device_->facts().host_memory != 0;
  const bool dense = config_.quant.method == QuantMethod::kNone || module == "lm_head" ||
                     module == "model.embed_tokens" || ends_with(module, ".mlp.gate");
  WeightRef ref{.format = WeightFormat::kDense, .dtype = dtype(), .rows = rows, .cols = cols};
  if (!dense) {
    if (on_host) return unimplemented("--load-format dummy: quantised dummy weights need a GPU");
    const bool fp8 = config_.quant.method == QuantMethod::kFp8;
    ref.format = fp8 ? WeightFormat::kFp8Block : WeightFormat::kAwqGemm;
    ref.dtype = fp8 ? DType::kF8E4M3 : DType::kI32;
    ref.scale_dtype = fp8 ? DType::kF32 : DType::kF16;
    ref.block_rows = config_.quant.block_rows;
    ref.block_cols = config_.quant.block_cols;
    ref.group = config_.quant.group;
  }
  if (bias && on_host) {  // on a device a bias of zeros is left out
    ASSIGN_OR_RETURN(Buffer zeros, device_->allocate(static_cast<uint64_t>(rows) * 4));
    ref.bias = zeros.data();
    memory_.push_back(std::move(zeros));
  }
  if (!on_host) {
    ref.dummy_seed = seed_of(module);
    return ref;
  }
  const auto bytes = static_cast<uint64_t>(rows * cols * bytes_of(ref.dtype));
  ASSIGN_OR_RETURN(Buffer values, device_->allocate(bytes));
  fill_normal(seed_of(module), ref.dtype, rows * cols, values.as<uint8_t>());
  ref.data = values.data();
  memory_.push_back(std::move(values));
  return ref;
}

}  // namespace hadal
