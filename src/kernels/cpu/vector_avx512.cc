#if defined(__x86_64__)
// clang-format off: the body comes after the types it is written in
#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

namespace hadal::cpu {

const VectorKernels kVectorAvx512 = HADAL_VECTOR_TABLE(avx512);

}  // namespace hadal::cpu
#endif
