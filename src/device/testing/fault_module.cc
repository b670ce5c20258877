// libhadal_cuda.so with a fault in it: put beside a copy of `hadal`, it shows what the shipped binary makes
// of a device that is lost or hangs (tools/gpu_check, part `faults`).
//
//   HADAL_FAULT          lost or hang; anything else: none
//   HADAL_FAULT_AFTER    steps that go well (20)
//   HADAL_FAULT_BACKEND  the module that does the work, with a real GPU (built with HADAL_FAULT_GPU); without
//                        one the CPU does, behind deferred_backend.h
#include <cstdlib>
#include <string_view>

#include "device/testing/fault_backend.h"

#ifdef HADAL_FAULT_GPU
#include <dlfcn.h>

#include <cstdio>

#include "device/testing/fault_gpu.h"
#else
#include "device/testing/deferred_backend.h"
#endif

namespace hadal::testing {
namespace {

const BackendApi* inner_backend() {
#ifdef HADAL_FAULT_GPU
  const char* file = std::getenv("HADAL_FAULT_BACKEND");
  void* module = file == nullptr ? nullptr : dlopen(file, RTLD_NOW | RTLD_LOCAL);
  void* entry = module == nullptr ? nullptr : dlsym(module, "hadal_backend_v1");
  if (entry != nullptr) return reinterpret_cast<BackendEntry>(entry)();
  std::fprintf(stderr, "HADAL_FAULT_BACKEND %s: %s\n", file == nullptr ? "(not set)" : file,
               file == nullptr ? "" : dlerror());
  return nullptr;
#else
  return &deferred_backend("cpu");
#endif
}

FaultPlan asked_for() {
  const char *fault = std::getenv("HADAL_FAULT"), *after = std::getenv("HADAL_FAULT_AFTER");
  const std::string_view name = fault == nullptr ? "" : fault;
  FaultPlan plan;
  plan.fault = name == "lost" ? Fault::kLost : name == "hang" ? Fault::kHang : Fault::kNone;
  plan.after = after == nullptr ? 20 : std::atoll(after);
#ifdef HADAL_FAULT_GPU
  plan.provoke = provoke_on_gpu;
#endif
  return plan;
}

}  // namespace
}  // namespace hadal::testing

extern "C" __attribute__((visibility("default"))) const hadal::BackendApi* hadal_backend_v1() {
  const hadal::BackendApi* inner = hadal::testing::inner_backend();
  return inner == nullptr ? nullptr : hadal::testing::fault_backend(inner, hadal::testing::asked_for());
}
