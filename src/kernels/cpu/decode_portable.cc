// clang-format off: the body comes after the types it is written in
#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_portable.h"
#include "kernels/cpu/decode-inl.h"
// clang-format on

namespace hadal::cpu {

const DecodeKernels kDecodePortable = HADAL_DECODE_TABLE(portable);

}  // namespace hadal::cpu
