#if defined(__x86_64__)
#define HADAL_SIMD_HEADER "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/dot-inl.h"

namespace hadal::cpu {

const DotKernels kDotAvx2 = HADAL_DOT_TABLE(avx2, "avx2");

}  // namespace hadal::cpu
#endif
