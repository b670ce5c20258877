// What an open cpu device holds, and the helpers that its ops share. Private to kernels/cpu.
#pragma once

#include <algorithm>
#include <bitset>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kernels/api/backend.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/thread_pool.h"

namespace hadal::cpu {

/// Bytes of scratch that every thread has from the moment the device is opened; ops cut it as they like.
inline constexpr int64_t kThreadScratch = 1 << 20;

/// A kernel as kernels_used() names it: "cpu.<family>[.<x>x<w>].<isa>". One bit each, so that noting costs
/// nothing.
enum class Used : int32_t {
  kEmbed,
  kRmsNorm,
  kRope,
  kSiluMul,
  kAdd,
  kConvert,
  kGather,
  kWriteKvMla,
  kWriteKvGqa,
  kMlaExpanded,
  kMlaAbsorbed,
  kGqaPrompt,
  kGqaOutput,
  kRoute,
  kSample,
  kCopyBlocks,
  kTakeTokens,
  kLinear,                 // + 5 * x + weight kind
  kMoe = kLinear + 2 * 5,  // the same
  kCount = kMoe + 2 * 5,
};

struct CpuDevice {
  CpuDevice(Isa isa, int threads);

  Isa isa;
  IsaKernels kernels;
  ThreadPool pool;
  std::unique_ptr<char[], void (*)(void*)> scratch;
  std::bitset<static_cast<size_t>(Used::kCount)> used;

  char* thread_scratch(int thread) const { return scratch.get() + thread * kThreadScratch; }
  void note(Used kernel) { used.set(static_cast<size_t>(kernel)); }
};

IsaKernels kernels_of(Isa isa);
std::string used_name(Used kernel, Isa isa);

inline int32_t elem_of(DType dtype) { return static_cast<int32_t>(dtype); }
inline bool is_activation(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16; }
inline bool is_dense_weight(DType dtype) { return is_activation(dtype) || dtype == DType::kF16; }

inline char* at(const Mat& mat, int64_t row, int64_t col = 0) {
  return static_cast<char*>(mat.data) + (row * mat.stride + col) * bytes_of(mat.dtype);
}
template <typename T>
T* row_of(const Mat& mat, int64_t row) {
  return reinterpret_cast<T*>(at(mat, row));
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

/// Cuts a workspace into aligned arrays. With a null base it only counts, so that workspace_bytes and run
/// share code.
class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<char*>(base)) {}
  template <typename T>
  T* take(int64_t count) {
    T* array = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += static_cast<uint64_t>(round_up(count * static_cast<int64_t>(sizeof(T)), 64));
    return array;
  }
  uint64_t used() const { return used_; }

 private:
  char* base_;
  uint64_t used_ = 0;
};

Status check_workspace(std::string_view op, const Workspace& workspace, uint64_t needed);

}  // namespace hadal::cpu
