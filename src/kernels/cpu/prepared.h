// Prepared weights of the cpu backend: dense matrices and quantised ones are read where they lie in the
// mapped file; only a quantised kv_b is decoded once, since attention reads it along both axes.
//
// Threads: immutable after prepare. Ownership: a group owns what it decoded; the checkpoint's bytes stay the
// caller's.
#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "kernels/api/types.h"
#include "kernels/cpu/isa.h"

namespace hadal::cpu {

/// Rows of quantised weights are decoded in pieces of this many columns (multiples of it).
struct CpuGroup {
  GroupKind kind = GroupKind::kLinear;
  DType compute = DType::kF32;
  MlaShape mla;
  std::vector<WeightRef> members;
  std::unique_ptr<char[], void (*)(void*)> decoded{nullptr, nullptr};  // kv_b
  uint64_t decoded_bytes = 0;
};

/// Refuses, by name, what the kernels cannot read.
StatusOr<std::unique_ptr<CpuGroup>> prepare_group(const IsaKernels& kernels, const WeightGroup& group);

inline const CpuGroup& group_of(const PreparedGroup* group) {
  return *reinterpret_cast<const CpuGroup*>(group);
}
inline const WeightRef& weight_of(const PreparedRef& ref) {
  return group_of(ref.group).members[static_cast<size_t>(ref.member)];
}

/// 0..4: F32, BF16, F16, FP8, AWQ.
int32_t weight_kind(const WeightRef& weight);

/// Rows n0 .. n0+n, columns k0 .. k0+k of a quantised matrix, as F32 or BF16, row j at out + j * ldo
/// elements. For AWQ n0 and n are multiples of 8.
void decode_tile(const IsaKernels& kernels, const WeightRef& weight, int64_t n0, int64_t n, int64_t k0,
                 int64_t k, void* out, int64_t ldo, DType out_dtype);

}  // namespace hadal::cpu
