#define HADAL_SIMD_HEADER "kernels/cpu/simd_portable.h"
#include "kernels/cpu/decode-inl.h"

namespace hadal::cpu {

const DecodeKernels kDecodePortable = HADAL_DECODE_TABLE(portable);

}  // namespace hadal::cpu
