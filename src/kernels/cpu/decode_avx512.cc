#if defined(__x86_64__)
// clang-format off: the body comes after the types it is written in
#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/decode-inl.h"
// clang-format on

namespace hadal::cpu {

const DecodeKernels kDecodeAvx512 = HADAL_DECODE_TABLE(avx512);

}  // namespace hadal::cpu
#endif
