// Attention over the paged cache: MLA in both forms and grouped-query attention. Private to kernels/cpu.
//
// What makes a row's result independent of batch, chunking and threads: keys are visited in tiles at absolute
// positions, in rising order; prompt rows carry one online softmax through all tiles; output rows carry one
// through each span of kSpan absolute positions, and spans are merged in rising order, by whichever thread
// computed them.
#pragma once

#include "kernels/cpu/cpu_device.h"

namespace hadal::cpu {

Status mla_attention(CpuDevice& device, const MlaAttentionArgs& args);
uint64_t mla_attention_workspace(const CpuDevice& device, const MlaAttentionArgs& args);

Status gqa_attention(CpuDevice& device, const GqaAttentionArgs& args);
uint64_t gqa_attention_workspace(const CpuDevice& device, const GqaAttentionArgs& args);

// ---- shared by the two ----

inline constexpr int64_t kTile = kAttentionTile;
inline constexpr int64_t kSpan = 256;          // positions that one partial result of an output row covers
inline constexpr int64_t kQueryBlock = 48;     // prompt rows that share a pass over a tile
inline constexpr int64_t kSegmentBlock = 768;  // prompt rows that share the loading of a tile

struct Segment {
  int32_t index;
  int64_t first_row;
  int64_t rows;
  int64_t first_position;
  int64_t context;
};
Segment segment_of(const BatchMeta& batch, int32_t index);

/// Where the keys and values of a tile lie: in the cache itself, block by block, where the kernels read its
/// dtype, else widened in scratch. Values come out the same either way.
struct KeyRun {
  const char* keys;
  const char* values;
  int64_t first;  // position in the tile
  int64_t count;
};
struct KeyTile {
  int32_t elem;
  int64_t ldk;  // elements between positions
  int64_t ldv;
  int32_t runs;
  KeyRun run[kTile];
};

/// Reads a segment's records.
struct CacheReader {
  const CacheLayer* cache;
  const int32_t* blocks;  // the segment's block table

  const char* record(int64_t position) const {
    const int64_t block = blocks[position / cache->block_tokens];
    return static_cast<const char*>(cache->base) + block * cache->block_stride +
           position % cache->block_tokens * cache->token_bytes;
  }
  /// Positions from .. to of the tile at `tile`, in place: keys and values at these bytes of a record.
  void in_place(int64_t tile, int64_t from, int64_t to, int64_t key_bytes, int64_t value_bytes,
                KeyTile* out) const;
};
CacheReader reader_of(const CacheLayer& cache, const GroupMeta& group, int32_t segment);
bool is_fp8(DType dtype);
/// Can the kernels read this cache's values where they lie?
bool readable_in_place(const CacheLayer& cache);

/// scores[i][t] = query i . key t.
void tile_scores(const IsaKernels& kernels, const void* queries, DType q_dtype, int64_t ldq, int64_t rows,
                 const KeyTile& tile, int64_t dk, float* scores);
/// sums[i] = sums[i] * carry[i] + sum over t of scores[i][t] * value t. rows <= kQueryBlock.
void tile_values(const IsaKernels& kernels, const float* scores, int64_t rows, const KeyTile& tile,
                 int64_t dv, const float* carry, float* sums);

/// Prompt rows against one tile: scores, online softmax, weighted values. Row i of `queries` is at position
/// first_position + i.
struct PromptTile {
  const void* queries;  // row i at i * ldq elements
  DType q_dtype;
  int64_t ldq;
  int64_t rows;
  int64_t first_position;
  int64_t tile;   // position of its first key
  int64_t count;  // keys in it
  int64_t window;
  float scale;
  const KeyTile* keys;
  int64_t dk;
  int64_t dv;
  float* accumulated;  // [rows][dv]
  float* maximum;      // [rows]
  float* sum;          // [rows]
  float* scores;       // scratch [kQueryBlock][kTile]
};
void attend_prompt_tile(const IsaKernels& kernels, const PromptTile& tile);

/// rows of accumulated / sum, rounded to `out` at (row, col).
void put_rows(const IsaKernels& kernels, float* accumulated, const float* sum, int64_t rows, int64_t width,
              const Mat& out, int64_t row, int64_t col);

}  // namespace hadal::cpu
