// The operations that models are written in: one plain descriptor each. A backend implements an op as a
// function of its descriptor. An op neither allocates nor locks nor logs; all memory is the caller's.
//
// Numerics (every backend, checked against kernels/ref):
//  - Sums run in float32 or better, in an order that depends on the inner length alone: not on the other rows
//  of the
//    batch, not on the number of threads. So a row's result is the same bit for bit whatever it is batched
//    with (one backend, one ISA). A GPU keeps that with BackendOptions::batch_invariant; without it the order
//    may follow the batch (docs/contracts/same-tokens.md).
//  - A linear with float32 activations multiplies exact weight values (quantised ones decoded to float32).
//  With
//    bfloat16 activations, dense weights keep their exact values and quantised ones are decoded and rounded
//    to bfloat16. Accumulation is float32 or better. An output in bfloat16 is rounded once, to nearest even.
//    Attention decodes kv_b for the compute dtype of its group.
//  - Softmax, routing, norms and rotary embedding are float32 or better throughout.
#pragma once

#include "kernels/api/types.h"

namespace hadal {

enum class OpKind : int32_t {
  kEmbed = 0,
  kRmsNorm,
  kLinear,
  kRope,
  kSiluMul,
  kAdd,
  kConvert,
  kGather,
  kWriteKvMla,
  kWriteKvGqa,
  kMlaAttention,
  kGqaAttention,
  kRouteExperts,
  kMoeExperts,
  kSample,
  kCopyBlocks,
  kTakeTokens,
  // composites: a backend may leave them out, device/lowering.cc then runs the small ops
  kMlaPrologue,
  kGqaPrologue,
  kMoeBlock,
  kMlp,
  kAllReduceNorm,
  kCount
};

/// out[r, :] = table[ids[r], :]. Ids are in range (the engine checks them); table is dense [vocab, hidden].
struct EmbedArgs {
  Mat table;
  const int32_t* ids;
  Mat out;
};

/// If residual.data: residual += x (in float32, stored in residual's dtype), v = residual; else v = x.
/// out = weight * (v * rsqrt(mean(v^2) + eps)), all in float32, rounded to out.dtype at the end.
/// `x` may be absent (data null) when residual is given: v = residual. `out` may alias `x`.
struct RmsNormArgs {
  Mat x;
  Mat residual;
  const void* weight;  // [cols]
  DType weight_dtype;
  float eps;
  Mat out;
};

/// out[r, n] = sum_k x[r, k] * W[n, k] (+ bias[n]). x: F32 or BF16; out: F32 or BF16. With `accumulate` out
/// += (F32).
struct LinearArgs {
  Workspace workspace;
  Mat x;
  PreparedRef weight;
  Mat out;
  int32_t accumulate;
};

enum class RopeLayout : uint8_t {
  kInterleaved = 0,  // pairs (2i, 2i+1): MLA
  kHalfSplit = 1,    // pairs (i, i + dim/2): Llama, Qwen2
};

/// In place, for each row r and head h: the `dim` values at x[r, h * head_stride + offset ...].
/// (a, b) -> (a cos - b sin, b cos + a sin); cos, sin = table[pos][i], table[pos][dim/2 + i], i in [0,
/// dim/2).
struct RopeArgs {
  Mat x;  // F32
  int32_t heads;
  int32_t head_stride;
  int32_t offset;
  int32_t dim;
  RopeLayout layout;
  const int32_t* positions;  // [rows]
  const float* table;        // [max positions][dim]: dim/2 cosines, then dim/2 sines
};

/// out = silu(gate) * up, in float32, rounded to out.dtype. silu(v) = v / (1 + exp(-v)).
struct SiluMulArgs {
  Mat gate;
  Mat up;
  Mat out;
};

/// out = a + b (float32 arithmetic). out may alias a.
struct AddArgs {
  Mat a;
  Mat b;
  Mat out;
};

/// out = x in another dtype (to nearest even).
struct ConvertArgs {
  Mat x;
  Mat out;
};

/// out[i, :] = x[rows[i], :]
struct GatherArgs {
  Mat x;
  const int32_t* rows;
  int64_t count;
  Mat out;
};

/// Writes one record a token. Rows whose slot lies in block 0 are padding; what they write is never read.
struct WriteKvMlaArgs {
  Mat latent;  // [tokens, kv_lora], normalised
  Mat k_rope;  // [tokens, rope], rotated
  CacheLayer cache;
  const int32_t* slots;
};
struct WriteKvGqaArgs {
  Mat k;  // [tokens, kv_heads * head_dim], rotated
  Mat v;
  CacheLayer cache;
  const int32_t* slots;
};

/// MLA over the paged latent cache (specs/deepseek.md 2.2; docs/contracts/attention.md). Keys and values come
/// back from the cache in the cache's dtype, those of this step's tokens too (write first). Prompt segments
/// run expanded: K and V of a tile are kv_b times the cached latents, in float32. Output segments run
/// absorbed. Online softmax over tiles of kAttentionTile absolute positions in rising order. Causal.
struct MlaAttentionArgs {
  Workspace workspace;
  Mat q;  // [tokens, heads * (nope + rope)], rope part rotated; F32 or BF16
  PreparedRef kv_b;
  MlaShape shape;
  CacheLayer cache;
  const BatchMeta* batch;
  const GroupMeta* group;
  float scale;
  Mat out;  // [tokens, heads * v]
};

/// Grouped-query attention: query head h reads KV head h / (heads / kv_heads). window > 0: keys with
/// 0 <= i - j < window only.
struct GqaAttentionArgs {
  Workspace workspace;
  Mat q;  // [tokens, heads * head_dim], rotated; F32 or BF16
  int32_t heads;
  int32_t kv_heads;
  int32_t head_dim;
  int32_t window;
  CacheLayer cache;
  const BatchMeta* batch;
  const GroupMeta* group;
  float scale;
  Mat out;  // [tokens, heads * head_dim]
};

enum class ScoringFunc : uint8_t { kSoftmax = 0, kSigmoid = 1 };
enum class TopkMethod : uint8_t { kGreedy = 0, kGroupLimitedGreedy = 1, kNoauxTc = 2 };

/// specs/deepseek.md 2.5. Masked experts are -inf. Ties go to the lower expert id. Ids of a row are in
/// falling order of the choice score. weights: float32. With norm_topk_prob the softmax gate (V2) normalises
/// only if top_k > 1 and then does not scale; the sigmoid gate (V3) normalises always and scales always. Ties
/// between groups: the lower group.
struct RouteExpertsArgs {
  Mat logits;         // [tokens, experts] F32
  const float* bias;  // [experts] or null
  ScoringFunc scoring;
  TopkMethod method;
  int32_t top_k;
  int32_t n_group;
  int32_t topk_group;
  int32_t norm_topk_prob;
  float routed_scaling_factor;
  int32_t* ids;    // [tokens, top_k]
  float* weights;  // [tokens, top_k]
  const int32_t*
      live_rows;  // [1] rows behind it are padding, their ids and weights unspecified; null: none are
  /// [experts], or null: how often each expert was chosen by rows that are no padding, added to (wraps
  /// around).
  uint32_t* expert_load;
};

/// out[r] = sum over j of weights[r, j] * down(silu(gate x) * up x) of expert ids[r, j], summed in the order
/// j = 0, 1, ... in float32. The hidden product is rounded to x.dtype before `down`.
struct MoeExpertsArgs {
  Workspace workspace;
  Mat x;
  const PreparedGroup* experts;  // GroupKind::kExperts
  int32_t num_experts;
  int32_t intermediate;
  const int32_t* ids;
  const float* weights;
  int32_t top_k;
  Mat out;  // F32
  const int32_t*
      live_rows;  // [1] rows behind it are padding: no expert is read for them, their out is unspecified
};

/// One row to sample. Order as vLLM: bias, penalties, mask, temperature, min_p, top_k, top_p, draw.
/// temperature 0 is greedy (ties: the lower id). The draw is Philox4x32-10 with key `seed` and counter
/// (position, choice, 0, 0): its first word gives u in [0, 1) (kernels/api/philox.h); the token is the first
/// whose cumulative probability exceeds u, candidates in falling probability, ties by id. So the same (seed,
/// choice, position, logits) gives the same token anywhere. In detail, with float32 logits l and the
/// candidates sorted by (l falling, id rising):
///   penalties   an id in prompt or output: l > 0 ? l / repetition : l * repetition; an id n times in the
///   output:
///               l -= frequency * n, then l -= presence
///   weight      w = exp((l - largest l) / temperature), the quotient float32, exp and all sums double
///   min_p       keeps w >= min_p; top_k keeps the first k; top_p keeps a candidate while the sum of w before
///   it is below
///               top_p * (sum of what min_p and top_k kept); the first candidate always stays
///   draw        the first candidate whose running sum of w exceeds u * (sum of what is kept)
struct SampleRow {
  float temperature;
  float top_p;
  float min_p;
  int32_t top_k;  // <= 0: all
  uint64_t seed;
  uint32_t choice;
  uint32_t position;  // of the token being drawn, counted from the first output token
  float presence_penalty;
  float frequency_penalty;
  float repetition_penalty;   // 1: none
  const int32_t* prompt_ids;  // for repetition penalty; may be null
  int32_t prompt_count;
  const int32_t* output_ids;  // for all three; may be null
  int32_t output_count;
  const int32_t*
      pending_output;  // one more output token, drawn by the step before and still on the device; may be null
  const int32_t* bias_ids;  // logit_bias; may be null
  const float* bias_values;
  int32_t bias_count;
  const uint32_t* allowed_mask;  // bit per token id, or null: all (grammars, min_tokens)
  int32_t top_logprobs;          // how many alternatives to report; -1: no logprobs at all
};
/// Log-probabilities are log_softmax of the raw logits (before all of the above), as vLLM's default; ranks
/// and the top list order equal ones by id. A row whose logits hold a NaN, or whose mask leaves nothing,
/// gives token -1 and no logprobs: the caller fails that request and no other.
struct SampleArgs {
  Workspace workspace;
  Mat logits;  // [rows, vocab] F32; left unchanged
  const SampleRow* rows;
  int32_t* tokens;        // [rows]
  float* token_logprobs;  // [rows]
  int32_t* token_ranks;   // [rows] 1 = most likely
  int32_t* top_ids;       // [rows][top_stride]
  float* top_logprobs;    // [rows][top_stride]
  int32_t top_stride;
};

/// Copies whole blocks inside one layer of a group (copy-on-write): pairs (from, to).
struct CopyBlocksArgs {
  CacheLayer cache;
  const int32_t* pairs;
  int32_t count;
};

/// token_ids[i] = sampled[from[i]] where from[i] >= 0, and stays otherwise: the tokens of a step that were
/// drawn by the step before and have not been to the host. A drawn -1 (no token) becomes 0.
struct TakeTokensArgs {
  int32_t* token_ids;
  const int32_t* from;  // [rows]
  const int32_t* sampled;
  int64_t rows;
};

// ---- composites
// -----------------------------------------------------------------------------------------------------

/// x -> q (rotated), cache written. Lowering: q = q_b(norm(q_a x)) or q_proj x; kv = kv_a x; norm latent;
/// rope; write.
struct MlaPrologueArgs {
  Workspace workspace;
  Mat x;
  const PreparedGroup* mla;  // GroupKind::kMla
  MlaShape shape;
  int32_t q_lora;  // 0: no query compression
  const void* q_a_norm;
  const void* kv_a_norm;
  DType norm_dtype;
  float norm_eps;
  RopeLayout rope_layout;
  const int32_t* positions;
  const float* rope_table;
  CacheLayer cache;
  const int32_t* slots;
  Mat q;         // out [tokens, heads * (nope + rope)] F32
  Mat q_latent;  // scratch [tokens, q_lora] F32, absent without query compression
  Mat q_normed;  // scratch [tokens, q_lora] in x.dtype
  Mat kv;        // scratch [tokens, kv_lora + rope] F32
};

/// x -> q (rotated), cache written. Lowering: q, k, v linears; rope of q and k; write.
struct GqaPrologueArgs {
  Workspace workspace;
  Mat x;
  const PreparedGroup* gqa;  // GroupKind::kGqa
  int32_t heads;
  int32_t kv_heads;
  int32_t head_dim;
  RopeLayout rope_layout;
  const int32_t* positions;
  const float* rope_table;
  CacheLayer cache;
  const int32_t* slots;
  Mat q;  // out [tokens, heads * head_dim] F32
  Mat k;  // scratch [tokens, kv_heads * head_dim] F32
  Mat v;  // scratch
};

/// out = routed experts + shared experts. Lowering: gate linear (float32 logits), route, moe_experts, shared
/// MLP, add.
struct MoeBlockArgs {
  Workspace workspace;
  Mat x;
  PreparedRef gate;
  RouteExpertsArgs route;       // logits, ids and weights are scratch given by the caller
  MoeExpertsArgs experts;       // x, ids, weights and out are taken from this descriptor
  const PreparedGroup* shared;  // GroupKind::kMlp, or null
  Mat shared_gate;              // scratch [tokens, width] F32
  Mat shared_up;
  Mat shared_hidden;  // [tokens, width] x.dtype
  Mat out;            // F32
};

/// out = down(silu(gate x) * up x); `accumulate`: added to out.
struct MlpArgs {
  Workspace workspace;
  Mat x;
  const PreparedGroup* mlp;  // GroupKind::kMlp
  Mat gate;                  // scratch [tokens, intermediate] F32
  Mat up;                    // scratch
  Mat hidden;                // scratch [tokens, intermediate] x.dtype
  Mat out;                   // F32
  int32_t accumulate;
};

/// norm.x summed over the ranks of `communicator` (null: one rank), then rms_norm.
struct AllReduceNormArgs {
  Workspace workspace;
  void* communicator;  // the backend's own (comm/); null with one rank
  RmsNormArgs norm;
};

}  // namespace hadal
