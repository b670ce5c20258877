// A backend as kernel tests drive it: straight through the C table, so that no other room is needed. Every op
// gets a workspace of exactly the bytes it asks for, in the device's memory, filled with NaN and followed by
// a guard that must come back untouched.
//
// Threads: one. A failed open or prepare ends in a Status with the backend's message.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/api/backend.h"

namespace hadal::testing {

class TestBackend;

/// A prepared group, discarded on destruction.
class TestGroup {
 public:
  TestGroup(TestBackend* backend, PreparedGroup* group) : backend_(backend), group_(group) {}
  TestGroup(TestGroup&& other) noexcept : backend_(other.backend_), group_(other.group_) {
    other.group_ = nullptr;
  }
  TestGroup& operator=(TestGroup&&) = delete;
  ~TestGroup();
  const PreparedGroup* get() const { return group_; }
  PreparedRef member(int32_t index) const { return {group_, index}; }

 private:
  TestBackend* backend_;
  PreparedGroup* group_;
};

class TestBackend {
 public:
  /// `isa` empty: the backend's choice. `batch_invariant`: BackendOptions::batch_invariant.
  static StatusOr<std::unique_ptr<TestBackend>> open(const BackendApi* api, const std::string& isa = "",
                                                     int32_t threads = 1, bool batch_invariant = false);
  ~TestBackend();
  TestBackend(const TestBackend&) = delete;
  TestBackend& operator=(const TestBackend&) = delete;

  std::string name() const;
  /// The group is whole when this returns.
  StatusOr<TestGroup> prepare(const WeightGroup& group);
  bool supports(OpKind kind, const void* args) const { return api_->supports(device_, kind, args) != 0; }

  template <typename Args>
  Status run(OpKind kind, Args args) {
    workspace_ = {};
    if constexpr (requires { args.workspace; }) {
      RETURN_IF_ERROR(make_workspace(api_->workspace_bytes(device_, kind, &args)));
      args.workspace = workspace_;
    }
    return run_checked(kind, &args);
  }

  /// Rounds queries, keys, values and softmax weights to bfloat16 for its tensor cores where out is bfloat16:
  /// cases of attention then allow for these roundings.
  bool tensor_cores = false;

  /// Sorted names of the kernels run since opening.
  std::vector<std::string> kernels_used() const;

 private:
  friend class TestGroup;
  TestBackend(const BackendApi* api, BackendDevice* device);
  Status make_workspace(uint64_t bytes);
  Status copy(void* to, const void* from, uint64_t bytes, CopyKind kind);
  Status run_checked(OpKind kind, const void* args);

  const BackendApi* api_;
  BackendDevice* device_;
  bool host_memory_ = true;
  std::vector<uint8_t> memory_;    // of the workspace, or what is copied there
  void* device_memory_ = nullptr;  // grows as needed
  uint64_t device_memory_bytes_ = 0;
  Workspace workspace_;
};

}  // namespace hadal::testing
