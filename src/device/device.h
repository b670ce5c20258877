// One accelerator as models and runners see it: memory, weights and ops of one backend, with composites
// lowered where the backend has nothing better.
//
//   ASSIGN_OR_RETURN(auto device, Device::open("cpu", options));
//   ASSIGN_OR_RETURN(Buffer hidden, device->allocate(bytes));
//   ASSIGN_OR_RETURN(Prepared weights, device->prepare(group));
//   RETURN_IF_ERROR(device->run(stream, OpKind::kLinear, linear_args));
//
// A Device is a thin class over the C interface of kernels/api/backend.h. `ref` and `cpu` are linked in;
// another name is looked for as libhadal_<name>.so beside the binary.
//
// Threads: one thread at a time. Ownership: Buffer and Prepared keep the device alive and free on
// destruction.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kernels/api/backend.h"
#include "tensor/mapped_file.h"

namespace hadal {

class Device;

/// Device memory, 64-byte aligned, zeroed at allocation, at a fixed address for its life. Movable.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer();

  void* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  /// The first rows x cols elements as a dense matrix.
  Mat mat(DType dtype, int64_t rows, int64_t cols) const { return Mat{data_, rows, cols, cols, dtype}; }

 private:
  friend class Device;
  void swap(Buffer& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(kind_, other.kind_);
  }
  std::shared_ptr<Device> device_;
  void* data_ = nullptr;
  uint64_t bytes_ = 0;
  MemoryKind kind_ = MemoryKind::kDevice;
};

/// A prepared weight group.
class Prepared {
 public:
  Prepared() = default;
  Prepared(Prepared&& other) noexcept { swap(other); }
  Prepared& operator=(Prepared&& other) noexcept {
    Prepared(std::move(other)).swap(*this);
    return *this;
  }
  ~Prepared();

  const PreparedGroup* group() const { return group_; }
  PreparedRef member(int32_t index) const { return {group_, index}; }
  explicit operator bool() const { return group_ != nullptr; }

 private:
  friend class Device;
  void swap(Prepared& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(group_, other.group_);
  }
  std::shared_ptr<Device> device_;
  PreparedGroup* group_ = nullptr;
};

/// A place in a stream that the host can wait for. Empty (and always passed) on backends with one step in
/// flight.
class Event {
 public:
  Event() = default;
  Event(Event&& other) noexcept { swap(other); }
  Event& operator=(Event&& other) noexcept {
    Event(std::move(other)).swap(*this);
    return *this;
  }
  ~Event();

 private:
  friend class Device;
  void swap(Event& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(event_, other.event_);
  }
  std::shared_ptr<Device> device_;
  BackendEvent* event_ = nullptr;
};

/// A captured step, replayed with `Device::replay`.
class Graph {
 public:
  Graph() = default;
  Graph(Graph&& other) noexcept { swap(other); }
  Graph& operator=(Graph&& other) noexcept {
    Graph(std::move(other)).swap(*this);
    return *this;
  }
  ~Graph();
  explicit operator bool() const { return graph_ != nullptr; }

 private:
  friend class Device;
  void swap(Graph& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(graph_, other.graph_);
  }
  std::shared_ptr<Device> device_;
  BackendGraph* graph_ = nullptr;
};

struct DeviceOptions {
  int32_t index = 0;
  int32_t threads = 0;           // CPU: 0 = all that this process may use
  std::string isa;               // CPU: empty = best of this machine
  bool batch_invariant = false;  // GPU: BackendOptions::batch_invariant
};

class Device : public std::enable_shared_from_this<Device> {
 public:
  /// `name`: "cpu", "ref", or a backend module. Errors say why a backend cannot be used on this machine.
  static StatusOr<std::shared_ptr<Device>> open(std::string_view name, const DeviceOptions& options = {});
  /// The same with a backend's table at hand (tests).
  static StatusOr<std::shared_ptr<Device>> open(const BackendApi& api, const DeviceOptions& options = {});
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  std::string_view backend_name() const { return api_->name; }
  BackendFacts facts() const;

  StatusOr<Buffer> allocate(uint64_t bytes, MemoryKind kind = MemoryKind::kDevice);
  Status copy(BackendStream* stream, void* to, const void* from, uint64_t bytes, CopyKind kind);
  Status wait(BackendStream* stream);

  /// Lets the backend read what lies in this file with reads of its own, faster than by touching its pages.
  /// The file must stay until finish_prepare().
  void mapped_file(const MappedFile& file);
  /// Weights may still be on their way when this returns; they must stay mapped until finish_prepare().
  StatusOr<Prepared> prepare(const WeightGroup& group);
  StatusOr<BackendLoadReport> finish_prepare();
  uint64_t prepared_bytes(const Prepared& prepared) const;

  /// Does the backend itself have this op for this descriptor (composites: or are they lowered)?
  bool supports(OpKind kind, const void* args) const;

  /// Runs one op; a composite that the backend lacks is lowered (device/lowering.h). While `measuring` is on
  /// nothing runs, and the workspace that the op (or its lowering) would need is recorded instead.
  template <typename Args>
  Status run(BackendStream* stream, OpKind kind, Args args) {
    return run_op(stream, kind, &args);
  }

  /// Measuring: walk a forward pass with the largest shapes, then
  /// reserve_workspace(measured_workspace_bytes()).
  void set_measuring(bool on);
  uint64_t measured_workspace_bytes() const { return measured_bytes_; }
  /// Allocates the scratch that every op's `workspace` member points to from now on (ops run one after the
  /// other, so one is enough). Grows only; an op that needs more than is reserved is an error, never an
  /// allocation.
  Status reserve_workspace(uint64_t bytes);

  StatusOr<Event> create_event();
  Status record(BackendStream* stream, Event& event);
  Status wait(Event& event);
  /// Without waiting. True without events.
  StatusOr<bool> passed(const Event& event);
  /// Seconds between two recorded events that have been waited for; 0 without events.
  StatusOr<double> elapsed(const Event& from, const Event& to);

  /// Captures what `record_ops` runs on the stream instead of running it (only where facts().graphs). A
  /// failure inside ends the capture and is returned.
  template <typename RecordOps>
  StatusOr<Graph> capture(BackendStream* stream, const RecordOps& record_ops) {
    RETURN_IF_ERROR(begin_capture(stream));
    const Status recorded = record_ops();
    StatusOr<Graph> graph = end_capture(stream);
    if (!recorded.ok()) return recorded;
    return graph;
  }
  Status replay(BackendStream* stream, const Graph& graph);

  /// False where the backend has nothing to say.
  bool health(BackendHealth& health) const;

  /// Names of kernels run since opening or the last reset, sorted.
  std::vector<std::string> kernels_used() const;
  void reset_kernels_used();

  const BackendApi& api() const { return *api_; }
  BackendDevice* handle() const { return handle_; }

 private:
  friend class Buffer;
  friend class Prepared;
  friend class Event;
  friend class Graph;
  Status begin_capture(BackendStream* stream);
  StatusOr<Graph> end_capture(BackendStream* stream);
  Device(const BackendApi* api, BackendDevice* handle) : api_(api), handle_(handle) {}
  Status run_op(BackendStream* stream, OpKind kind, void* args);

  const BackendApi* api_;
  BackendDevice* handle_;
  Workspace workspace_;  // released in the destructor
  bool measuring_ = false;
  uint64_t measured_bytes_ = 0;
};

}  // namespace hadal
