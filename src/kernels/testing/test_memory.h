// Where kernel tests keep what a descriptor points to: host memory that the backend under test can read and
// write. A CPU takes the heap's; the tests of a GPU install pinned memory (PinnedPool).
//
// Threads: install before the first case is made; allocation may come from several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hadal::testing {

/// `release` gets what `allocate` gave, and also what malloc gave before the hooks were installed.
struct TestMemoryHooks {
  void* (*allocate)(size_t bytes) = nullptr;
  void (*release)(void* data, size_t bytes) = nullptr;
};
/// For the whole process. The default is malloc and free.
void install_test_memory(const TestMemoryHooks& hooks);

/// Throws std::bad_alloc.
void* allocate_test_memory(size_t bytes);
void release_test_memory(void* data, size_t bytes) noexcept;

template <typename T>
struct TestAllocator {
  using value_type = T;
  TestAllocator() = default;
  template <typename U>
  TestAllocator(const TestAllocator<U>&) {}  // NOLINT: converting, as allocators must
  T* allocate(size_t count) { return static_cast<T*>(allocate_test_memory(count * sizeof(T))); }
  void deallocate(T* data, size_t count) noexcept { release_test_memory(data, count * sizeof(T)); }
  friend bool operator==(const TestAllocator&, const TestAllocator&) { return true; }
};

template <typename T>
using TestVector = std::vector<T, TestAllocator<T>>;

}  // namespace hadal::testing
