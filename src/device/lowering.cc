#include "device/lowering.h"

#include <algorithm>

namespace hadal {
namespace {

/// Columns [first, first + count) of `mat`.
Mat columns(const Mat& mat, int64_t first, int64_t count) {
  Mat part = mat;
  if (part.data != nullptr) part.data = static_cast<char*>(part.data) + first * bytes_of(mat.dtype);
  part.cols = count;
  return part;
}

Status linear(Device& device, BackendStream* stream, const Mat& x, PreparedRef weight, const Mat& out,
              int32_t accumulate = 0) {
  return device.run(stream, OpKind::kLinear,
                    LinearArgs{.x = x, .weight = weight, .out = out, .accumulate = accumulate});
}

/// q (unrotated): q_b norm(q_a x), or q_proj x where there is no query compression.
Status project_query(Device& device, BackendStream* stream, const MlaPrologueArgs& args) {
  if (args.q_lora == 0) return linear(device, stream, args.x, {args.mla, kMlaQ}, args.q);
  RETURN_IF_ERROR(linear(device, stream, args.x, {args.mla, kMlaQA}, args.q_latent));
  RETURN_IF_ERROR(device.run(stream, OpKind::kRmsNorm,
                             RmsNormArgs{.x = args.q_latent,
                                         .residual = {},
                                         .weight = args.q_a_norm,
                                         .weight_dtype = args.norm_dtype,
                                         .eps = args.norm_eps,
                                         .out = args.q_normed}));
  return linear(device, stream, args.q_normed, {args.mla, kMlaQB}, args.q);
}

Status rotate(Device& device, BackendStream* stream, const MlaPrologueArgs& args, const Mat& x, int32_t heads,
              int32_t head_stride, int32_t offset) {
  return device.run(stream, OpKind::kRope,
                    RopeArgs{.x = x,
                             .heads = heads,
                             .head_stride = head_stride,
                             .offset = offset,
                             .dim = args.shape.rope,
                             .layout = args.rope_layout,
                             .positions = args.positions,
                             .table = args.rope_table});
}

}  // namespace

Status lower_mla_prologue(Device& device, BackendStream* stream, const MlaPrologueArgs& args) {
  const MlaShape& shape = args.shape;
  RETURN_IF_ERROR(project_query(device, stream, args));
  RETURN_IF_ERROR(rotate(device, stream, args, args.q, shape.heads, shape.nope + shape.rope, shape.nope));

  RETURN_IF_ERROR(linear(device, stream, args.x, {args.mla, kMlaKvA}, args.kv));
  const Mat latent = columns(args.kv, 0, shape.kv_lora);
  const Mat k_rope = columns(args.kv, shape.kv_lora, shape.rope);
  RETURN_IF_ERROR(device.run(stream, OpKind::kRmsNorm,
                             RmsNormArgs{.x = latent,
                                         .residual = {},
                                         .weight = args.kv_a_norm,
                                         .weight_dtype = args.norm_dtype,
                                         .eps = args.norm_eps,
                                         .out = latent}));
  RETURN_IF_ERROR(rotate(device, stream, args, k_rope, 1, shape.rope, 0));
  return device.run(
      stream, OpKind::kWriteKvMla,
      WriteKvMlaArgs{.latent = latent, .k_rope = k_rope, .cache = args.cache, .slots = args.slots});
}

Status lower_gqa_prologue(Device& device, BackendStream* stream, const GqaPrologueArgs& args) {
  RETURN_IF_ERROR(linear(device, stream, args.x, {args.gqa, kGqaQ}, args.q));
  RETURN_IF_ERROR(linear(device, stream, args.x, {args.gqa, kGqaK}, args.k));
  RETURN_IF_ERROR(linear(device, stream, args.x, {args.gqa, kGqaV}, args.v));
  RopeArgs rope{.x = args.q,
                .heads = args.heads,
                .head_stride = args.head_dim,
                .offset = 0,
                .dim = args.head_dim,
                .layout = args.rope_layout,
                .positions = args.positions,
                .table = args.rope_table};
  RETURN_IF_ERROR(device.run(stream, OpKind::kRope, rope));
  rope.x = args.k;
  rope.heads = args.kv_heads;
  RETURN_IF_ERROR(device.run(stream, OpKind::kRope, rope));
  return device.run(stream, OpKind::kWriteKvGqa,
                    WriteKvGqaArgs{.k = args.k, .v = args.v, .cache = args.cache, .slots = args.slots});
}

Status lower_mlp(Device& device, BackendStream* stream, const MlpArgs& args) {
  RETURN_IF_ERROR(linear(device, stream, args.x, {args.mlp, kMlpGate}, args.gate));
  RETURN_IF_ERROR(linear(device, stream, args.x, {args.mlp, kMlpUp}, args.up));
  RETURN_IF_ERROR(device.run(stream, OpKind::kSiluMul, SiluMulArgs{args.gate, args.up, args.hidden}));
  return linear(device, stream, args.hidden, {args.mlp, kMlpDown}, args.out, args.accumulate);
}

Status lower_moe_block(Device& device, BackendStream* stream, const MoeBlockArgs& args) {
  RETURN_IF_ERROR(linear(device, stream, args.x, args.gate, args.route.logits));
  RETURN_IF_ERROR(device.run(stream, OpKind::kRouteExperts, args.route));
  MoeExpertsArgs experts = args.experts;
  experts.x = args.x;
  experts.ids = args.route.ids;
  experts.weights = args.route.weights;
  experts.top_k = args.route.top_k;
  experts.out = args.out;
  experts.live_rows = args.route.live_rows;
  RETURN_IF_ERROR(device.run(stream, OpKind::kMoeExperts, experts));
  if (args.shared == nullptr) return OkStatus();
  return device.run(stream, OpKind::kMlp,
                    MlpArgs{.x = args.x,
                            .mlp = args.shared,
                            .gate = args.shared_gate,
                            .up = args.shared_up,
                            .hidden = args.shared_hidden,
                            .out = args.out,
                            .accumulate = 1});
}

Status lower_all_reduce_norm(Device& device, BackendStream* stream, const AllReduceNormArgs& args) {
  if (args.communicator != nullptr) {
    return unimplemented("{}: all_reduce_norm over several ranks needs the backend's own kernel",
                         device.backend_name());
  }
  return device.run(stream, OpKind::kRmsNorm, args.norm);
}

}  // namespace hadal
