// Weights as the oracle reads them: in place, from the checkpoint's own bytes, one row at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "kernels/api/types.h"

namespace hadal::ref {

/// What ref hands out as a PreparedGroup: the descriptors, with the bytes left where they are.
struct Group {
  GroupKind kind = GroupKind::kLinear;
  DType compute = DType::kF32;
  MlaShape mla;
  std::vector<WeightRef> members;
};

/// Formats, shapes and dtypes that decode_row understands; an error names the member.
Status check_group(const WeightGroup& group);
Group* make_group(const WeightGroup& group);

inline const Group& group_of(const PreparedGroup* prepared) {
  return *reinterpret_cast<const Group*>(prepared);
}
inline const WeightRef& weight_of(const PreparedRef& ref) {
  return group_of(ref.group).members[static_cast<size_t>(ref.member)];
}

/// How quantised values are rounded after decoding; dense weights keep their exact values in both.
enum class Decode : uint8_t { kExact, kToBfloat16 };
inline Decode decode_for(DType activations) {
  return activations == DType::kBF16 ? Decode::kToBfloat16 : Decode::kExact;
}

/// W[row, 0 .. cols) as float32.
void decode_row(const WeightRef& weight, int64_t row, Decode decode, float* out);

/// Bias of output `row`, 0 without one.
float bias_of(const WeightRef& weight, int64_t row);

}  // namespace hadal::ref
