// The backend's table: `hadal_backend_v1` of libhadal_cuda.so.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>

#include "kernels/cuda/device_monitor.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/prepared.h"
#include "kernels/cuda/uploader.h"

namespace hadal {
namespace {

using cuda::check;
using cuda::CudaDevice;
using cuda::CudaGroup;
using cuda::internal_error;
using cuda::OkStatus;
using cuda::resource_exhausted;
using cuda::Status;
using cuda::StatusCode;
using cuda::unimplemented;

CudaDevice& self(BackendDevice* device) { return *reinterpret_cast<CudaDevice*>(device); }
cudaStream_t stream_of(BackendDevice* device, BackendStream* stream) {
  return stream == nullptr ? self(device).stream : reinterpret_cast<cudaStream_t>(stream);
}

int32_t fail(BackendError* error, const Status& status) {
  if (error == nullptr) return 1;
  const std::string_view message = status.message();
  const size_t length = std::min(message.size(), sizeof(error->message) - 1);
  std::memcpy(error->message, message.data(), length);
  error->message[length] = '\0';
  error->out_of_memory = status.code() == StatusCode::kResourceExhausted ? 1 : 0;
  error->fatal = status.code() == StatusCode::kDeviceLost ? 1 : 0;
  return 1;
}

/// Runs `body` (returning Status) at the border: no exception crosses it.
template <typename Body>
int32_t guarded(BackendError* error, const Body& body) {
  try {
    const Status status = body();
    return status.ok() ? 0 : fail(error, status);
  } catch (const std::bad_alloc&) {
    return fail(error, resource_exhausted("out of host memory"));
  } catch (const std::exception& problem) {
    return fail(error, internal_error("{}", problem.what()));
  }
}

/// The same of what comes behind everything that was asked for before, small copies included.
template <typename Body>
int32_t ordered(BackendDevice* device, BackendError* error, const Body& body) {
  return guarded(error, [&]() -> Status {
    RETURN_IF_ERROR(self(device).copies.flush());
    return body();
  });
}

// ---- device ----

int32_t open_device(const BackendOptions* options, BackendDevice** device, BackendError* error) {
  return guarded(error, [&]() -> Status {
    ASSIGN_OR_RETURN(auto opened, cuda::open_cuda_device(*options));
    *device = reinterpret_cast<BackendDevice*>(opened.release());
    return OkStatus();
  });
}

void close_device(BackendDevice* device) {
  (void)self(device).copies.flush();
  cudaStreamSynchronize(self(device).stream);
  delete reinterpret_cast<CudaDevice*>(device);
}

void facts(BackendDevice* device, BackendFacts* facts) {
  *facts = {};
  const CudaDevice& gpu = self(device);
  std::snprintf(facts->name, sizeof(facts->name), "%s", gpu.name.c_str());
  size_t free_bytes = 0, total_bytes = 0;
  cudaMemGetInfo(&free_bytes, &total_bytes);
  facts->total_bytes = total_bytes;
  facts->free_bytes = free_bytes;
  facts->host_memory = 0;
  facts->steps_in_flight = 2;
  facts->graphs = 1;
  facts->threads = 1;
}

// ---- memory ----

int32_t allocate(BackendDevice* device, uint64_t bytes, MemoryKind kind, void** data, BackendError* error) {
  return guarded(error, [&]() -> Status {
    const uint64_t size = std::max<uint64_t>(bytes, 64);
    const std::string what = fmt::format("allocating {} bytes", bytes);
    if (kind == MemoryKind::kHostPinned) {
      RETURN_IF_ERROR(check(cudaHostAlloc(data, size, cudaHostAllocDefault), what));
      std::memset(*data, 0, size);
      self(device).pinned[static_cast<const char*>(*data)] = size;
      return OkStatus();
    }
    RETURN_IF_ERROR(check(cudaMalloc(data, size), what));
    RETURN_IF_ERROR(check(cudaMemsetAsync(*data, 0, size, self(device).stream), "clearing memory"));
    return check(cudaStreamSynchronize(self(device).stream), "clearing memory");
  });
}

void release(BackendDevice* device, MemoryKind kind, void* data, uint64_t) {
  if (data == nullptr) return;
  (void)self(device).copies.flush();
  if (kind == MemoryKind::kHostPinned) {
    self(device).pinned.erase(static_cast<const char*>(data));
    cudaFreeHost(data);
  } else {
    cudaFree(data);
  }
}

/// Copies of pageable memory from this size on go the way of weights while those are loaded (an embedding is
/// a gigabyte, and the driver copies pageable memory with one thread).
constexpr uint64_t kLargeCopy = uint64_t{1} << 20;

bool is_pageable(const void* host) {
  cudaPointerAttributes found{};
  return cudaPointerGetAttributes(&found, host) == cudaSuccess && found.type == cudaMemoryTypeUnregistered;
}

/// Ordered on the stream, since nothing is left to do on either side.
Status copy_as_weights(CudaDevice& device, cudaStream_t stream, void* to, const void* from, uint64_t bytes) {
  RETURN_IF_ERROR(check(cudaStreamSynchronize(stream), "copying"));
  RETURN_IF_ERROR(device.uploader->upload(to, from, bytes));
  return device.uploader->flush();
}

bool is_pinned(const CudaDevice& device, const void* host, uint64_t bytes) {
  const char* const begin = static_cast<const char*>(host);
  const auto after = device.pinned.upper_bound(begin);
  if (after == device.pinned.begin()) return false;
  const auto& [first, size] = *std::prev(after);
  return begin + bytes <= first + size;
}

/// Whether a kernel copies it (kernels/small_copy.h).
bool is_small(const CudaDevice& device, const void* to, const void* from, uint64_t bytes, CopyKind kind) {
  if (kind == CopyKind::kDeviceToDevice || bytes > cuda::kMostSmallCopy) return false;
  const auto bits = reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from) | bytes;
  return bits % 4 == 0 && is_pinned(device, kind == CopyKind::kHostToDevice ? from : to, bytes);
}

int32_t copy(BackendDevice* device, BackendStream* stream, void* to, const void* from, uint64_t bytes,
             CopyKind kind, BackendError* error) {
  if (bytes == 0) return 0;
  return guarded(error, [&]() -> Status {
    const cudaMemcpyKind direction = kind == CopyKind::kHostToDevice   ? cudaMemcpyHostToDevice
                                     : kind == CopyKind::kDeviceToHost ? cudaMemcpyDeviceToHost
                                                                       : cudaMemcpyDeviceToDevice;
    if (is_small(self(device), to, from, bytes, kind)) {
      return self(device).copies.add(stream_of(device, stream), {to, from, static_cast<uint32_t>(bytes)},
                                     kind == CopyKind::kHostToDevice);
    }
    RETURN_IF_ERROR(self(device).copies.flush());
    if (kind == CopyKind::kHostToDevice && bytes >= kLargeCopy && self(device).uploader->active() &&
        is_pageable(from)) {
      return copy_as_weights(self(device), stream_of(device, stream), to, from, bytes);
    }
    // the runtime keeps the interface's promise: pageable memory has been read or written when it returns
    return check(cudaMemcpyAsync(to, from, bytes, direction, stream_of(device, stream)), "copying");
  });
}

// ---- weights ----

void mapped_file(BackendDevice* device, const BackendFile* file) { self(device).uploader->add_file(*file); }
int32_t prepare(BackendDevice* device, const WeightGroup* weights, PreparedGroup** group,
                BackendError* error) {
  return guarded(error, [&]() -> Status {
    ASSIGN_OR_RETURN(auto prepared, cuda::prepare_group(self(device), *weights));
    *group = reinterpret_cast<PreparedGroup*>(prepared.release());
    return OkStatus();
  });
}
void discard(BackendDevice* device, PreparedGroup* group) {
  // a load that fails midway gives groups back whose bytes are still on their way
  if (self(device).uploader->active()) (void)self(device).uploader->flush();
  (void)self(device).copies.flush();
  cudaStreamSynchronize(self(device).stream);
  delete reinterpret_cast<CudaGroup*>(group);
}
int32_t finish_prepare(BackendDevice* device, BackendLoadReport* report, BackendError* error) {
  return guarded(error, [&]() -> Status {
    ASSIGN_OR_RETURN(*report, self(device).uploader->finish());
    return OkStatus();
  });
}
uint64_t prepared_bytes(BackendDevice*, const PreparedGroup* group) { return cuda::group_of(group).bytes; }

// ---- ops ----

struct Op {
  Status (*run)(CudaDevice&, cudaStream_t, const void* args) = nullptr;
  uint64_t (*workspace)(const CudaDevice&, const void* args) = nullptr;
  bool (*supports)(const CudaDevice&, const void* args) = nullptr;
};

template <auto kRun>
struct Run;
template <typename Args, Status (*kRun)(CudaDevice&, cudaStream_t, const Args&)>
struct Run<kRun> {
  static Status call(CudaDevice& device, cudaStream_t stream, const void* args) {
    return kRun(device, stream, *static_cast<const Args*>(args));
  }
};
template <auto kAsk>
struct Ask;
template <typename Result, typename Args, Result (*kAsk)(const CudaDevice&, const Args&)>
struct Ask<kAsk> {
  static Result call(const CudaDevice& device, const void* args) {
    return kAsk(device, *static_cast<const Args*>(args));
  }
};

template <auto kRun>
constexpr Op op() {
  return {&Run<kRun>::call, nullptr, nullptr};
}
template <auto kRun, auto kBytes>
constexpr Op op() {
  return {&Run<kRun>::call, &Ask<kBytes>::call, nullptr};
}
template <auto kRun, auto kBytes, auto kSupports>
constexpr Op op() {
  return {&Run<kRun>::call, &Ask<kBytes>::call, &Ask<kSupports>::call};
}

/// In the order of OpKind.
constexpr Op kOps[] = {
    op<cuda::embed>(),
    op<cuda::rms_norm>(),
    op<cuda::linear, cuda::linear_workspace>(),
    op<cuda::rope>(),
    op<cuda::silu_mul>(),
    op<cuda::add>(),
    op<cuda::convert>(),
    op<cuda::gather>(),
    op<cuda::write_kv_mla>(),
    op<cuda::write_kv_gqa>(),
    op<cuda::mla_attention, cuda::mla_attention_workspace>(),
    op<cuda::gqa_attention, cuda::gqa_attention_workspace>(),
    op<cuda::route_experts>(),
    op<cuda::moe_experts, cuda::moe_experts_workspace>(),
    op<cuda::sample, cuda::sample_workspace>(),
    op<cuda::copy_blocks>(),
    op<cuda::take_tokens>(),
    op<cuda::mla_prologue, cuda::mla_prologue_workspace, cuda::mla_prologue_supports>(),
    op<cuda::gqa_prologue, cuda::gqa_prologue_workspace, cuda::gqa_prologue_supports>(),
    op<cuda::moe_block, cuda::moe_block_workspace, cuda::moe_block_supports>(),
    op<cuda::mlp, cuda::mlp_workspace, cuda::mlp_supports>(),
    Op{},  // all_reduce_norm: lowered to rms_norm, which adds the residual
};
static_assert(std::size(kOps) == static_cast<size_t>(OpKind::kCount));

const Op* find_op(OpKind kind) {
  const auto index = static_cast<size_t>(kind);
  return index < std::size(kOps) && kOps[index].run != nullptr ? &kOps[index] : nullptr;
}

int32_t supports(BackendDevice* device, OpKind kind, const void* args) {
  const Op* found = find_op(kind);
  if (found == nullptr) return 0;
  return found->supports == nullptr || found->supports(self(device), args) ? 1 : 0;
}

uint64_t workspace_bytes(BackendDevice* device, OpKind kind, const void* args) {
  const Op* found = find_op(kind);
  return found == nullptr || found->workspace == nullptr ? 0 : found->workspace(self(device), args);
}

int32_t run(BackendDevice* device, BackendStream* stream, OpKind kind, const void* args,
            BackendError* error) {
  return ordered(device, error, [&]() -> Status {
    const Op* found = find_op(kind);
    if (found == nullptr)
      return unimplemented("op {} is not one of this backend's own", static_cast<int32_t>(kind));
    RETURN_IF_ERROR(found->run(self(device), stream_of(device, stream), args));
    return check(cudaPeekAtLastError(), "launching");
  });
}

// ---- streams, events, graphs ----

int32_t stream_create(BackendDevice*, BackendStream** stream, BackendError* error) {
  return guarded(error, [&] {
    return check(cudaStreamCreateWithFlags(reinterpret_cast<cudaStream_t*>(stream), cudaStreamNonBlocking),
                 "making a stream");
  });
}
void stream_destroy(BackendDevice* device, BackendStream* stream) {
  (void)self(device).copies.flush();
  if (stream != nullptr) cudaStreamDestroy(reinterpret_cast<cudaStream_t>(stream));
}
int32_t stream_wait(BackendDevice* device, BackendStream* stream, BackendError* error) {
  return ordered(device, error, [&] {
    return check(cudaStreamSynchronize(stream_of(device, stream)), "waiting for the GPU");
  });
}

cudaEvent_t event_of(BackendEvent* event) { return reinterpret_cast<cudaEvent_t>(event); }

int32_t event_create(BackendDevice*, BackendEvent** event, BackendError* error) {
  return guarded(error, [&] {
    return check(cudaEventCreate(reinterpret_cast<cudaEvent_t*>(event)), "making an event");
  });
}
void event_destroy(BackendDevice*, BackendEvent* event) { cudaEventDestroy(event_of(event)); }
int32_t event_record(BackendDevice* device, BackendStream* stream, BackendEvent* event, BackendError* error) {
  return ordered(device, error, [&] {
    return check(cudaEventRecord(event_of(event), stream_of(device, stream)), "recording an event");
  });
}
int32_t event_wait(BackendDevice*, BackendEvent* event, BackendError* error) {
  return guarded(error, [&] { return check(cudaEventSynchronize(event_of(event)), "waiting for the GPU"); });
}
int32_t event_passed(BackendDevice*, BackendEvent* event, int32_t* passed, BackendError* error) {
  return guarded(error, [&]() -> Status {
    const cudaError_t state = cudaEventQuery(event_of(event));
    *passed = state == cudaErrorNotReady ? 0 : 1;
    if (state != cudaErrorNotReady) return check(state, "asking for an event");
    cudaGetLastError();  // the runtime keeps this answer as if it were an error
    return OkStatus();
  });
}
int32_t event_elapsed(BackendDevice*, BackendEvent* from, BackendEvent* to, double* seconds,
                      BackendError* error) {
  return guarded(error, [&]() -> Status {
    float milliseconds = 0;
    RETURN_IF_ERROR(
        check(cudaEventElapsedTime(&milliseconds, event_of(from), event_of(to)), "reading events"));
    *seconds = milliseconds * 1e-3;
    return OkStatus();
  });
}

int32_t graph_begin(BackendDevice* device, BackendStream* stream, BackendError* error) {
  return ordered(device, error, [&] {
    return check(cudaStreamBeginCapture(stream_of(device, stream), cudaStreamCaptureModeThreadLocal),
                 "capturing");
  });
}
int32_t graph_end(BackendDevice* device, BackendStream* stream, BackendGraph** graph, BackendError* error) {
  return ordered(device, error, [&]() -> Status {
    cudaGraph_t recorded = nullptr;
    RETURN_IF_ERROR(check(cudaStreamEndCapture(stream_of(device, stream), &recorded), "ending a capture"));
    cudaGraphExec_t executable = nullptr;
    const cudaError_t made = cudaGraphInstantiate(&executable, recorded, 0);
    cudaGraphDestroy(recorded);
    RETURN_IF_ERROR(check(made, "making a graph"));
    *graph = reinterpret_cast<BackendGraph*>(executable);
    return check(cudaGraphUpload(executable, stream_of(device, stream)), "uploading a graph");
  });
}
int32_t graph_launch(BackendDevice* device, BackendStream* stream, BackendGraph* graph, BackendError* error) {
  return ordered(device, error, [&] {
    return check(cudaGraphLaunch(reinterpret_cast<cudaGraphExec_t>(graph), stream_of(device, stream)),
                 "launching a graph");
  });
}
void graph_destroy(BackendDevice* device, BackendGraph* graph) {
  (void)self(device).copies.flush();
  cudaStreamSynchronize(self(device).stream);
  cudaGraphExecDestroy(reinterpret_cast<cudaGraphExec_t>(graph));
}

// ---- report ----

void kernels_used(BackendDevice* device, void (*visit)(void* context, const char* name), void* context) {
  for (const char* name : self(device).kernels) visit(context, name);
}
void reset_kernels_used(BackendDevice* device) { self(device).kernels.clear(); }

void health(BackendDevice* device, BackendHealth* health) {
  *health =
      self(device).monitor == nullptr ? BackendHealth{-1, -1, -1, -1, -1, -1} : self(device).monitor->read();
}

constexpr BackendApi kApi = {
    .abi = kBackendAbi,
    .struct_size = sizeof(BackendApi),
    .name = "cuda",
    .open = open_device,
    .close = close_device,
    .facts = facts,
    .allocate = allocate,
    .release = release,
    .copy = copy,
    .mapped_file = mapped_file,
    .prepare = prepare,
    .discard = discard,
    .finish_prepare = finish_prepare,
    .prepared_bytes = prepared_bytes,
    .supports = supports,
    .workspace_bytes = workspace_bytes,
    .run = run,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_wait = stream_wait,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .event_wait = event_wait,
    .event_passed = event_passed,
    .event_elapsed = event_elapsed,
    .graph_begin = graph_begin,
    .graph_end = graph_end,
    .graph_launch = graph_launch,
    .graph_destroy = graph_destroy,
    .kernels_used = kernels_used,
    .reset_kernels_used = reset_kernels_used,
    .health = health,
};

}  // namespace
}  // namespace hadal

extern "C" __attribute__((visibility("default"))) const hadal::BackendApi* hadal_backend_v1() {
  return &hadal::kApi;
}
