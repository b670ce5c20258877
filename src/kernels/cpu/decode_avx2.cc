#if defined(__x86_64__)
#define HADAL_SIMD_HEADER "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/decode-inl.h"

namespace hadal::cpu {

const DecodeKernels kDecodeAvx2 = HADAL_DECODE_TABLE(avx2);

}  // namespace hadal::cpu
#endif
