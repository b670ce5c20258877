// clang-format off: the body comes after the types it is written in
#include "kernels/cpu/isa.h"
#include "kernels/cpu/simd_portable.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

namespace hadal::cpu {

const VectorKernels kVectorPortable = HADAL_VECTOR_TABLE(portable);

}  // namespace hadal::cpu
