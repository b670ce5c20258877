#include "kernels/testing/pinned_pool.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "kernels/testing/test_memory.h"

namespace hadal::testing {
namespace {

constexpr size_t kChunk = size_t{64} << 20;
constexpr size_t kSmallest = 64;  // also the alignment of every piece

size_t size_of(size_t bytes) { return std::bit_ceil(std::max(bytes, kSmallest)); }
size_t class_of(size_t size) { return static_cast<size_t>(std::countr_zero(size)); }

PinnedPool* g_pool = nullptr;

void* from_pool(size_t bytes) { return g_pool->allocate(bytes); }
void to_pool(void* data, size_t bytes) {
  if (!g_pool->release(data, bytes)) std::free(data);
}

}  // namespace

PinnedPool::~PinnedPool() {
  for (const Chunk& chunk : chunks_) api_->release(device_, MemoryKind::kHostPinned, chunk.data, chunk.bytes);
}

void* PinnedPool::allocate(size_t bytes) {
  const size_t size = size_of(bytes);
  const std::lock_guard lock(mutex_);
  auto& free = free_[class_of(size)];
  if (!free.empty()) {
    void* data = free.back();
    free.pop_back();
    return data;
  }
  if (left_ < size && !grow(size)) return nullptr;
  void* data = next_;
  next_ += size;
  left_ -= size;
  return data;
}

bool PinnedPool::release(void* data, size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto* at = static_cast<const char*>(data);
  const bool mine = std::any_of(chunks_.begin(), chunks_.end(), [at](const Chunk& chunk) {
    return at >= chunk.data && at < chunk.data + chunk.bytes;
  });
  if (mine) free_[class_of(size_of(bytes))].push_back(data);
  return mine;
}

bool PinnedPool::grow(size_t size) {
  const size_t bytes = std::max(size, kChunk);
  void* data = nullptr;
  BackendError error{};
  if (api_->allocate(device_, bytes, MemoryKind::kHostPinned, &data, &error) != 0) return false;
  next_ = static_cast<char*>(data);  // what was left of the chunk before is forgotten
  left_ = bytes;
  chunks_.push_back({next_, bytes});
  return true;
}

Status install_pinned_memory(const BackendApi* api) {
  if (g_pool != nullptr) return failed_precondition("pinned memory is installed already");
  BackendOptions options;
  BackendDevice* device = nullptr;
  BackendError error{};
  if (api->open(&options, &device, &error) != 0)
    return failed_precondition("{}: {}", api->name, error.message);
  g_pool = new PinnedPool(api, device);
  install_test_memory({&from_pool, &to_pool});
  return OkStatus();
}

}  // namespace hadal::testing
