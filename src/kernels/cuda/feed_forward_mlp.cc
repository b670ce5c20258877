// A dense MLP. Few rows: gate and up with silu in one kernel, down's slices in another
// (kernels/moe_skinny.h). More: gate and up with silu in one kernel where the GPU (Hopper, bfloat16 weights)
// or the number of rows (tiles of 128) allows it, else gate | up as one product and silu; then down as a
// product.
#include <algorithm>

#include "kernels/cuda/alignment.h"
#include "kernels/cuda/kernels/moe_gemm.h"
#include "kernels/cuda/kernels/moe_skinny.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/moe_plan.h"
#include "kernels/cuda/ops.h"

namespace hadal::cuda {
namespace {

constexpr int64_t kSkinnyRows = 16;
constexpr int64_t kTileRows = 64;      // more are worth tiles of 128
constexpr int64_t kSliceWidth = 4096;  // so many columns of down are summed by one block

/// The MLP in slices no wider than kSliceWidth; false where the fast kernels do not take it so.
bool sliced_work(const MlpArgs& args, MoeWork& work) {
  const CudaGroup& group = group_of(args.mlp);
  const int64_t width = group.members[kMlpGate].rows;
  work.x = args.x;
  work.out = args.out;
  work.accumulate = args.accumulate;
  for (int32_t count = 1; count <= kMoeTinySlots; ++count) {
    if (width % count != 0 || width / count > kSliceWidth) continue;
    work.inner = width / count;
    work.fast = mlp_slices(group, count, work.shared) && fast_experts(work.shared, args.x.cols, work.inner);
    if (work.fast) return true;
  }
  return false;
}

/// The MLP as one slice.
bool whole_work(const MlpArgs& args, MoeWork& work) {
  work.x = args.x;
  work.out = args.out;
  work.inner = group_of(args.mlp).members[kMlpGate].rows;
  work.fast =
      mlp_slices(group_of(args.mlp), 1, work.shared) && fast_experts(work.shared, args.x.cols, work.inner);
  return work.fast;
}

Mat first_rows(Mat mat, int64_t rows) {
  mat.rows = std::min(mat.rows, rows);
  return mat;
}

Status check_shapes(const MlpArgs& args) {
  const CudaGroup& group = group_of(args.mlp);
  const WeightRef &gate = group.members[kMlpGate], &down = group.members[kMlpDown];
  if (args.out.rows != args.x.rows || args.x.cols != gate.cols || args.out.cols != down.rows ||
      down.cols != gate.rows || group.members[kMlpUp].rows != gate.rows) {
    return invalid_argument("mlp: x [{}, {}], gate [{}, {}], down [{}, {}] and out [{}, {}] do not fit",
                            args.x.rows, args.x.cols, gate.rows, gate.cols, down.rows, down.cols,
                            args.out.rows, args.out.cols);
  }
  return OkStatus();
}

}  // namespace

bool mlp_supports(const CudaDevice&, const MlpArgs& args) {
  return args.x.dtype == DType::kBF16 && args.hidden.dtype == DType::kBF16 && args.out.dtype == DType::kF32 &&
         args.gate.dtype == DType::kF32 && args.up.dtype == DType::kF32 &&
         group_of(args.mlp).fused.format != WeightFormat::kAbsent;
}

uint64_t mlp_workspace(const CudaDevice& device, const MlpArgs& args) {
  const uint64_t product = std::max(launch_linear_workspace(args.x), launch_linear_workspace(args.hidden));
  MlpArgs few = args;  // fewer rows than these may take another path
  few.x = first_rows(args.x, kSkinnyRows);
  few.out = first_rows(args.out, kSkinnyRows);
  MoeWork work;
  if (device.batch_invariant || !sliced_work(few, work)) return product;
  return std::max(product, moe_scratch_bytes(device, work));
}

Status mlp(CudaDevice& device, cudaStream_t stream, const MlpArgs& args) {
  RETURN_IF_ERROR(check_shapes(args));
  if (args.x.rows == 0) return OkStatus();
  const CudaGroup& group = group_of(args.mlp);
  MoeWork work;
  if (!device.batch_invariant && args.x.rows <= kSkinnyRows && sliced_work(args, work)) {
    const MoePath path = moe_path(device, work);
    return run_moe(device, stream, work, path == MoePath::kTiny ? path : MoePath::kSkinny, args.workspace);
  }
  if (linear_silu_supports(device, args.x, group.fused, args.hidden)) {
    RETURN_IF_ERROR(launch_linear_silu(device, stream, args.x, group.fused, args.hidden, args.workspace));
    return launch_linear(device, stream, args.hidden, group.members[kMlpDown], args.out, args.accumulate,
                         args.workspace);
  }
  const bool tiles = !device.batch_invariant && args.x.rows > kTileRows && rows_aligned(args.x) &&
                     args.hidden.stride == args.hidden.cols && is_aligned(args.hidden.data, 16) &&
                     whole_work(args, work) &&
                     moe_gemm_shared_bytes(group.fused.format) <= device.shared_bytes_per_block;
  if (tiles) {
    RETURN_IF_ERROR(run_mlp_gate_up(device, stream, work, args.hidden.data));
  } else {
    device.note("cuda.mlp.products");
    const Mat outs[] = {args.gate, args.up};
    RETURN_IF_ERROR(launch_linear_split(device, stream, args.x, group.fused, outs, 2, args.workspace));
    RETURN_IF_ERROR(silu_mul(device, stream, {args.gate, args.up, args.hidden}));
  }
  return launch_linear(device, stream, args.hidden, group.members[kMlpDown], args.out, args.accumulate,
                       args.workspace);
}

}  // namespace hadal::cuda
