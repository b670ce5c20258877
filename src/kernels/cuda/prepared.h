// Weights in device memory. Private to kernels/cuda.
//
// Layout: every matrix is row-major [rows = out features, cols = in features] in its format's own values,
// each array 16-byte aligned, and the matrices that kernels read together lie one behind the other, so that
// they are one taller matrix:
//   kMla      q (or q_a) | kv_a, then q_b, kv_b, o
//   kGqa      q | k | v, then o
//   kMlp      gate | up, then down
//   kExperts  for each expert gate | up; then for each expert down
// An AWQ matrix is repacked when it is prepared: nibbles in order of rows, [rows, cols / 8] words (column 8 w
// + i in bits 4 i of word w), zeros U8 [rows, cols / group], scales F16 [rows, cols / group].
#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/status.h"

namespace hadal::cuda {

/// The experts of a layer as kernels take them: expert e's arrays lie e strides (bytes) behind the first
/// one's.
struct ExpertWeights {
  WeightRef gate_up;  // of expert 0: [2 * intermediate, hidden]; rows of gate, then rows of up
  WeightRef down;     // of expert 0: [hidden, intermediate]
  int64_t gate_up_stride = 0, gate_up_scale_stride = 0, gate_up_zero_stride = 0;
  int64_t down_stride = 0, down_scale_stride = 0, down_zero_stride = 0;
};

struct CudaGroup {
  ~CudaGroup();
  GroupKind kind = GroupKind::kLinear;
  DType compute = DType::kF32;
  MlaShape mla;
  std::vector<WeightRef> members;  // as given, with pointers into device memory
  /// Adjacent matrices as one, absent where their formats, dtypes or scale blocks do not allow it:
  /// kMla: q (or q_a) with kv_a; kGqa: q, k and v; kMlp: gate and up.
  WeightRef fused;
  bool has_experts = false;  // kExperts whose members are all alike
  ExpertWeights experts;
  void* memory = nullptr;
  uint64_t bytes = 0;
};

inline const CudaGroup& group_of(const PreparedGroup* group) {
  return *reinterpret_cast<const CudaGroup*>(group);
}
inline const WeightRef& weight_of(const PreparedRef& ref) {
  return group_of(ref.group).members[static_cast<size_t>(ref.member)];
}

/// Allocates the group's memory and hands its bytes to the uploader (or makes dummy values up on the device);
/// they are there when Uploader::finish has returned.
StatusOr<std::unique_ptr<CudaGroup>> prepare_group(CudaDevice& device, const WeightGroup& weights);

}  // namespace hadal::cuda
