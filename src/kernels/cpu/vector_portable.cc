#define HADAL_SIMD_HEADER "kernels/cpu/simd_portable.h"
#include "kernels/cpu/vector-inl.h"

namespace hadal::cpu {

const VectorKernels kVectorPortable = HADAL_VECTOR_TABLE(portable);

}  // namespace hadal::cpu
