#include "kernels/testing/test_backend.h"

#include <algorithm>

#include "kernels/api/op_names.h"

namespace hadal::testing {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint64_t kGuardBytes = 256;
constexpr uint8_t kGuard = 0xC3;
constexpr uint8_t kPoison = 0xFF;

}  // namespace

TestGroup::~TestGroup() {
  if (group_ != nullptr) backend_->api_->discard(backend_->device_, group_);
}

StatusOr<std::unique_ptr<TestBackend>> TestBackend::open(const BackendApi* api, const std::string& isa,
                                                         int32_t threads, bool batch_invariant) {
  BackendOptions options;
  options.batch_invariant = batch_invariant ? 1 : 0;
  options.threads = threads;
  options.isa = isa.empty() ? nullptr : isa.c_str();
  BackendDevice* device = nullptr;
  BackendError error{};
  if (api->open(&options, &device, &error) != 0)
    return failed_precondition("{}: {}", api->name, error.message);
  return std::unique_ptr<TestBackend>(new TestBackend(api, device));
}

TestBackend::TestBackend(const BackendApi* api, BackendDevice* device) : api_(api), device_(device) {
  BackendFacts facts{};
  api_->facts(device_, &facts);
  host_memory_ = facts.host_memory != 0;
}

TestBackend::~TestBackend() {
  if (device_memory_ != nullptr) {
    api_->release(device_, MemoryKind::kDevice, device_memory_, device_memory_bytes_);
  }
  api_->close(device_);
}

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
  TestGroup whole(this, prepared);
  BackendLoadReport report{};
  if (api_->finish_prepare != nullptr && api_->finish_prepare(device_, &report, &error) != 0) {
    return failed_precondition("{}: finish_prepare: {}", api_->name, error.message);
  }
  return StatusOr<TestGroup>(std::move(whole));
}

Status TestBackend::copy(void* to, const void* from, uint64_t bytes, CopyKind kind) {
  BackendError error{};
  if (api_->copy(device_, nullptr, to, from, bytes, kind, &error) != 0 ||
      api_->stream_wait(device_, nullptr, &error) != 0) {
    return internal_error("{}: copy: {}", api_->name, error.message);
  }
  return OkStatus();
}

Status TestBackend::make_workspace(uint64_t bytes) {
  const uint64_t guarded = bytes + kGuardBytes;
  memory_.assign(guarded + kAlignment, kPoison);
  const auto address = reinterpret_cast<uintptr_t>(memory_.data());
  uint8_t* first = memory_.data() + (kAlignment - address % kAlignment) % kAlignment;
  std::fill_n(first + bytes, kGuardBytes, kGuard);
  workspace_ = {first, bytes};
  if (host_memory_) return OkStatus();

  if (device_memory_bytes_ < guarded) {
    if (device_memory_ != nullptr) {
      api_->release(device_, MemoryKind::kDevice, device_memory_, device_memory_bytes_);
    }
    device_memory_ = nullptr;
    device_memory_bytes_ = 0;
    const uint64_t size = 2 * guarded;
    BackendError error{};
    if (api_->allocate(device_, size, MemoryKind::kDevice, &device_memory_, &error) != 0) {
      return internal_error("{}: a workspace of {} bytes: {}", api_->name, bytes, error.message);
    }
    device_memory_bytes_ = size;
  }
  workspace_.data = device_memory_;
  return copy(device_memory_, first, guarded, CopyKind::kHostToDevice);
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
  auto* guard = static_cast<uint8_t*>(workspace_.data) + workspace_.bytes;
  uint8_t copied[kGuardBytes];
  if (!host_memory_) {
    RETURN_IF_ERROR(copy(copied, guard, kGuardBytes, CopyKind::kDeviceToHost));
    guard = copied;
  }
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
