// What attention kernels take, as plain structs passed by value.
#pragma once

#include <cstdint>

#include "kernels/api/types.h"

namespace hadal::cuda {

/// The arrays of BatchMeta and GroupMeta that kernels read (device memory).
struct AttentionBatch {
  int32_t num_segments = 0;
  int32_t num_output_segments = 0;
  const int32_t* query_start = nullptr;
  const int32_t* context_len = nullptr;
  const int32_t* block_table = nullptr;
  int32_t table_stride = 0;
};

inline AttentionBatch attention_batch(const BatchMeta& batch, const GroupMeta& group) {
  return {batch.num_segments, batch.num_output_segments, batch.query_start,
          batch.context_len,  group.block_table,         group.table_stride};
}

}  // namespace hadal::cuda
