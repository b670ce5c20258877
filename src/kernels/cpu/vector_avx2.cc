#if defined(__x86_64__)
// clang-format off: the body comes after the types it is written in
#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

namespace hadal::cpu {

const VectorKernels kVectorAvx2 = HADAL_VECTOR_TABLE(avx2);

}  // namespace hadal::cpu
#endif
