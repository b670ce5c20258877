#if defined(__x86_64__)
#define HADAL_SIMD_HEADER "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/vector-inl.h"

namespace hadal::cpu {

const VectorKernels kVectorAvx512 = HADAL_VECTOR_TABLE(avx512);

}  // namespace hadal::cpu
#endif
