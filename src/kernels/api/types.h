// The plain types that kernels and backends speak. They cross a C interface (kernels/api/backend.h): standard
// layout only, no C++ library type, no ownership, no exception.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace hadal {

/// A row-major matrix in device memory. `stride` is the distance between rows in elements (>= cols), so a
/// view of some columns of a wider buffer is a Mat. A null `data` means "absent" where an op says that it is
/// optional.
struct Mat {
  void* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;
  DType dtype = DType::kF32;
};

/// Scratch memory of one op call, given by the caller (ops never allocate). Sized by Backend::workspace_bytes
/// for the same descriptor; 64-byte aligned.
struct Workspace {
  void* data = nullptr;
  size_t bytes = 0;
};

/// How a weight matrix [rows = out features, cols = in features] lies in the checkpoint.
enum class WeightFormat : uint8_t {
  kAbsent = 0,
  kDense,     // row-major [rows, cols] in F32, BF16 or F16
  kFp8Block,  // F8_E4M3 [rows, cols]; value * scale[row / block_rows][col / block_cols] (specs: multiply)
  kAwqGemm,   // AutoAWQ "gemm": qweight I32 [cols, rows/8], qzeros I32 [cols/group, rows/8], scales F16
              // [cols/group, rows]
};

/// One matrix as the checkpoint stores it: pointers into the mapped file (host memory), not owned. The
/// backend may read it in place for as long as the prepared handle lives, or pack a copy.
struct WeightRef {
  WeightFormat format = WeightFormat::kAbsent;
  DType dtype = DType::kF32;        // of `data` (kDense, kFp8Block)
  int64_t rows = 0;                 // out features
  int64_t cols = 0;                 // in features
  const void* data = nullptr;       // dense / fp8 values / awq qweight
  const void* scales = nullptr;     // fp8: [ceil(rows/block_rows), ceil(cols/block_cols)]; awq: F16
  DType scale_dtype = DType::kF32;  // fp8: F32 or F8_E8M0; awq: F16
  int32_t block_rows = 0;           // fp8
  int32_t block_cols = 0;           // fp8
  const void* zeros = nullptr;      // awq qzeros
  int32_t group = 0;                // awq
  const void* bias = nullptr;       // [rows] or null
  DType bias_dtype = DType::kF32;
  /// Not 0: there is no checkpoint (`data`, `scales`, `zeros` and `bias` are null) and the backend makes the
  /// values up on the device: about N(0, 0.02), the same for the same seed. Only backends whose memory is not
  /// the host's take it.
  uint64_t dummy_seed = 0;
};

/// What a group of matrices is for; a backend packs a group as its kernels want it.
enum class GroupKind : uint8_t {
  kLinear = 0,   // members[0]
  kMla = 1,      // members indexed by MlaMember
  kMlp = 2,      // members indexed by MlpMember (a dense or shared-expert MLP)
  kExperts = 3,  // 3 members an expert, [expert * 3 + MlpMember]
  kGqa = 4,      // members indexed by GqaMember
};
enum MlaMember : int32_t {
  kMlaQ = 0,
  kMlaQA = 1,
  kMlaQB = 2,
  kMlaKvA = 3,
  kMlaKvB = 4,
  kMlaO = 5,
  kMlaMembers = 6
};
enum MlpMember : int32_t { kMlpGate = 0, kMlpUp = 1, kMlpDown = 2, kMlpMembers = 3 };
enum GqaMember : int32_t { kGqaQ = 0, kGqaK = 1, kGqaV = 2, kGqaO = 3, kGqaMembers = 4 };

/// Shape facts that MLA kernels need besides the matrices.
struct MlaShape {
  int32_t heads = 0;
  int32_t nope = 0;     // qk_nope_head_dim
  int32_t rope = 0;     // qk_rope_head_dim
  int32_t v = 0;        // v_head_dim
  int32_t kv_lora = 0;  // kv_lora_rank
};

struct WeightGroup {
  GroupKind kind = GroupKind::kLinear;
  const WeightRef* members = nullptr;
  int32_t count = 0;
  MlaShape mla;                 // kMla only
  DType compute = DType::kF32;  // kF32 or kBF16: dtype of the activations that will meet these weights
};

/// What Backend::prepare returns. Opaque; owned by the backend until `discard`.
struct PreparedGroup;

/// One matrix of a prepared group.
struct PreparedRef {
  const PreparedGroup* group = nullptr;
  int32_t member = 0;
};

/// Prompt tokens attend in one form (MLA: expanded), generated tokens in the other (absorbed), whoever
/// computes them and whenever; see docs/contracts/same-tokens.md.
enum class TokenForm : uint8_t { kPrompt = 0, kOutput = 1 };

/// Keys are visited in tiles that start at multiples of this absolute position, in rising order, so that a
/// reduction does not depend on how a prompt was cut into chunks.
inline constexpr int32_t kAttentionTile = 64;

/// One layer's part of one cache group. Token record:
///   MLA: kv_lora values of the normalised latent in `dtype`, then rope values of the rotated key in
///   `rope_dtype`. GQA: kv_heads * head_dim keys, then kv_heads * head_dim values, in `dtype`.
/// Record of slot s (= block * block_tokens + offset) begins at base + block * block_stride + offset *
/// token_bytes. An fp8 `dtype` stores x / scale and reads stored * scale.
struct CacheLayer {
  void* base = nullptr;
  int64_t block_stride = 0;  // bytes
  int64_t token_bytes = 0;
  int32_t block_tokens = 0;
  DType dtype = DType::kF32;
  DType rope_dtype = DType::kF32;
  float k_scale = 1.0f;
  float v_scale = 1.0f;
};

/// Batch metadata of one step: arrays in device memory whose addresses never change over a runner's life, so
/// that a step can be captured into a graph and replayed. Filled by the runner.
///
/// A *segment* is a run of consecutive tokens of one sequence in one form. Rows of a segment are adjacent.
/// Output segments come first. A sequence that recomputes prompt and output in one step has two segments.
/// Padding rows (num_tokens up to the bucket) have position 0 and slots in the null block 0, belong to no
/// segment.
///
/// A step that is captured into a graph is replayed with other values in the arrays: then the numbers here
/// are the bucket's (num_tokens = num_segments = num_output_segments, max_query_len 1, max_context the
/// largest there can be), segments behind the real ones have context_len 0 (a kernel reads nothing for them,
/// and what it leaves in their rows is unspecified, but finite), `live_tokens` says how many rows are real,
/// and the host mirrors are null.
struct BatchMeta {
  int32_t num_tokens = 0;
  int32_t num_segments = 0;
  int32_t num_output_segments = 0;
  int32_t max_query_len = 0;             // longest segment
  int32_t max_context = 0;               // largest context_len
  const int32_t* token_ids = nullptr;    // [num_tokens]
  const int32_t* positions = nullptr;    // [num_tokens]
  const int32_t* query_start = nullptr;  // [num_segments + 1] first row of each segment
  const int32_t* context_len = nullptr;  // [num_segments] position of the segment's last token + 1
  const uint8_t* form = nullptr;         // [num_segments] TokenForm
  const int32_t* live_tokens = nullptr;  // [1] rows that are no padding; null: all
  const int32_t* host_query_start =
      nullptr;  // the same as query_start and context_len in host memory, for kernels that
  const int32_t* host_context_len = nullptr;  // size their work by them; null while a graph is captured
};

/// Rows that are no padding, where `live` lies in memory that the caller can read.
inline int64_t live_count(const int32_t* live, int64_t rows) {
  return live == nullptr || *live > rows ? rows : *live;
}

/// The same for one cache group. Blocks of a window group that lie wholly before the window may be 0 (null).
struct GroupMeta {
  const int32_t* slots = nullptr;        // [num_tokens] where each token's record goes
  const int32_t* block_table = nullptr;  // [num_segments][table_stride]
  int32_t table_stride = 0;
};

}  // namespace hadal
