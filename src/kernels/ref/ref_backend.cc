#include "kernels/ref/ref_backend.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bitset>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "kernels/ref/ref_ops.h"
#include "kernels/ref/weights.h"

namespace hadal {
namespace {

/// The opaque handles of the C interface, as this backend means them.
struct RefDevice {
  std::bitset<static_cast<size_t>(OpKind::kCount)> used;
};
RefDevice* self(BackendDevice* device) { return reinterpret_cast<RefDevice*>(device); }
ref::Group* self(PreparedGroup* group) { return reinterpret_cast<ref::Group*>(group); }

int32_t fail(BackendError* error, std::string_view message, bool out_of_memory = false) {
  if (error != nullptr) {
    const size_t length = std::min(message.size(), sizeof(error->message) - 1);
    std::memcpy(error->message, message.data(), length);
    error->message[length] = '\0';
    error->out_of_memory = out_of_memory ? 1 : 0;
  }
  return 1;
}

/// Runs `body` (returning Status) at the border: no exception crosses it.
template <typename Body>
int32_t guarded(BackendError* error, Body body) {
  try {
    const Status status = body();
    return status.ok() ? 0 : fail(error, message_of(status));
  } catch (const std::bad_alloc&) {
    return fail(error, "ref: out of memory", true);
  } catch (const std::exception& problem) {
    return fail(error, problem.what());
  }
}

// ---- device and memory ------------------------------------------------------------------------------------

int32_t open_device(const BackendOptions*, BackendDevice** device, BackendError* error) {
  return guarded(error, [&] {
    *device = reinterpret_cast<BackendDevice*>(new RefDevice());
    return OkStatus();
  });
}

void close_device(BackendDevice* device) { delete self(device); }

void facts(BackendDevice*, BackendFacts* facts) {
  *facts = {};
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::snprintf(facts->name, sizeof(facts->name), "ref (1 thread)");
  facts->total_bytes = page * static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES));
  facts->free_bytes = page * static_cast<uint64_t>(sysconf(_SC_AVPHYS_PAGES));
  facts->host_memory = 1;
  facts->steps_in_flight = 1;
  facts->threads = 1;
}

int32_t allocate(BackendDevice*, uint64_t bytes, MemoryKind, void** data, BackendError* error) {
  // Fresh pages are zero and are touched only when used, which matters for a large cache.
  void* pages =
      mmap(nullptr, std::max<uint64_t>(bytes, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    return fail(error, fmt::format("ref: cannot allocate {} bytes: {}", bytes, std::strerror(errno)), true);
  }
  *data = pages;
  return 0;
}

void release(BackendDevice*, MemoryKind, void* data, uint64_t bytes) {
  if (data != nullptr) munmap(data, std::max<uint64_t>(bytes, 1));
}

int32_t copy(BackendDevice*, BackendStream*, void* to, const void* from, uint64_t bytes, CopyKind,
             BackendError*) {
  if (bytes > 0) std::memmove(to, from, bytes);
  return 0;
}

// ---- weights ----------------------------------------------------------------------------------------------

int32_t prepare(BackendDevice*, const WeightGroup* weights, PreparedGroup** group, BackendError* error) {
  return guarded(error, [&] {
    RETURN_IF_ERROR(ref::check_group(*weights));
    *group = reinterpret_cast<PreparedGroup*>(ref::make_group(*weights));
    return OkStatus();
  });
}

void discard(BackendDevice*, PreparedGroup* group) { delete self(group); }

uint64_t prepared_bytes(BackendDevice*, const PreparedGroup*) { return 0; }

// ---- ops --------------------------------------------------------------------------------------------------

/// One row an op: its name, the function, and the workspace where it has one.
struct Op {
  const char* name;
  Status (*run)(const void* args);
  uint64_t (*workspace_bytes)(const void* args);
  Workspace (*workspace)(const void* args);
};

template <auto kRun>
struct Caller;
template <typename Args, Status (*kRun)(const Args&)>
struct Caller<kRun> {
  static Status run(const void* args) { return kRun(*static_cast<const Args*>(args)); }
  static Workspace workspace(const void* args) { return static_cast<const Args*>(args)->workspace; }
};
template <auto kBytes>
struct Sizer;
template <typename Args, uint64_t (*kBytes)(const Args&)>
struct Sizer<kBytes> {
  static uint64_t bytes(const void* args) { return kBytes(*static_cast<const Args*>(args)); }
};

template <auto kRun>
constexpr Op simple_op(const char* name) {
  return {name, Caller<kRun>::run, nullptr, nullptr};
}
template <auto kRun, auto kBytes>
constexpr Op scratch_op(const char* name) {
  return {name, Caller<kRun>::run, Sizer<kBytes>::bytes, Caller<kRun>::workspace};
}

/// In the order of OpKind; composites are left to the lowering.
constexpr Op kOps[] = {
    simple_op<ref::embed>("ref.embed"),
    simple_op<ref::rms_norm>("ref.rms_norm"),
    scratch_op<ref::linear, ref::linear_workspace>("ref.linear"),
    simple_op<ref::rope>("ref.rope"),
    simple_op<ref::silu_mul>("ref.silu_mul"),
    simple_op<ref::add>("ref.add"),
    simple_op<ref::convert>("ref.convert"),
    simple_op<ref::gather>("ref.gather"),
    simple_op<ref::write_kv_mla>("ref.write_kv_mla"),
    simple_op<ref::write_kv_gqa>("ref.write_kv_gqa"),
    scratch_op<ref::mla_attention, ref::mla_attention_workspace>("ref.mla_attention"),
    scratch_op<ref::gqa_attention, ref::gqa_attention_workspace>("ref.gqa_attention"),
    simple_op<ref::route_experts>("ref.route_experts"),
    scratch_op<ref::moe_experts, ref::moe_experts_workspace>("ref.moe_experts"),
    scratch_op<ref::sample, ref::sample_workspace>("ref.sample"),
    simple_op<ref::copy_blocks>("ref.copy_blocks"),
    simple_op<ref::take_tokens>("ref.take_tokens"),
};
static_assert(std::size(kOps) == static_cast<size_t>(OpKind::kMlaPrologue));

const Op* find_op(OpKind kind) {
  const auto index = static_cast<size_t>(kind);
  return index < std::size(kOps) ? &kOps[index] : nullptr;
}

int32_t supports(BackendDevice*, OpKind kind, const void*) { return find_op(kind) != nullptr ? 1 : 0; }

uint64_t workspace_bytes(BackendDevice*, OpKind kind, const void* args) {
  const Op* op = find_op(kind);
  return op == nullptr || op->workspace_bytes == nullptr ? 0 : op->workspace_bytes(args);
}

int32_t run(BackendDevice* device, BackendStream*, OpKind kind, const void* args, BackendError* error) {
  return guarded(error, [&]() -> Status {
    const Op* op = find_op(kind);
    if (op == nullptr) return unimplemented("ref: no op {}", static_cast<int>(kind));
    if (op->workspace != nullptr && op->workspace(args).bytes < op->workspace_bytes(args)) {
      return failed_precondition("{}: {} bytes of workspace, {} needed", op->name, op->workspace(args).bytes,
                                 op->workspace_bytes(args));
    }
    self(device)->used.set(static_cast<size_t>(kind));
    return op->run(args);
  });
}

// ---- streams and reports ----------------------------------------------------------------------------------

int32_t stream_create(BackendDevice*, BackendStream** stream, BackendError*) {
  *stream = nullptr;
  return 0;
}
void stream_destroy(BackendDevice*, BackendStream*) {}
int32_t stream_wait(BackendDevice*, BackendStream*, BackendError*) { return 0; }

void kernels_used(BackendDevice* device, void (*visit)(void*, const char*), void* context) {
  for (size_t i = 0; i < std::size(kOps); ++i) {
    if (self(device)->used.test(i)) visit(context, kOps[i].name);
  }
}
void reset_kernels_used(BackendDevice* device) { self(device)->used.reset(); }

constexpr BackendApi kApi = {
    .abi = kBackendAbi,
    .struct_size = sizeof(BackendApi),
    .name = "ref",
    .open = open_device,
    .close = close_device,
    .facts = facts,
    .allocate = allocate,
    .release = release,
    .copy = copy,
    .mapped_file = nullptr,
    .prepare = prepare,
    .discard = discard,
    .finish_prepare = nullptr,
    .prepared_bytes = prepared_bytes,
    .supports = supports,
    .workspace_bytes = workspace_bytes,
    .run = run,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_wait = stream_wait,
    .event_create = nullptr,
    .event_destroy = nullptr,
    .event_record = nullptr,
    .event_wait = nullptr,
    .event_passed = nullptr,
    .event_elapsed = nullptr,
    .graph_begin = nullptr,
    .graph_end = nullptr,
    .graph_launch = nullptr,
    .graph_destroy = nullptr,
    .kernels_used = kernels_used,
    .reset_kernels_used = reset_kernels_used,
    .health = nullptr,
};

}  // namespace

const BackendApi* ref_backend() { return &kApi; }

}  // namespace hadal
