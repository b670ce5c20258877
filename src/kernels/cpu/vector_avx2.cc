#if defined(__x86_64__)
#define HADAL_SIMD_HEADER "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/vector-inl.h"

namespace hadal::cpu {

const VectorKernels kVectorAvx2 = HADAL_VECTOR_TABLE(avx2);

}  // namespace hadal::cpu
#endif
