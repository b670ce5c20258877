#if defined(__x86_64__)
#define HADAL_ISA avx512bf16
#define HADAL_HAS_DPBF16
// clang-format off: the body comes after the types it is written in
#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/dot-inl.h"
// clang-format on

namespace hadal::cpu {

const DotKernels kDotAvx512Bf16 = HADAL_DOT_TABLE(avx512bf16, "avx512bf16");

}  // namespace hadal::cpu
#endif
