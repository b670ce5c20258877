// Activation buffers that all layers share: one fixed address a slot, sized for the largest step. Layers
// reserve while they are built, `allocate` runs once, then views are cheap.
#pragma once

#include <array>
#include <cstdint>

#include "base/check.h"
#include "base/status.h"
#include "device/device.h"

namespace hadal {

enum class Slot : int32_t {
  kHidden,  // the residual stream [tokens, hidden] F32
  kNormed,  // input of attention and feed-forward, compute dtype
  kDelta,   // their output, F32
  kQuery,
  kQueryLatent,
  kQueryNormed,
  kKeyValue,  // MLA: latent and rotary key; GQA: keys
  kValue,
  kAttention,  // compute dtype
  kGate,
  kUp,
  kHiddenMlp,
  kRouterLogits,
  kRouteIds,
  kRouteWeights,
  kLogitHidden,
  kLogitDelta,
  kLogitNormed,
  kCount
};

class Scratch {
 public:
  explicit Scratch(int64_t max_tokens) : max_tokens_(max_tokens) {}

  void reserve(Slot slot, DType dtype, int64_t cols) { reserve_rows(slot, dtype, max_tokens_, cols); }
  void reserve_rows(Slot slot, DType dtype, int64_t rows, int64_t cols) {
    auto& need = need_[static_cast<size_t>(slot)];
    const uint64_t bytes = static_cast<uint64_t>(rows * cols * bytes_of(dtype));
    if (bytes > need) need = bytes;
  }

  Status allocate(Device& device) {
    for (size_t slot = 0; slot < need_.size(); ++slot) {
      if (need_[slot] == 0) continue;
      ASSIGN_OR_RETURN(buffers_[slot], device.allocate(need_[slot]));
    }
    return OkStatus();
  }

  Mat mat(Slot slot, DType dtype, int64_t rows, int64_t cols) const {
    const Buffer& buffer = buffers_[static_cast<size_t>(slot)];
    CHECK(static_cast<uint64_t>(rows * cols * bytes_of(dtype)) <= buffer.bytes());
    return buffer.mat(dtype, rows, cols);
  }
  template <typename T>
  T* array(Slot slot) const {
    return buffers_[static_cast<size_t>(slot)].as<T>();
  }
  int64_t max_tokens() const { return max_tokens_; }

 private:
  int64_t max_tokens_;
  std::array<uint64_t, static_cast<size_t>(Slot::kCount)> need_{};
  std::array<Buffer, static_cast<size_t>(Slot::kCount)> buffers_;
};

}  // namespace hadal
