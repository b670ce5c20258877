#include "kernels/cuda/route.h"

#include "kernels/cuda/kernels/route.h"
#include "kernels/cuda/ops.h"

namespace hadal::cuda {

Status check_route(const RouteExpertsArgs& args) {
  const int64_t experts = args.logits.cols;
  if (args.logits.dtype != DType::kF32) return invalid_argument("route_experts: logits must be F32");
  if (experts > kMaxRoutedExperts)
    return unimplemented("route_experts: {} experts, at most {}", experts, kMaxRoutedExperts);
  if (args.top_k <= 0 || args.top_k > experts)
    return invalid_argument("route_experts: top_k {} of {} experts", args.top_k, experts);
  if (args.method == TopkMethod::kGreedy) return OkStatus();
  if (args.n_group <= 0 || experts % args.n_group != 0 || args.topk_group <= 0 ||
      args.topk_group > args.n_group || args.topk_group * (experts / args.n_group) < args.top_k) {
    return invalid_argument("route_experts: top {} of {} groups of {} experts, top_k {}", args.topk_group,
                            args.n_group, experts, args.top_k);
  }
  return OkStatus();
}

Status route_experts(CudaDevice& device, cudaStream_t stream, const RouteExpertsArgs& args) {
  RETURN_IF_ERROR(check_route(args));
  if (args.logits.rows == 0) return OkStatus();
  device.note("cuda.route");
  return check(launch_route(stream, args), "launching route_experts");
}

}  // namespace hadal::cuda
