// What stands behind deferred_backend.h: the device's memory and its queue. Private to device/testing.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "device/testing/deferred_backend.h"

namespace hadal::testing {

inline constexpr uint8_t kGarbage = 0x5A;  // as an index it is far outside

/// Ranges of memory of one kind, page by page.
class DeferredMemory {
 public:
  ~DeferredMemory();
  void* allocate(uint64_t bytes, MemoryKind kind);
  void release(void* data, MemoryKind kind);
  bool holds(const void* data, MemoryKind kind) const;
  uint64_t device_bytes() const;
  /// Lets the host at device memory, or keeps it out.
  void open(bool on);

 private:
  using Ranges = std::map<std::byte*, uint64_t>;
  Ranges& of(MemoryKind kind) { return kind == MemoryKind::kDevice ? device_ : pinned_; }
  Ranges device_, pinned_;
};

/// An op as it was asked for.
struct DeferredOp {
  static constexpr size_t kMaxArgs = 512;
  OpKind kind{};
  alignas(16) std::byte args[kMaxArgs] = {};
  BatchMeta batch;
  GroupMeta group;
  std::vector<int32_t> query_start, context_len;  // copies of the host mirrors
};

struct DeferredEvent {
  uint64_t mark = 0;  // passed when so much of the queue has run
  std::chrono::steady_clock::time_point time;
};

struct DeferredGraph {
  std::vector<std::shared_ptr<DeferredOp>> ops;
};

class DeferredDevice {
 public:
  DeferredDevice(const BackendApi* api, BackendDevice* handle) : inner(api), device(handle) {}

  const BackendApi* inner;
  BackendDevice* device;
  DeferredMemory memory;
  DeferredReport report;
  uint64_t prepared_bytes = 0;
  uint64_t memory_bytes = 0;  // 0: the inner device's

  void violate(std::string what) { report.violations.push_back(std::move(what)); }
  /// The descriptor and the metadata that it points to, with what can be checked at once.
  std::shared_ptr<DeferredOp> take(OpKind kind, const void* args);
  Status execute(const DeferredOp& op);

  uint64_t push(std::function<Status()> work);
  /// Runs the queue up to `mark`; the first error is kept and answers every later wait.
  Status run_until(uint64_t mark);
  Status run_all() { return run_until(pushed_); }
  uint64_t pushed() const { return pushed_; }
  bool passed(uint64_t mark) const { return done_ >= mark; }
  int64_t queued() const { return static_cast<int64_t>(queue_.size()); }

  Status copy(void* to, const void* from, uint64_t bytes, CopyKind kind);
  /// Garbage over the pinned bytes of copies that have run.
  void spoil_spent();
  void forget_spent(const void* data, uint64_t bytes);

  std::unique_ptr<DeferredGraph> capturing;

 private:
  struct Spent {
    std::byte* data;
    uint64_t bytes;
  };
  void copy_in(void* to, const void* from, uint64_t bytes);
  void copy_out(void* to, const void* from, uint64_t bytes);
  void check_pointers(const DeferredOp& op);
  void check_mirrors(const DeferredOp& op);
  void check_samples(const SampleArgs& args);
  void must_be_device(const void* data, const char* what);

  std::deque<std::function<Status()>> queue_;
  uint64_t pushed_ = 0;
  uint64_t done_ = 0;
  Status failed_;
  std::vector<Spent> spent_;
};

}  // namespace hadal::testing
