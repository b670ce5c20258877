#include "device/testing/deferred_backend.h"

#include <cstdio>
#include <cstring>

#include "base/check.h"
#include "device/testing/deferred_device.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/ref/ref_backend.h"

namespace hadal::testing {
namespace {

DeferredDevice& self(BackendDevice* device) { return *reinterpret_cast<DeferredDevice*>(device); }
DeferredEvent& self(BackendEvent* event) { return *reinterpret_cast<DeferredEvent*>(event); }

int32_t answer(const Status& status, BackendError* error) {
  if (status.ok()) return 0;
  std::snprintf(error->message, sizeof(error->message), "%s", std::string(message_of(status)).c_str());
  return 1;
}

// ---- device, memory, weights ----

template <const BackendApi* (*kInner)()>
int32_t open_device(const BackendOptions* options, BackendDevice** device, BackendError* error) {
  BackendDevice* inner = nullptr;
  if (const int32_t code = kInner()->open(options, &inner, error); code != 0) return code;
  *device = reinterpret_cast<BackendDevice*>(new DeferredDevice(kInner(), inner));
  return 0;
}

void close_device(BackendDevice* device) {
  DeferredDevice* mine = &self(device);
  mine->inner->close(mine->device);
  delete mine;
}

void facts(BackendDevice* device, BackendFacts* facts) {
  self(device).inner->facts(self(device).device, facts);
  facts->host_memory = 0;
  facts->steps_in_flight = 2;
  facts->graphs = 1;
  const DeferredDevice& mine = self(device);
  if (mine.memory_bytes == 0) return;
  facts->total_bytes = mine.memory_bytes;
  facts->free_bytes = mine.memory_bytes - mine.memory.device_bytes();
}

int32_t allocate(BackendDevice* device, uint64_t bytes, MemoryKind kind, void** data, BackendError* error) {
  DeferredDevice& mine = self(device);
  if (kind == MemoryKind::kDevice && mine.memory_bytes > 0 &&
      bytes + mine.memory.device_bytes() > mine.memory_bytes) {
    error->out_of_memory = 1;
    return answer(resource_exhausted("out of device memory"), error);
  }
  if (mine.capturing != nullptr) mine.violate("memory is allocated while a graph is captured");
  *data = mine.memory.allocate(bytes, kind);
  return 0;
}

void release(BackendDevice* device, MemoryKind kind, void* data, uint64_t bytes) {
  DeferredDevice& mine = self(device);
  if (mine.queued() > 0) mine.violate("memory is released while something is queued");
  mine.forget_spent(data, bytes);
  mine.memory.release(data, kind);
}

int32_t copy(BackendDevice* device, BackendStream*, void* to, const void* from, uint64_t bytes, CopyKind kind,
             BackendError* error) {
  return answer(self(device).copy(to, from, bytes, kind), error);
}

void mapped_file(BackendDevice* device, const BackendFile*) { ++self(device).report.mapped_files; }
int32_t prepare(BackendDevice* device, const WeightGroup* weights, PreparedGroup** group,
                BackendError* error) {
  DeferredDevice& mine = self(device);
  for (int32_t i = 0; i < weights->count; ++i) {
    const WeightRef& ref = weights->members[i];
    mine.prepared_bytes += static_cast<uint64_t>(ref.rows * ref.cols * bytes_of(ref.dtype));
  }
  return mine.inner->prepare(mine.device, weights, group, error);
}
void discard(BackendDevice* device, PreparedGroup* group) {
  if (self(device).queued() > 0) self(device).violate("weights are discarded while something is queued");
  self(device).inner->discard(self(device).device, group);
}
int32_t finish_prepare(BackendDevice* device, BackendLoadReport* report, BackendError*) {
  *report = {self(device).prepared_bytes, 0.5};
  return 0;
}
uint64_t prepared_bytes(BackendDevice* device, const PreparedGroup* group) {
  return self(device).inner->prepared_bytes(self(device).device, group);
}

// ---- ops ----

int32_t supports(BackendDevice* device, OpKind kind, const void* args) {
  return self(device).inner->supports(self(device).device, kind, args);
}
uint64_t workspace_bytes(BackendDevice* device, OpKind kind, const void* args) {
  return self(device).inner->workspace_bytes(self(device).device, kind, args);
}
int32_t run(BackendDevice* device, BackendStream*, OpKind kind, const void* args, BackendError*) {
  DeferredDevice& mine = self(device);
  std::shared_ptr<DeferredOp> op = mine.take(kind, args);
  if (mine.capturing != nullptr) {
    mine.capturing->ops.push_back(std::move(op));
    return 0;
  }
  ++mine.report.ops;
  mine.push([&mine, op] { return mine.execute(*op); });
  return 0;
}

// ---- streams, events, graphs ----

int32_t stream_create(BackendDevice*, BackendStream** stream, BackendError*) {
  *stream = nullptr;
  return 0;
}
void stream_destroy(BackendDevice*, BackendStream*) {}

int32_t wait_until(DeferredDevice& mine, uint64_t mark, BackendError* error) {
  if (mine.capturing != nullptr)
    return answer(failed_precondition("waiting while a graph is captured"), error);
  const Status status = mine.run_until(mark);
  mine.spoil_spent();
  return answer(status, error);
}
int32_t stream_wait(BackendDevice* device, BackendStream*, BackendError* error) {
  return wait_until(self(device), self(device).pushed(), error);
}

int32_t event_create(BackendDevice*, BackendEvent** event, BackendError*) {
  *event = reinterpret_cast<BackendEvent*>(new DeferredEvent());
  return 0;
}
void event_destroy(BackendDevice*, BackendEvent* event) { delete &self(event); }
int32_t event_record(BackendDevice* device, BackendStream*, BackendEvent* event, BackendError* error) {
  if (self(device).capturing != nullptr)
    return answer(failed_precondition("an event while a graph is captured"), error);
  DeferredEvent& mark = self(event);
  mark.mark = self(device).push([&mark] {
    mark.time = std::chrono::steady_clock::now();
    return OkStatus();
  });
  return 0;
}
int32_t event_wait(BackendDevice* device, BackendEvent* event, BackendError* error) {
  return wait_until(self(device), self(event).mark, error);
}
int32_t event_passed(BackendDevice* device, BackendEvent* event, int32_t* passed, BackendError*) {
  *passed = self(device).passed(self(event).mark) ? 1 : 0;
  return 0;
}
int32_t event_elapsed(BackendDevice*, BackendEvent* from, BackendEvent* to, double* seconds, BackendError*) {
  *seconds = std::chrono::duration<double>(self(to).time - self(from).time).count();
  return 0;
}

int32_t graph_begin(BackendDevice* device, BackendStream*, BackendError*) {
  self(device).capturing = std::make_unique<DeferredGraph>();
  return 0;
}
int32_t graph_end(BackendDevice* device, BackendStream*, BackendGraph** graph, BackendError*) {
  ++self(device).report.graphs;
  *graph = reinterpret_cast<BackendGraph*>(self(device).capturing.release());
  return 0;
}
int32_t graph_launch(BackendDevice* device, BackendStream*, BackendGraph* graph, BackendError*) {
  DeferredDevice& mine = self(device);
  ++mine.report.replays;
  mine.push([&mine, recorded = reinterpret_cast<DeferredGraph*>(graph)]() -> Status {
    for (const auto& op : recorded->ops) RETURN_IF_ERROR(mine.execute(*op));
    return OkStatus();
  });
  return 0;
}
void graph_destroy(BackendDevice* device, BackendGraph* graph) {
  if (self(device).queued() > 0) self(device).violate("a graph is destroyed while something is queued");
  delete reinterpret_cast<DeferredGraph*>(graph);
}

void kernels_used(BackendDevice* device, void (*visit)(void* context, const char* name), void* context) {
  self(device).inner->kernels_used(self(device).device, visit, context);
}
void reset_kernels_used(BackendDevice* device) {
  self(device).inner->reset_kernels_used(self(device).device);
}

template <const BackendApi* (*kInner)()>
const BackendApi& table() {
  static const BackendApi api = {
      .abi = kBackendAbi,
      .struct_size = sizeof(BackendApi),
      .name = "deferred",
      .open = open_device<kInner>,
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
      .health = nullptr,
  };
  return api;
}

}  // namespace

const BackendApi& deferred_backend(std::string_view inner) {
  CHECK_MSG(inner == "ref" || inner == "cpu", "deferred_backend wants ref or cpu");
  return inner == "ref" ? table<ref_backend>() : table<cpu_backend>();
}

DeferredReport& deferred_report(const Device& device) { return self(device.handle()).report; }
void deferred_set_memory(const Device& device, uint64_t bytes) { self(device.handle()).memory_bytes = bytes; }
int64_t deferred_queue(const Device& device) { return self(device.handle()).queued(); }

}  // namespace hadal::testing
