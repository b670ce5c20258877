#if defined(__x86_64__)
#define HADAL_SIMD_HEADER "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/dot-inl.h"

namespace hadal::cpu {

const DotKernels kDotAvx512 = HADAL_DOT_TABLE(avx512, "avx512");

}  // namespace hadal::cpu
#endif
