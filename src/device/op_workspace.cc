#include "device/op_workspace.h"

namespace hadal {
namespace {

template <typename Args>
Workspace* workspace_in(void* args) {
  return &static_cast<Args*>(args)->workspace;
}

}  // namespace

Workspace* op_workspace(OpKind kind, void* args) {
  switch (kind) {
    case OpKind::kLinear:
      return workspace_in<LinearArgs>(args);
    case OpKind::kMlaAttention:
      return workspace_in<MlaAttentionArgs>(args);
    case OpKind::kGqaAttention:
      return workspace_in<GqaAttentionArgs>(args);
    case OpKind::kMoeExperts:
      return workspace_in<MoeExpertsArgs>(args);
    case OpKind::kSample:
      return workspace_in<SampleArgs>(args);
    case OpKind::kMlaPrologue:
      return workspace_in<MlaPrologueArgs>(args);
    case OpKind::kGqaPrologue:
      return workspace_in<GqaPrologueArgs>(args);
    case OpKind::kMoeBlock:
      return workspace_in<MoeBlockArgs>(args);
    case OpKind::kMlp:
      return workspace_in<MlpArgs>(args);
    case OpKind::kAllReduceNorm:
      return workspace_in<AllReduceNormArgs>(args);
    case OpKind::kEmbed:
    case OpKind::kRmsNorm:
    case OpKind::kRope:
    case OpKind::kSiluMul:
    case OpKind::kAdd:
    case OpKind::kConvert:
    case OpKind::kGather:
    case OpKind::kWriteKvMla:
    case OpKind::kWriteKvGqa:
    case OpKind::kRouteExperts:
    case OpKind::kCopyBlocks:
    case OpKind::kTakeTokens:
    case OpKind::kCount:
      return nullptr;
  }
  return nullptr;
}

}  // namespace hadal
