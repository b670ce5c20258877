#include "device/device.h"

#include <algorithm>

#include "device/backend_loader.h"
#include "device/lowering.h"
#include "device/op_workspace.h"
#include "kernels/api/op_names.h"

namespace hadal {
namespace {

Status to_status(int32_t code, const BackendError& error, std::string_view backend, std::string_view what) {
  if (code == 0) return OkStatus();
  if (error.fatal != 0) return device_lost("{}: {}: {}", backend, what, error.message);
  if (error.out_of_memory != 0) return resource_exhausted("{}: {}: {}", backend, what, error.message);
  return internal_error("{}: {}: {}", backend, what, error.message);
}

/// Runs a composite as small ops.
Status lower(Device& device, BackendStream* stream, OpKind kind, const void* args) {
  switch (kind) {
    case OpKind::kMlaPrologue:
      return lower_mla_prologue(device, stream, *static_cast<const MlaPrologueArgs*>(args));
    case OpKind::kGqaPrologue:
      return lower_gqa_prologue(device, stream, *static_cast<const GqaPrologueArgs*>(args));
    case OpKind::kMoeBlock:
      return lower_moe_block(device, stream, *static_cast<const MoeBlockArgs*>(args));
    case OpKind::kMlp:
      return lower_mlp(device, stream, *static_cast<const MlpArgs*>(args));
    case OpKind::kAllReduceNorm:
      return lower_all_reduce_norm(device, stream, *static_cast<const AllReduceNormArgs*>(args));
    default:
      return unimplemented("{} has no lowering", op_name(kind));
  }
}

}  // namespace

Buffer::~Buffer() {
  if (data_ != nullptr) device_->api_->release(device_->handle_, kind_, data_, bytes_);
}

Prepared::~Prepared() {
  if (group_ != nullptr) device_->api_->discard(device_->handle_, group_);
}

Event::~Event() {
  if (event_ != nullptr) device_->api_->event_destroy(device_->handle_, event_);
}

Graph::~Graph() {
  if (graph_ != nullptr) device_->api_->graph_destroy(device_->handle_, graph_);
}

StatusOr<std::shared_ptr<Device>> Device::open(std::string_view name, const DeviceOptions& options) {
  ASSIGN_OR_RETURN(const BackendApi* api, find_backend(name));
  return open(*api, options);
}

StatusOr<std::shared_ptr<Device>> Device::open(const BackendApi& api, const DeviceOptions& options) {
  BackendOptions backend_options;
  backend_options.device_index = options.index;
  backend_options.threads = options.threads;
  backend_options.batch_invariant = options.batch_invariant ? 1 : 0;
  backend_options.isa = options.isa.empty() ? nullptr : options.isa.c_str();
  BackendDevice* handle = nullptr;
  BackendError error{};
  if (api.open(&backend_options, &handle, &error) != 0) {
    return failed_precondition("backend '{}' cannot be used here: {}", api.name, error.message);
  }
  return std::shared_ptr<Device>(new Device(&api, handle));
}

Device::~Device() {
  if (workspace_.data != nullptr)
    api_->release(handle_, MemoryKind::kDevice, workspace_.data, workspace_.bytes);
  api_->close(handle_);
}

BackendFacts Device::facts() const {
  BackendFacts facts{};
  api_->facts(handle_, &facts);
  return facts;
}

StatusOr<Buffer> Device::allocate(uint64_t bytes, MemoryKind kind) {
  Buffer buffer;
  BackendError error{};
  const int32_t code = api_->allocate(handle_, bytes, kind, &buffer.data_, &error);
  RETURN_IF_ERROR(to_status(code, error, api_->name, fmt::format("allocating {} bytes", bytes)));
  buffer.device_ = shared_from_this();
  buffer.bytes_ = bytes;
  buffer.kind_ = kind;
  return buffer;
}

Status Device::copy(BackendStream* stream, void* to, const void* from, uint64_t bytes, CopyKind kind) {
  BackendError error{};
  return to_status(api_->copy(handle_, stream, to, from, bytes, kind, &error), error, api_->name, "copy");
}

Status Device::wait(BackendStream* stream) {
  BackendError error{};
  return to_status(api_->stream_wait(handle_, stream, &error), error, api_->name, "wait");
}

void Device::mapped_file(const MappedFile& file) {
  if (api_->mapped_file == nullptr) return;
  const BackendFile seen{file.bytes().data(), file.bytes().size(), file.descriptor()};
  api_->mapped_file(handle_, &seen);
}

StatusOr<Prepared> Device::prepare(const WeightGroup& group) {
  Prepared prepared;
  BackendError error{};
  const int32_t code = api_->prepare(handle_, &group, &prepared.group_, &error);
  if (code != 0) prepared.group_ = nullptr;
  RETURN_IF_ERROR(to_status(code, error, api_->name, "preparing weights"));
  prepared.device_ = shared_from_this();
  return prepared;
}

StatusOr<BackendLoadReport> Device::finish_prepare() {
  BackendLoadReport report{};
  if (api_->finish_prepare == nullptr) return report;
  BackendError error{};
  RETURN_IF_ERROR(
      to_status(api_->finish_prepare(handle_, &report, &error), error, api_->name, "loading weights"));
  return report;
}

uint64_t Device::prepared_bytes(const Prepared& prepared) const {
  return prepared.group_ == nullptr ? 0 : api_->prepared_bytes(handle_, prepared.group_);
}

bool Device::supports(OpKind kind, const void* args) const {
  return api_->supports(handle_, kind, args) != 0;
}

void Device::set_measuring(bool on) { measuring_ = on; }

Status Device::reserve_workspace(uint64_t bytes) {
  if (bytes <= workspace_.bytes) return OkStatus();
  void* data = nullptr;
  BackendError error{};
  const int32_t code = api_->allocate(handle_, bytes, MemoryKind::kDevice, &data, &error);
  RETURN_IF_ERROR(to_status(code, error, api_->name, fmt::format("reserving {} bytes of workspace", bytes)));
  if (workspace_.data != nullptr)
    api_->release(handle_, MemoryKind::kDevice, workspace_.data, workspace_.bytes);
  workspace_ = {data, bytes};
  return OkStatus();
}

Status Device::run_op(BackendStream* stream, OpKind kind, void* args) {
  if (!supports(kind, args)) {
    if (is_composite(kind)) return lower(*this, stream, kind, args);
    return unimplemented("{}: {} is not implemented for this shape or dtype", api_->name, op_name(kind));
  }
  if (Workspace* workspace = op_workspace(kind, args); workspace != nullptr) {
    const uint64_t needed = api_->workspace_bytes(handle_, kind, args);
    if (measuring_) {
      measured_bytes_ = std::max(measured_bytes_, needed);
    } else if (needed > workspace_.bytes) {
      return failed_precondition("{}: {} needs {} bytes of workspace, {} are reserved", api_->name,
                                 op_name(kind), needed, workspace_.bytes);
    }
    *workspace = workspace_;
  }
  if (measuring_) return OkStatus();
  BackendError error{};
  return to_status(api_->run(handle_, stream, kind, args, &error), error, api_->name, op_name(kind));
}

StatusOr<Event> Device::create_event() {
  Event event;
  if (api_->event_create == nullptr) return StatusOr<Event>(std::move(event));
  BackendError error{};
  RETURN_IF_ERROR(
      to_status(api_->event_create(handle_, &event.event_, &error), error, api_->name, "making an event"));
  event.device_ = shared_from_this();
  return StatusOr<Event>(std::move(event));
}

Status Device::record(BackendStream* stream, Event& event) {
  if (event.event_ == nullptr) return OkStatus();
  BackendError error{};
  return to_status(api_->event_record(handle_, stream, event.event_, &error), error, api_->name, "event");
}

Status Device::wait(Event& event) {
  if (event.event_ == nullptr) return OkStatus();
  BackendError error{};
  return to_status(api_->event_wait(handle_, event.event_, &error), error, api_->name, "wait");
}

StatusOr<bool> Device::passed(const Event& event) {
  if (event.event_ == nullptr) return true;
  int32_t passed = 0;
  BackendError error{};
  RETURN_IF_ERROR(to_status(api_->event_passed(handle_, event.event_, &passed, &error), error, api_->name,
                            "asking for an event"));
  return passed != 0;
}

StatusOr<double> Device::elapsed(const Event& from, const Event& to) {
  double seconds = 0;
  if (from.event_ == nullptr || to.event_ == nullptr) return seconds;
  BackendError error{};
  RETURN_IF_ERROR(to_status(api_->event_elapsed(handle_, from.event_, to.event_, &seconds, &error), error,
                            api_->name, "elapsed time"));
  return seconds;
}

Status Device::begin_capture(BackendStream* stream) {
  if (api_->graph_begin == nullptr) return unimplemented("{} has no graphs", api_->name);
  BackendError error{};
  return to_status(api_->graph_begin(handle_, stream, &error), error, api_->name, "capturing a graph");
}

StatusOr<Graph> Device::end_capture(BackendStream* stream) {
  Graph graph;
  BackendError error{};
  RETURN_IF_ERROR(to_status(api_->graph_end(handle_, stream, &graph.graph_, &error), error, api_->name,
                            "capturing a graph"));
  graph.device_ = shared_from_this();
  return StatusOr<Graph>(std::move(graph));
}

Status Device::replay(BackendStream* stream, const Graph& graph) {
  if (!graph) return failed_precondition("{}: replaying a graph that was never captured", api_->name);
  BackendError error{};
  return to_status(api_->graph_launch(handle_, stream, graph.graph_, &error), error, api_->name, "graph");
}

bool Device::health(BackendHealth& health) const {
  if (api_->health == nullptr) return false;
  api_->health(handle_, &health);
  return true;
}

std::vector<std::string> Device::kernels_used() const {
  std::vector<std::string> names;
  const auto visit = [](void* context, const char* name) {
    static_cast<std::vector<std::string>*>(context)->emplace_back(name);
  };
  api_->kernels_used(handle_, visit, &names);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

void Device::reset_kernels_used() { api_->reset_kernels_used(handle_); }

}  // namespace hadal
