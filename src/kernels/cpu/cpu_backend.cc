#include "kernels/cpu/cpu_backend.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/moe.h"
#include "kernels/cpu/prepared.h"
#include "kernels/cpu/row_ops.h"
#include "kernels/cpu/sample.h"

namespace hadal {
namespace {

using cpu::CpuDevice;
using cpu::CpuGroup;

/// The opaque handles of the C interface, as this backend means them.
CpuDevice& self(BackendDevice* device) { return *reinterpret_cast<CpuDevice*>(device); }

int32_t fail(BackendError* error, std::string_view message, bool out_of_memory = false) {
  if (error == nullptr) return 1;
  const size_t length = std::min(message.size(), sizeof(error->message) - 1);
  std::memcpy(error->message, message.data(), length);
  error->message[length] = '\0';
  error->out_of_memory = out_of_memory ? 1 : 0;
  return 1;
}

/// Runs `body` (returning Status) at the border: no exception crosses it.
template <typename Body>
int32_t guarded(BackendError* error, const Body& body) {
  try {
    const Status status = body();
    if (status.ok()) return 0;
    return fail(error, message_of(status), status.code() == absl::StatusCode::kResourceExhausted);
  } catch (const std::bad_alloc&) {
    return fail(error, "cpu: out of memory", true);
  } catch (const std::exception& problem) {
    return fail(error, problem.what());
  }
}

// ---- device and memory ----

int32_t open_device(const BackendOptions* options, BackendDevice** device, BackendError* error) {
  return guarded(error, [&]() -> Status {
    ASSIGN_OR_RETURN(const cpu::Isa isa, cpu::choose_isa(options->isa));
    if (options->device_index != 0)
      return invalid_argument("cpu: there is no device {}", options->device_index);
    if (options->threads < 0 || options->threads > cpu::kMaxThreads) {
      return invalid_argument("cpu: {} threads; 0 (all) to {}", options->threads, cpu::kMaxThreads);
    }
    const int threads = options->threads > 0 ? options->threads : cpu::usable_processors();
    auto opened = std::make_unique<CpuDevice>(isa, threads);
    if (opened->scratch == nullptr)
      return resource_exhausted("cpu: no memory for {} threads' scratch", threads);
    *device = reinterpret_cast<BackendDevice*>(opened.release());
    return OkStatus();
  });
}

void close_device(BackendDevice* device) { delete reinterpret_cast<CpuDevice*>(device); }

/// What the kernel could give without swapping, page cache included; 0 where /proc does not say.
uint64_t available_bytes() {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/meminfo", "r"), &std::fclose);
  if (file == nullptr) return 0;
  char line[256];
  unsigned long long kilobytes = 0;
  while (std::fgets(line, sizeof(line), file.get()) != nullptr) {
    if (std::sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1) return kilobytes * 1024;
  }
  return 0;
}

void facts(BackendDevice* device, BackendFacts* facts) {
  *facts = {};
  const CpuDevice& cpu = self(device);
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const int threads = cpu.pool.threads();
  std::snprintf(facts->name, sizeof(facts->name), "cpu (%s, %d thread%s)",
                std::string(cpu::isa_name(cpu.isa)).c_str(), threads, threads == 1 ? "" : "s");
  facts->total_bytes = page * static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES));
  facts->free_bytes = available_bytes();
  facts->host_memory = 1;
  facts->steps_in_flight = 1;
  facts->graphs = 0;
  facts->threads = threads;
}

int32_t allocate(BackendDevice*, uint64_t bytes, MemoryKind, void** data, BackendError* error) {
  // Fresh pages are zero, and count only once they are touched, which matters for a large cache.
  void* pages =
      mmap(nullptr, std::max<uint64_t>(bytes, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    return guarded(error, [&] {
      return resource_exhausted("cpu: cannot allocate {} bytes: {}", bytes, std::strerror(errno));
    });
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

// ---- weights ----

int32_t prepare(BackendDevice* device, const WeightGroup* weights, PreparedGroup** group,
                BackendError* error) {
  return guarded(error, [&]() -> Status {
    ASSIGN_OR_RETURN(auto prepared, cpu::prepare_group(self(device).kernels, *weights));
    *group = reinterpret_cast<PreparedGroup*>(prepared.release());
    return OkStatus();
  });
}

void discard(BackendDevice*, PreparedGroup* group) { delete reinterpret_cast<CpuGroup*>(group); }

uint64_t prepared_bytes(BackendDevice*, const PreparedGroup* group) {
  return cpu::group_of(group).decoded_bytes;
}

// ---- ops ----

struct Op {
  Status (*run)(CpuDevice&, const void* args);
  uint64_t (*workspace)(const CpuDevice&, const void* args);
};

template <auto kRun>
struct Run;
template <typename Args, Status (*kRun)(CpuDevice&, const Args&)>
struct Run<kRun> {
  static Status call(CpuDevice& device, const void* args) {
    return kRun(device, *static_cast<const Args*>(args));
  }
};
template <auto kBytes>
struct Bytes;
template <typename Args, uint64_t (*kBytes)(const CpuDevice&, const Args&)>
struct Bytes<kBytes> {
  static uint64_t call(const CpuDevice& device, const void* args) {
    return kBytes(device, *static_cast<const Args*>(args));
  }
};

template <auto kRun>
constexpr Op op() {
  return {&Run<kRun>::call, nullptr};
}
template <auto kRun, auto kBytes>
constexpr Op op() {
  return {&Run<kRun>::call, &Bytes<kBytes>::call};
}

/// In the order of OpKind; composites are left to the lowering.
constexpr Op kOps[] = {
    op<cpu::embed>(),
    op<cpu::rms_norm>(),
    op<cpu::linear>(),
    op<cpu::rope>(),
    op<cpu::silu_mul>(),
    op<cpu::add>(),
    op<cpu::convert>(),
    op<cpu::gather>(),
    op<cpu::write_kv_mla>(),
    op<cpu::write_kv_gqa>(),
    op<cpu::mla_attention, cpu::mla_attention_workspace>(),
    op<cpu::gqa_attention, cpu::gqa_attention_workspace>(),
    op<cpu::route_experts>(),
    op<cpu::moe_experts, cpu::moe_experts_workspace>(),
    op<cpu::sample, cpu::sample_workspace>(),
    op<cpu::copy_blocks>(),
    op<cpu::take_tokens>(),
};
static_assert(std::size(kOps) == static_cast<size_t>(OpKind::kMlaPrologue));

const Op* find_op(OpKind kind) {
  const auto index = static_cast<size_t>(kind);
  return index < std::size(kOps) ? &kOps[index] : nullptr;
}

int32_t supports(BackendDevice*, OpKind kind, const void*) { return find_op(kind) != nullptr ? 1 : 0; }

uint64_t workspace_bytes(BackendDevice* device, OpKind kind, const void* args) {
  const Op* found = find_op(kind);
  return found == nullptr || found->workspace == nullptr ? 0 : found->workspace(self(device), args);
}

int32_t run(BackendDevice* device, BackendStream*, OpKind kind, const void* args, BackendError* error) {
  return guarded(error, [&]() -> Status {
    const Op* found = find_op(kind);
    if (found == nullptr)
      return unimplemented("cpu: op {} is not one of its own", static_cast<int32_t>(kind));
    return found->run(self(device), args);
  });
}

// ---- streams, graphs, report ----

int32_t stream_create(BackendDevice*, BackendStream** stream, BackendError*) {
  *stream = nullptr;  // every call is done when it returns: the default stream is all there is
  return 0;
}
void stream_destroy(BackendDevice*, BackendStream*) {}
int32_t stream_wait(BackendDevice*, BackendStream*, BackendError*) { return 0; }

void kernels_used(BackendDevice* device, void (*visit)(void* context, const char* name), void* context) {
  const CpuDevice& cpu = self(device);
  for (int32_t i = 0; i < static_cast<int32_t>(cpu::Used::kCount); ++i) {
    if (cpu.used.test(static_cast<size_t>(i)))
      visit(context, cpu::used_name(static_cast<cpu::Used>(i), cpu.isa).c_str());
  }
}

void reset_kernels_used(BackendDevice* device) { self(device).used.reset(); }

}  // namespace

const BackendApi* cpu_backend() {
  static const BackendApi api = [] {
    BackendApi a{};
    a.abi = kBackendAbi;
    a.struct_size = sizeof(BackendApi);
    a.name = "cpu";
    a.open = open_device;
    a.close = close_device;
    a.facts = facts;
    a.allocate = allocate;
    a.release = release;
    a.copy = copy;
    a.prepare = prepare;
    a.discard = discard;
    a.prepared_bytes = prepared_bytes;
    a.supports = supports;
    a.workspace_bytes = workspace_bytes;
    a.run = run;
    a.stream_create = stream_create;
    a.stream_destroy = stream_destroy;
    a.stream_wait = stream_wait;
    a.kernels_used = kernels_used;
    a.reset_kernels_used = reset_kernels_used;
    return a;
  }();
  return &api;
}

}  // namespace hadal
