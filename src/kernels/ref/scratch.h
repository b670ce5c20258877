// Cuts an op's workspace into arrays. The same sequence of take() calls on a Scratch without memory gives the
// bytes that the op needs, so that an op's layout is written once.
#pragma once

#include <cstdint>

#include "kernels/api/types.h"

namespace hadal::ref {

class Scratch {
 public:
  /// Counts only; every take() returns null.
  Scratch() = default;
  explicit Scratch(const Workspace& workspace) : base_(static_cast<char*>(workspace.data)) {}

  /// `count` elements, 64-byte aligned when the workspace is. Not initialised.
  template <typename T>
  T* take(int64_t count) {
    const uint64_t bytes = (static_cast<uint64_t>(count) * sizeof(T) + 63) / 64 * 64;
    T* array = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += bytes;
    return array;
  }
  uint64_t bytes() const { return used_; }

 private:
  char* base_ = nullptr;
  uint64_t used_ = 0;
};

}  // namespace hadal::ref
