// Records of the cache into L2 ahead of their use, whatever else is under way. Device code.
#pragma once

namespace hadal::cuda {

inline constexpr int kPrefetchPiece = 64;  // bytes

/// Brings a piece into L2; unlike prefetch_l2 for all lanes at once. What is still being written may be
/// meant: its bytes are taken from L2 in any case.
__device__ __forceinline__ void prefetch_piece(const void* global) {
#if __CUDA_ARCH__ >= 900
  asm volatile("prefetch.global.L2 [%0];\n" ::"l"(global) : "memory");
#endif
}

}  // namespace hadal::cuda
