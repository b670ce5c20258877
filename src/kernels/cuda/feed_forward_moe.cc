// The routed experts, and a whole block: router, routed and shared experts.
#include <algorithm>

#include "kernels/cuda/alignment.h"
#include "kernels/cuda/kernels/route.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/moe_plan.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/route.h"

namespace hadal::cuda {
namespace {

constexpr int64_t kMaxTokens = 1 << 19;  // grids and 32-bit pair numbers of the kernels

Status check_experts(const MoeExpertsArgs& args, const ExpertSet& set) {
  if (args.out.dtype != DType::kF32) return invalid_argument("moe_experts: out must be F32");
  if (args.x.dtype != DType::kF32 && args.x.dtype != DType::kBF16)
    return unimplemented("moe_experts: x in {}", dtype_name(args.x.dtype));
  if (args.out.rows != args.x.rows || args.out.cols != args.x.cols) {
    return invalid_argument("moe_experts: x [{}, {}] and out [{}, {}] differ", args.x.rows, args.x.cols,
                            args.out.rows, args.out.cols);
  }
  if (args.x.rows > kMaxTokens || args.top_k <= 0 || args.top_k > args.num_experts)
    return invalid_argument("moe_experts: {} rows, top {} of {}", args.x.rows, args.top_k, args.num_experts);
  const WeightRef &gate = set.gate.first, &up = set.up.first, &down = set.down.first;
  const auto is = [](const WeightRef& w, int64_t rows, int64_t cols) {
    return w.rows == rows && w.cols == cols;
  };
  if (!is(gate, args.intermediate, args.x.cols) || !is(up, args.intermediate, args.x.cols) ||
      !is(down, args.x.cols, args.intermediate)) {
    return invalid_argument("moe_experts: matrices [{}, {}], [{}, {}] and [{}, {}] do not fit", gate.rows,
                            gate.cols, up.rows, up.cols, down.rows, down.cols);
  }
  return OkStatus();
}

/// False where the experts of the group are not alike.
bool work_of(const MoeExpertsArgs& args, MoeWork& work) {
  work.x = args.x;
  work.out = args.out;
  work.inner = args.intermediate;
  work.top_k = args.top_k;
  work.ids = args.ids;
  work.weights = args.weights;
  work.live = args.live_rows;
  if (!routed_experts(group_of(args.experts), args.num_experts, work.routed)) return false;
  work.fast = args.x.dtype == DType::kBF16 && fast_experts(work.routed, args.x.cols, args.intermediate);
  return true;
}

/// The experts as moe_block runs them.
MoeExpertsArgs routed_part(const MoeBlockArgs& args) {
  MoeExpertsArgs routed = args.experts;
  routed.x = args.x;
  routed.ids = args.route.ids;
  routed.weights = args.route.weights;
  routed.top_k = args.route.top_k;
  routed.out = args.out;
  routed.live_rows = args.route.live_rows;
  return routed;
}

/// False where the router, the experts or the shared MLP are not for the fast kernels.
bool block_work_of(const MoeBlockArgs& args, MoeWork& work) {
  const WeightRef& gate = weight_of(args.gate);
  if (args.x.dtype != DType::kBF16 || args.out.dtype != DType::kF32 || gate.format != WeightFormat::kDense ||
      gate.bias != nullptr || (gate.dtype != DType::kBF16 && gate.dtype != DType::kF32) ||
      gate.cols != args.x.cols || gate.rows != args.route.logits.cols ||
      args.route.logits.dtype != DType::kF32 || gate.rows > kMaxRoutedExperts || !rows_aligned(args.x)) {
    return false;
  }
  if (!work_of(routed_part(args), work) || !work.fast) return false;
  if (args.shared == nullptr) return true;
  const CudaGroup& shared = group_of(args.shared);
  const int64_t shared_width = shared.members.empty() ? 0 : shared.members[kMlpGate].rows;
  if (shared_width <= 0 || shared_width % work.inner != 0) return false;
  return mlp_slices(shared, static_cast<int32_t>(shared_width / work.inner), work.shared) &&
         shared.members[kMlpGate].format == work.routed.gate.first.format &&
         shared.members[kMlpGate].cols == args.x.cols && shared.members[kMlpDown].rows == args.x.cols &&
         fast_experts(work.shared, args.x.cols, work.inner);
}

/// Logits and choice: in one kernel for a decode step; a prompt's many rows are a matrix product of its own.
Status run_router(CudaDevice& device, cudaStream_t stream, const MoeBlockArgs& args) {
  constexpr int64_t kProductRows = 256;
  const WeightRef& gate = weight_of(args.gate);
  if (args.x.rows > kProductRows && gate.dtype == DType::kBF16 && !device.batch_invariant) {
    RETURN_IF_ERROR(launch_linear(device, stream, args.x, gate, args.route.logits, 0, {}));
    return route_experts(device, stream, args.route);
  }
  device.note("cuda.router");
  return check(launch_router(stream, args.x, gate, args.route), "launching the router");
}

}  // namespace

uint64_t moe_experts_workspace(const CudaDevice& device, const MoeExpertsArgs& args) {
  MoeWork work;
  return work_of(args, work) ? moe_scratch_bytes(device, work) : 0;
}

Status moe_experts(CudaDevice& device, cudaStream_t stream, const MoeExpertsArgs& args) {
  MoeWork work;
  if (!work_of(args, work)) {
    return unimplemented("moe_experts: {} experts in {} matrices that are not alike", args.num_experts,
                         group_of(args.experts).members.size());
  }
  RETURN_IF_ERROR(check_experts(args, work.routed));
  return run_moe(device, stream, work, moe_path(device, work), args.workspace);
}

bool moe_block_supports(const CudaDevice&, const MoeBlockArgs& args) {
  MoeWork work;
  return block_work_of(args, work);
}

uint64_t moe_block_workspace(const CudaDevice& device, const MoeBlockArgs& args) {
  MoeWork work;
  return block_work_of(args, work) ? moe_scratch_bytes(device, work) : 0;
}

Status moe_block(CudaDevice& device, cudaStream_t stream, const MoeBlockArgs& args) {
  MoeWork work;
  if (!block_work_of(args, work)) return unimplemented("moe_block: not these shapes, dtypes and formats");
  RETURN_IF_ERROR(check_experts(routed_part(args), work.routed));
  RETURN_IF_ERROR(check_route(args.route));
  if (args.x.rows == 0) return OkStatus();
  RETURN_IF_ERROR(run_router(device, stream, args));
  return run_moe(device, stream, work, moe_path(device, work), args.workspace);
}

}  // namespace hadal::cuda
