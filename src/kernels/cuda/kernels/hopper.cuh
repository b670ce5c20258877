// What only Hopper (sm_90a) has, as functions: barriers in shared memory that count bytes, tiles copied by
// the tensor memory accelerator, products of a warpgroup. Bodies are empty in code for other architectures:
// the host launches their kernels on sm_90 alone (CudaDevice::has_wgmma). Private to kernels/cuda.
//
// Sources: PTX ISA 8.x, "mbarrier", "cp.async.bulk.tensor", "wgmma" (matrix descriptors, 128-byte swizzle).
#pragma once

#include <cuda.h>

#include "kernels/cuda/kernels/ptx.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HADAL_SM90A 1
#else
#define HADAL_SM90A 0
#pragma nv_diag_suppress 177  // what only the empty bodies would use
#endif

namespace hadal::cuda {

/// A place in a ring of stages in shared memory; the parity flips with every round.
template <int kStages>
struct RingPlace {
  int stage = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ void advance() {
    stage = stage + 1 == kStages ? 0 : stage + 1;
    if (stage == 0) parity ^= 1;
  }
};

// ---- barriers

__device__ __forceinline__ void barrier_init(uint64_t* barrier, uint32_t arrivals) {
#if HADAL_SM90A
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(barrier)), "r"(arrivals)
               : "memory");
#endif
}
/// Makes initialised barriers known to the copy engine; a __syncthreads follows.
__device__ __forceinline__ void barrier_init_done() {
#if HADAL_SM90A
  asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
#endif
}
__device__ __forceinline__ void barrier_arrive(uint64_t* barrier) {
#if HADAL_SM90A
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(shared_address(barrier)) : "memory");
#endif
}
/// Arrives, and says how many bytes of copies the phase waits for besides.
__device__ __forceinline__ void barrier_arrive_expecting(uint64_t* barrier, uint32_t bytes) {
#if HADAL_SM90A
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(shared_address(barrier)),
               "r"(bytes)
               : "memory");
#endif
}
/// Until the phase of this parity has ended; a new barrier's phase of parity 1 counts as ended.
__device__ __forceinline__ void barrier_wait(uint64_t* barrier, uint32_t parity) {
#if HADAL_SM90A
  uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}\n"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  }
#endif
}

// ---- copies

/// A box of the matrix from (row, column) on to shared memory, zeros outside the matrix; `barrier` counts its
/// bytes.
__device__ __forceinline__ void copy_box(void* shared, const CUtensorMap& map, int32_t row, int32_t column,
                                         uint64_t* barrier) {
#if HADAL_SM90A
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], "
      "[%4];\n" ::"r"(shared_address(shared)),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
#endif
}
/// The same of a pile of matrices: from (row, column) of matrix `index` on.
__device__ __forceinline__ void copy_box(void* shared, const CUtensorMap& map, int32_t index, int32_t row,
                                         int32_t column, uint64_t* barrier) {
#if HADAL_SM90A
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], "
      "[%5];\n" ::"r"(shared_address(shared)),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(column), "r"(row), "r"(index), "r"(shared_address(barrier))
      : "memory");
#endif
}
/// Orders this thread's writes to shared memory before what the copy engine and the tensor cores do after the
/// next barrier.
__device__ __forceinline__ void fence_shared_writes() {
#if HADAL_SM90A
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
#endif
}

// ---- products of a warpgroup

/// Rows of 64 bfloat16 (128 bytes) in the 128-byte swizzle, eight rows to 1,024 bytes; `tile` on 1,024 bytes.
/// 16 columns further: + 2.
__device__ __forceinline__ uint64_t swizzled_tile(const void* tile) {
  constexpr uint64_t kEightRows = 1024 >> 4, kSwizzle128 = 1;
  return uint64_t{(shared_address(tile) & 0x3ffffu) >> 4} | uint64_t{1} << 16 | kEightRows << 32 |
         kSwizzle128 << 62;
}

/// Registers and shared memory as the warps see them before the first product of a batch.
__device__ __forceinline__ void products_begin() {
#if HADAL_SM90A
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
#endif
}
__device__ __forceinline__ void products_commit() {
#if HADAL_SM90A
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
#endif
}
/// Until at most kPending committed batches are under way.
template <int kPending>
__device__ __forceinline__ void products_wait() {
#if HADAL_SM90A
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(kPending) : "memory");
#endif
}

#define HADAL_SUMS4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define HADAL_SUMS16(d, i) \
  HADAL_SUMS4(d, i), HADAL_SUMS4(d, i + 4), HADAL_SUMS4(d, i + 8), HADAL_SUMS4(d, i + 12)
#define HADAL_SUMS64(d, i) \
  HADAL_SUMS16(d, i), HADAL_SUMS16(d, i + 16), HADAL_SUMS16(d, i + 32), HADAL_SUMS16(d, i + 48)
#define HADAL_WGMMA(shape, registers, a, b, add)                                       \
  "{\n.reg .pred p;\nsetp.ne.b32 p, %" add ", 0;\nwgmma.mma_async.sync.aligned." shape \
  ".f32.bf16.bf16 {" registers "}, %" a ", %" b ", p, 1, 1, 0, 0;\n}\n"

#define HADAL_REGISTERS16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define HADAL_REGISTERS32 \
  HADAL_REGISTERS16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define HADAL_REGISTERS64                                                                                  \
  HADAL_REGISTERS32                                                                                        \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, " \
  "%52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define HADAL_REGISTERS128                                                                                 \
  HADAL_REGISTERS64                                                                                        \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, " \
  "%84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, "     \
  "%103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, " \
  "%120, %121, %122, %123, %124, %125, %126, %127"

/// sums = a b^T (+ sums with `add`): a 64 and b kColumns rows of 16 bfloat16. Thread 32 w + 4 g + t of the
/// warpgroup holds sums[4 j + 2 h + c] of row 16 w + 8 h + g and column 8 j + 2 t + c. Asynchronous: until
/// products_wait, sums and tiles are the tensor cores'.
template <int kColumns>
__device__ __forceinline__ void multiply_async(float (&sums)[kColumns / 2], uint64_t a, uint64_t b, int add) {
  static_assert(kColumns == 32 || kColumns == 64 || kColumns == 128 || kColumns == 256);
#if HADAL_SM90A
  if constexpr (kColumns == 32) {
    asm volatile(HADAL_WGMMA("m64n32k16", HADAL_REGISTERS16, "16", "17", "18")
                 : HADAL_SUMS16(sums, 0)
                 : "l"(a), "l"(b), "r"(add));
  } else if constexpr (kColumns == 64) {
    asm volatile(HADAL_WGMMA("m64n64k16", HADAL_REGISTERS32, "32", "33", "34")
                 : HADAL_SUMS16(sums, 0), HADAL_SUMS16(sums, 16)
                 : "l"(a), "l"(b), "r"(add));
  } else if constexpr (kColumns == 128) {
    asm volatile(HADAL_WGMMA("m64n128k16", HADAL_REGISTERS64, "64", "65", "66")
                 : HADAL_SUMS64(sums, 0)
                 : "l"(a), "l"(b), "r"(add));
  } else {
    asm volatile(HADAL_WGMMA("m64n256k16", HADAL_REGISTERS128, "128", "129", "130")
                 : HADAL_SUMS64(sums, 0), HADAL_SUMS64(sums, 64)
                 : "l"(a), "l"(b), "r"(add));
  }
#endif
}

/// The same with 16 columns. kTransposed: `a` lies as rows of the inner index, 64 of its rows side by side
/// (128 bytes); 16 inner ones further: + 128.
template <bool kTransposed>
__device__ __forceinline__ void multiply_async16(float (&sums)[8], uint64_t a, uint64_t b, int add) {
#if HADAL_SM90A
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %10, 0;\nwgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7}, %8, %9, p, 1, 1, %11, 0;\n}\n"
      : HADAL_SUMS4(sums, 0), HADAL_SUMS4(sums, 4)
      : "l"(a), "l"(b), "r"(add), "n"(kTransposed ? 1 : 0));
#endif
}

#undef HADAL_SUMS4
#undef HADAL_SUMS16
#undef HADAL_SUMS64
#undef HADAL_WGMMA
#undef HADAL_REGISTERS16
#undef HADAL_REGISTERS32
#undef HADAL_REGISTERS64
#undef HADAL_REGISTERS128

}  // namespace hadal::cuda
