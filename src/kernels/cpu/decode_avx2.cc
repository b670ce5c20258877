#if defined(__x86_64__)
// clang-format off: the body comes after the types it is written in
#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/decode-inl.h"
// clang-format on

namespace hadal::cpu {

const DecodeKernels kDecodeAvx2 = HADAL_DECODE_TABLE(avx2);

}  // namespace hadal::cpu
#endif
