#define HADAL_SIMD_HEADER "kernels/cpu/simd_portable.h"
#include "kernels/cpu/dot-inl.h"

namespace hadal::cpu {

const DotKernels kDotPortable = HADAL_DOT_TABLE(portable, "portable");

}  // namespace hadal::cpu
