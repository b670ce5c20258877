// Number formats of checkpoints, caches and activations. Values are stable: they cross the backends' C
// interface.
//
// AWQ's packed 4-bit weights are kI32 words (specs/deepseek.md, 3.3), V4's packed FP4 experts kI8.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hadal {

enum class DType : uint8_t {
  kF32 = 0,
  kBF16 = 1,
  kF16 = 2,
  kF8E4M3 = 3,  // e4m3fn: bias 7, largest 448, no infinity, NaN = 0x7F and 0xFF
  kF8E5M2 = 4,  // bias 15, largest 57344, IEEE-like infinity and NaN
  kF8E8M0 = 5,  // 2^(byte - 127), 0xFF = NaN; no sign, no zero
  kI8 = 6,
  kU8 = 7,
  kI32 = 8,
  kI64 = 9,
  kBool = 10,  // one byte, 0 or 1
};

inline constexpr int kDTypeCount = 11;

namespace internal {
struct DTypeFacts {
  DType dtype;
  std::string_view name;  // as safetensors spells it
  int64_t bytes;
  bool floating;
};
inline constexpr std::array<DTypeFacts, kDTypeCount> kDTypeFacts = {{
    {DType::kF32, "F32", 4, true},
    {DType::kBF16, "BF16", 2, true},
    {DType::kF16, "F16", 2, true},
    {DType::kF8E4M3, "F8_E4M3", 1, true},
    {DType::kF8E5M2, "F8_E5M2", 1, true},
    {DType::kF8E8M0, "F8_E8M0", 1, true},
    {DType::kI8, "I8", 1, false},
    {DType::kU8, "U8", 1, false},
    {DType::kI32, "I32", 4, false},
    {DType::kI64, "I64", 8, false},
    {DType::kBool, "BOOL", 1, false},
}};
constexpr bool dtype_facts_in_order() {
  for (int i = 0; i < kDTypeCount; ++i)
    if (static_cast<int>(kDTypeFacts[static_cast<size_t>(i)].dtype) != i) return false;
  return true;
}
static_assert(dtype_facts_in_order());
}  // namespace internal

/// Bytes of one element. Every format here fills whole bytes.
constexpr int64_t bytes_of(DType dtype) { return internal::kDTypeFacts[static_cast<size_t>(dtype)].bytes; }
constexpr int64_t bits_of(DType dtype) { return 8 * bytes_of(dtype); }
/// Has fractions or an exponent (F32 ... F8_E8M0).
constexpr bool is_floating(DType dtype) { return internal::kDTypeFacts[static_cast<size_t>(dtype)].floating; }

/// "F32", "BF16", "F8_E4M3", ... as safetensors spells them.
constexpr std::string_view dtype_name(DType dtype) {
  return internal::kDTypeFacts[static_cast<size_t>(dtype)].name;
}

/// The inverse of dtype_name (exact spelling); nullopt for every other text.
constexpr std::optional<DType> parse_dtype(std::string_view name) {
  for (const auto& facts : internal::kDTypeFacts)
    if (facts.name == name) return facts.dtype;
  return std::nullopt;
}

}  // namespace hadal
