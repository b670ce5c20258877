#include "device/op_table.h"

#include <cstddef>
#include <iterator>

namespace hadal {
namespace {

struct OpRow {
  OpKind kind;
  std::string_view name;
  Workspace* (*workspace)(void* args);
};

template <typename Args>
Workspace* workspace_in(void* args) {
  return &static_cast<Args*>(args)->workspace;
}

constexpr OpRow kRows[] = {
    {OpKind::kEmbed, "embed", nullptr},
    {OpKind::kRmsNorm, "rms_norm", nullptr},
    {OpKind::kLinear, "linear", workspace_in<LinearArgs>},
    {OpKind::kRope, "rope", nullptr},
    {OpKind::kSiluMul, "silu_mul", nullptr},
    {OpKind::kAdd, "add", nullptr},
    {OpKind::kConvert, "convert", nullptr},
    {OpKind::kGather, "gather", nullptr},
    {OpKind::kWriteKvMla, "write_kv_mla", nullptr},
    {OpKind::kWriteKvGqa, "write_kv_gqa", nullptr},
    {OpKind::kMlaAttention, "mla_attention", workspace_in<MlaAttentionArgs>},
    {OpKind::kGqaAttention, "gqa_attention", workspace_in<GqaAttentionArgs>},
    {OpKind::kRouteExperts, "route_experts", nullptr},
    {OpKind::kMoeExperts, "moe_experts", workspace_in<MoeExpertsArgs>},
    {OpKind::kSample, "sample", workspace_in<SampleArgs>},
    {OpKind::kCopyBlocks, "copy_blocks", nullptr},
    {OpKind::kMlaPrologue, "mla_prologue", workspace_in<MlaPrologueArgs>},
    {OpKind::kMoeBlock, "moe_block", workspace_in<MoeBlockArgs>},
    {OpKind::kMlp, "mlp", workspace_in<MlpArgs>},
    {OpKind::kAllReduceNorm, "all_reduce_norm", workspace_in<AllReduceNormArgs>},
};

constexpr bool rows_in_order() {
  for (size_t i = 0; i < std::size(kRows); ++i) {
    if (static_cast<size_t>(kRows[i].kind) != i) return false;
  }
  return std::size(kRows) == static_cast<size_t>(OpKind::kCount);
}
static_assert(rows_in_order());

}  // namespace

std::string_view op_name(OpKind kind) { return kRows[static_cast<size_t>(kind)].name; }

Workspace* op_workspace(OpKind kind, void* args) {
  const OpRow& row = kRows[static_cast<size_t>(kind)];
  return row.workspace == nullptr ? nullptr : row.workspace(args);
}

}  // namespace hadal
