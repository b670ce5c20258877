#if defined(__x86_64__)
#define HADAL_SIMD_HEADER "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/decode-inl.h"

namespace hadal::cpu {

const DecodeKernels kDecodeAvx512 = HADAL_DECODE_TABLE(avx512);

}  // namespace hadal::cpu
#endif
