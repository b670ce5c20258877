// The ops by name, in the order of OpKind: for errors, reports and tests.
#pragma once

#include <cstddef>
#include <iterator>
#include <string_view>

#include "kernels/api/ops.h"

namespace hadal {

inline constexpr std::string_view kOpNames[] = {
    "embed",         "rms_norm",        "linear",        "rope",         "silu_mul",
    "add",           "convert",         "gather",        "write_kv_mla", "write_kv_gqa",
    "mla_attention", "gqa_attention",   "route_experts", "moe_experts",  "sample",
    "copy_blocks",   "take_tokens",     "mla_prologue",  "gqa_prologue", "moe_block",
    "mlp",           "all_reduce_norm",
};
static_assert(std::size(kOpNames) == static_cast<size_t>(OpKind::kCount));

constexpr std::string_view op_name(OpKind kind) {
  const auto index = static_cast<size_t>(kind);
  return index < std::size(kOpNames) ? kOpNames[index] : "unknown op";
}

/// Composites: what a backend may leave to device/lowering.cc.
constexpr bool is_composite(OpKind kind) { return kind >= OpKind::kMlaPrologue && kind < OpKind::kCount; }

}  // namespace hadal
