#include "kernels/testing/test_memory.h"

#include <cstdlib>
#include <new>

namespace hadal::testing {
namespace {

void* from_heap(size_t bytes) { return std::malloc(bytes); }
void to_heap(void* data, size_t) { std::free(data); }

TestMemoryHooks g_hooks{&from_heap, &to_heap};

}  // namespace

void install_test_memory(const TestMemoryHooks& hooks) { g_hooks = hooks; }

void* allocate_test_memory(size_t bytes) {
  void* data = g_hooks.allocate(bytes > 0 ? bytes : 1);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

void release_test_memory(void* data, size_t bytes) noexcept {
  if (data != nullptr) g_hooks.release(data, bytes);
}

}  // namespace hadal::testing
