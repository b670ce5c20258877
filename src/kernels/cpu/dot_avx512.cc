#if defined(__x86_64__)
// clang-format off: the body comes after the types it is written in
#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/dot-inl.h"
// clang-format on

namespace hadal::cpu {

const DotKernels kDotAvx512 = HADAL_DOT_TABLE(avx512, "avx512");

}  // namespace hadal::cpu
#endif
