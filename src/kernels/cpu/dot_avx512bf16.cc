#if defined(__x86_64__)
#define HADAL_ISA avx512bf16
#define HADAL_HAS_DPBF16
#define HADAL_SIMD_HEADER "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/dot-inl.h"

namespace hadal::cpu {

const DotKernels kDotAvx512Bf16 = HADAL_DOT_TABLE(avx512bf16, "avx512bf16");

}  // namespace hadal::cpu
#endif
