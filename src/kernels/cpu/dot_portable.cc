// clang-format off: the body comes after the types it is written in
#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_portable.h"
#include "kernels/cpu/dot-inl.h"
// clang-format on

namespace hadal::cpu {

const DotKernels kDotPortable = HADAL_DOT_TABLE(portable, "portable");

}  // namespace hadal::cpu
