#include "kernels/testing/test_backend.h"

#include <algorithm>

#include "kernels/api/op_names.h"

namespace hadal::testing {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint64_t kGuardBytes = 256;
constexpr uint8_t kGuard = 0xC3;

}  // namespace

TestGroup::~TestGroup() {
  if (group_ != nullptr) backend_->api_->discard(backend_->device_, group_);
}

StatusOr<std::unique_ptr<TestBackend>> TestBackend::open(const BackendApi* api, const std::string& isa,
                                                         int32_t threads) {
  BackendOptions options;
  options.threads = threads;
  options.isa = isa.empty() ? nullptr : isa.c_str();
  BackendDevice* device = nullptr;
  BackendError error{};
  if (api->open(&options, &device, &error) != 0)
    return failed_precondition("{}: {}", api->name, error.message);
  return std::unique_ptr<TestBackend>(new TestBackend(api, device));
}

TestBackend::~TestBackend() { api_->close(device_); }

std::string TestBackend::name() const {
  BackendFacts facts{};
  api_->facts(device_, &facts);
  return facts.name;
}

StatusOr<TestGroup> TestBackend::prepare(const WeightGroup& group) {
  PreparedGroup* prepared = nullptr;
  BackendError error{};
  if (api_->prepare(device_, &group, &prepared, &error) != 0) {
    return failed_precondition("{}: prepare: {}", api_->name, error.message);
  }
  return TestGroup(this, prepared);
}

Workspace TestBackend::make_workspace(uint64_t bytes) {
  memory_.assign(bytes + kGuardBytes + kAlignment, kGuard);
  const auto address = reinterpret_cast<uintptr_t>(memory_.data());
  workspace_ = {memory_.data() + (kAlignment - address % kAlignment) % kAlignment, bytes};
  return workspace_;
}

Status TestBackend::run_checked(OpKind kind, const void* args) {
  if (!supports(kind, args)) return unimplemented("{}: does not support {}", api_->name, op_name(kind));
  BackendError error{};
  if (api_->run(device_, nullptr, kind, args, &error) != 0) {
    return internal_error("{}: {}", api_->name, error.message);
  }
  if (api_->stream_wait(device_, nullptr, &error) != 0)
    return internal_error("{}: {}", api_->name, error.message);
  if (workspace_.data == nullptr) return OkStatus();
  const auto* guard = static_cast<const uint8_t*>(workspace_.data) + workspace_.bytes;
  if (!std::all_of(guard, guard + kGuardBytes, [](uint8_t byte) { return byte == kGuard; })) {
    return internal_error("{}: {} wrote beyond its workspace", api_->name, op_name(kind));
  }
  return OkStatus();
}

std::vector<std::string> TestBackend::kernels_used() const {
  std::vector<std::string> names;
  const auto visit = [](void* context, const char* name) {
    static_cast<std::vector<std::string>*>(context)->emplace_back(name);
  };
  api_->kernels_used(device_, visit, &names);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace hadal::testing
