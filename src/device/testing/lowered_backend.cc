#include "device/testing/lowered_backend.h"

#include <cstdio>
#include <memory>

#include "device/device.h"

namespace hadal::testing {
namespace {

/// What a handle of this table points to.
struct Lowered {
  std::shared_ptr<Device> device;
  const BackendApi& api() const { return device->api(); }
  BackendDevice* handle() const { return device->handle(); }
};

Lowered& self(BackendDevice* device) { return *reinterpret_cast<Lowered*>(device); }

int32_t fail(BackendError* error, const Status& status) {
  std::snprintf(error->message, sizeof(error->message), "%s", std::string(message_of(status)).c_str());
  return 1;
}

/// Runs (or, while the device measures, walks) the composite.
Status run_composite(Device& device, BackendStream* stream, OpKind kind, const void* args) {
  switch (kind) {
    case OpKind::kMlaPrologue:
      return device.run(stream, kind, *static_cast<const MlaPrologueArgs*>(args));
    case OpKind::kGqaPrologue:
      return device.run(stream, kind, *static_cast<const GqaPrologueArgs*>(args));
    case OpKind::kMoeBlock:
      return device.run(stream, kind, *static_cast<const MoeBlockArgs*>(args));
    case OpKind::kMlp:
      return device.run(stream, kind, *static_cast<const MlpArgs*>(args));
    default:
      return unimplemented("not a composite that is tested here");
  }
}

/// The lowering, with as much scratch as it says to need.
Status lower(Device& device, BackendStream* stream, OpKind kind, const void* args) {
  device.set_measuring(true);
  const Status measured = run_composite(device, stream, kind, args);
  device.set_measuring(false);
  RETURN_IF_ERROR(measured);
  RETURN_IF_ERROR(device.reserve_workspace(device.measured_workspace_bytes()));
  return run_composite(device, stream, kind, args);
}

int32_t open(const char* name, const BackendOptions* options, BackendDevice** to, BackendError* error) {
  auto device = Device::open(name, {.index = options->device_index,
                                    .threads = options->threads,
                                    .isa = options->isa == nullptr ? "" : options->isa,
                                    .batch_invariant = options->batch_invariant != 0});
  if (!device.ok()) return fail(error, device.status());
  *to = reinterpret_cast<BackendDevice*>(new Lowered{*std::move(device)});
  return 0;
}

BackendApi table(const char* name, decltype(BackendApi::open) open) {
  BackendApi api{};
  api.abi = kBackendAbi;
  api.struct_size = sizeof(BackendApi);
  api.name = name;
  api.open = open;
  api.close = [](BackendDevice* device) { delete &self(device); };
  api.facts = [](BackendDevice* device, BackendFacts* facts) {
    self(device).api().facts(self(device).handle(), facts);
  };
  api.allocate = [](BackendDevice* device, uint64_t bytes, MemoryKind kind, void** data,
                    BackendError* error) {
    return self(device).api().allocate(self(device).handle(), bytes, kind, data, error);
  };
  api.release = [](BackendDevice* device, MemoryKind kind, void* data, uint64_t bytes) {
    self(device).api().release(self(device).handle(), kind, data, bytes);
  };
  api.copy = [](BackendDevice* device, BackendStream* stream, void* to, const void* from, uint64_t bytes,
                CopyKind kind, BackendError* error) {
    return self(device).api().copy(self(device).handle(), stream, to, from, bytes, kind, error);
  };
  api.mapped_file = [](BackendDevice* device, const BackendFile* file) {
    if (self(device).api().mapped_file != nullptr)
      self(device).api().mapped_file(self(device).handle(), file);
  };
  api.prepare = [](BackendDevice* device, const WeightGroup* weights, PreparedGroup** group,
                   BackendError* error) {
    return self(device).api().prepare(self(device).handle(), weights, group, error);
  };
  api.discard = [](BackendDevice* device, PreparedGroup* group) {
    self(device).api().discard(self(device).handle(), group);
  };
  api.finish_prepare = [](BackendDevice* device, BackendLoadReport* report, BackendError* error) {
    auto found = self(device).device->finish_prepare();
    if (!found.ok()) return fail(error, found.status());
    *report = *found;
    return 0;
  };
  api.supports = [](BackendDevice*, OpKind, const void*) { return 1; };
  api.workspace_bytes = [](BackendDevice* device, OpKind kind, const void* args) -> uint64_t {
    const Lowered& lowered = self(device);
    return lowered.device->supports(kind, args) ? lowered.api().workspace_bytes(lowered.handle(), kind, args)
                                                : 0;
  };
  api.run = [](BackendDevice* device, BackendStream* stream, OpKind kind, const void* args,
               BackendError* error) {
    const Lowered& lowered = self(device);
    // the backend's own, with the caller's workspace and its guard
    if (lowered.device->supports(kind, args)) {
      return lowered.api().run(lowered.handle(), stream, kind, args, error);
    }
    const Status status = lower(*lowered.device, stream, kind, args);
    return status.ok() ? 0 : fail(error, status);
  };
  api.stream_wait = [](BackendDevice* device, BackendStream* stream, BackendError* error) {
    return self(device).api().stream_wait(self(device).handle(), stream, error);
  };
  api.kernels_used = [](BackendDevice* device, void (*visit)(void* context, const char* name),
                        void* context) {
    self(device).api().kernels_used(self(device).handle(), visit, context);
  };
  return api;
}

}  // namespace

const BackendApi* lowered_ref() {
  static const BackendApi kApi =
      table("ref", [](const BackendOptions* options, BackendDevice** device, BackendError* error) {
        return open("ref", options, device, error);
      });
  return &kApi;
}

const BackendApi* lowered_cpu() {
  static const BackendApi kApi =
      table("cpu", [](const BackendOptions* options, BackendDevice** device, BackendError* error) {
        return open("cpu", options, device, error);
      });
  return &kApi;
}

const BackendApi* lowered_cuda() {
  static const BackendApi kApi =
      table("cuda", [](const BackendOptions* options, BackendDevice** device, BackendError* error) {
        return open("cuda", options, device, error);
      });
  return &kApi;
}

}  // namespace hadal::testing
