// Sampling (SampleArgs in kernels/api/ops.h says the order of steps; kernels/api/philox.h the random
// numbers).
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

#include "kernels/api/philox.h"
#include "kernels/ref/elements.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/scratch.h"

namespace hadal::ref {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();
constexpr int32_t kNoToken = -1;

struct SampleScratch {
  float* logits;    // [vocab] after bias, penalties and mask
  double* weights;  // [vocab] exp((logit - largest) / temperature), by candidate rank
  int32_t* order;   // [vocab] candidates, falling
  int32_t* counts;  // [vocab] occurrences in the output
  uint8_t* seen;    // [vocab] in prompt or output
  uint64_t bytes;
};

SampleScratch cut(const SampleArgs& args, Scratch scratch) {
  const int64_t vocab = args.logits.cols;
  SampleScratch cuts{};
  cuts.logits = scratch.take<float>(vocab);
  cuts.weights = scratch.take<double>(vocab);
  cuts.order = scratch.take<int32_t>(vocab);
  cuts.counts = scratch.take<int32_t>(vocab);
  cuts.seen = scratch.take<uint8_t>(vocab);
  cuts.bytes = scratch.bytes();
  return cuts;
}

Status check_ids(const char* what, const int32_t* ids, int32_t count, int64_t vocab) {
  for (int32_t i = 0; i < count; ++i) {
    if (ids[i] < 0 || ids[i] >= vocab) return invalid_argument("sample: {} id {} of {}", what, ids[i], vocab);
  }
  return OkStatus();
}

void penalise(const SampleRow& row, int64_t vocab, const SampleScratch& scratch) {
  std::fill_n(scratch.counts, vocab, 0);
  std::fill_n(scratch.seen, vocab, uint8_t{0});
  for (int32_t i = 0; i < row.prompt_count; ++i) scratch.seen[row.prompt_ids[i]] = 1;
  for (int32_t i = 0; i < row.output_count; ++i) {
    scratch.seen[row.output_ids[i]] = 1;
    ++scratch.counts[row.output_ids[i]];
  }
  if (row.pending_output != nullptr && *row.pending_output >= 0) {
    scratch.seen[*row.pending_output] = 1;
    ++scratch.counts[*row.pending_output];
  }
  for (int64_t v = 0; v < vocab; ++v) {
    float& logit = scratch.logits[v];
    if (scratch.seen[v] != 0)
      logit = logit > 0 ? logit / row.repetition_penalty : logit * row.repetition_penalty;
    if (scratch.counts[v] == 0) continue;
    logit -= row.frequency_penalty * static_cast<float>(scratch.counts[v]);
    logit -= row.presence_penalty;
  }
}

/// Bias, penalties, mask.
void adjust(const SampleRow& row, int64_t vocab, const SampleScratch& scratch) {
  for (int32_t i = 0; i < row.bias_count; ++i) scratch.logits[row.bias_ids[i]] += row.bias_values[i];
  penalise(row, vocab, scratch);
  if (row.allowed_mask == nullptr) return;
  for (int64_t v = 0; v < vocab; ++v) {
    if ((row.allowed_mask[v / 32] >> (v % 32) & 1u) == 0) scratch.logits[v] = kMasked;
  }
}

/// Candidates in falling order, ties by id.
void sort_candidates(const float* logits, int64_t vocab, int32_t* order) {
  for (int64_t v = 0; v < vocab; ++v) order[v] = static_cast<int32_t>(v);
  std::sort(order, order + vocab, [logits](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
}

/// How many of the leading candidates min_p, top_k and top_p leave; fills their weights.
int64_t kept_candidates(const SampleRow& row, int64_t vocab, const SampleScratch& scratch) {
  const float largest = scratch.logits[scratch.order[0]];
  const int64_t limit = row.top_k > 0 ? std::min<int64_t>(row.top_k, vocab) : vocab;
  double total = 0;
  int64_t kept = 0;
  for (; kept < limit; ++kept) {
    const float scaled = (scratch.logits[scratch.order[kept]] - largest) / row.temperature;
    const double weight = std::exp(double{scaled});
    if (weight == 0 || weight < double{row.min_p}) break;
    scratch.weights[kept] = weight;
    total += weight;
  }
  if (row.top_p >= 1.0f) return kept;
  double before = 0;
  for (int64_t i = 0; i < kept; ++i) {
    if (i > 0 && before >= double{row.top_p} * total) return i;
    before += scratch.weights[i];
  }
  return kept;
}

int32_t draw(const SampleRow& row, int64_t kept, const SampleScratch& scratch) {
  double total = 0;
  for (int64_t i = 0; i < kept; ++i) total += scratch.weights[i];
  const double target = sampling_uniform(row.seed, row.choice, row.position) * total;
  double cumulative = 0;
  for (int64_t i = 0; i < kept; ++i) {
    cumulative += scratch.weights[i];
    if (cumulative > target) return scratch.order[i];
  }
  return scratch.order[kept - 1];
}

/// Raw logits of a row; false if one is NaN.
bool load_logits(const SampleArgs& args, int64_t row, float* out) {
  bool clean = true;
  for (int64_t v = 0; v < args.logits.cols; ++v) {
    out[v] = std::min(get(args.logits, row, v), FLT_MAX);
    clean = clean && !std::isnan(get(args.logits, row, v));
  }
  return clean;
}

int32_t choose(const SampleRow& row, int64_t vocab, const SampleScratch& scratch) {
  adjust(row, vocab, scratch);
  const int64_t best =
      std::max_element(scratch.logits, scratch.logits + vocab) - scratch.logits;  // the first
  if (!(scratch.logits[best] > kMasked)) return kNoToken;
  if (row.temperature == 0) return static_cast<int32_t>(best);
  sort_candidates(scratch.logits, vocab, scratch.order);
  return draw(row, kept_candidates(row, vocab, scratch), scratch);
}

/// Log-probabilities of the raw logits: of the drawn token, and of the most likely ones.
void report(const SampleArgs& args, int64_t r, const SampleScratch& scratch) {
  const int64_t vocab = args.logits.cols;
  const int32_t token = args.tokens[r];
  load_logits(args, r, scratch.logits);
  sort_candidates(scratch.logits, vocab, scratch.order);
  const double largest = scratch.logits[scratch.order[0]];
  double sum = 0;
  for (int64_t v = 0; v < vocab; ++v) sum += std::exp(scratch.logits[v] - largest);
  const double normaliser = largest + std::log(sum);
  args.token_logprobs[r] = static_cast<float>(scratch.logits[token] - normaliser);
  const int32_t* place = std::find(scratch.order, scratch.order + vocab, token);
  args.token_ranks[r] = static_cast<int32_t>(place - scratch.order) + 1;
  const int64_t count = std::min<int64_t>(args.rows[r].top_logprobs, vocab);
  for (int64_t i = 0; i < count; ++i) {
    args.top_ids[r * args.top_stride + i] = scratch.order[i];
    args.top_logprobs[r * args.top_stride + i] =
        static_cast<float>(scratch.logits[scratch.order[i]] - normaliser);
  }
}

Status check_row(const SampleArgs& args, const SampleRow& row) {
  const int64_t vocab = args.logits.cols;
  RETURN_IF_ERROR(check_ids("prompt", row.prompt_ids, row.prompt_count, vocab));
  RETURN_IF_ERROR(check_ids("output", row.output_ids, row.output_count, vocab));
  RETURN_IF_ERROR(check_ids("bias", row.bias_ids, row.bias_count, vocab));
  if (row.top_logprobs > args.top_stride) {
    return invalid_argument("sample: {} logprobs in rows of {}", row.top_logprobs, args.top_stride);
  }
  return OkStatus();
}

}  // namespace

uint64_t sample_workspace(const SampleArgs& args) { return cut(args, Scratch()).bytes; }

Status sample(const SampleArgs& args) {
  if (args.logits.dtype != DType::kF32) return invalid_argument("sample: logits must be F32");
  const SampleScratch scratch = cut(args, Scratch(args.workspace));
  for (int64_t r = 0; r < args.logits.rows; ++r) {
    const SampleRow& row = args.rows[r];
    RETURN_IF_ERROR(check_row(args, row));
    args.tokens[r] = load_logits(args, r, scratch.logits) ? choose(row, args.logits.cols, scratch) : kNoToken;
    if (args.tokens[r] != kNoToken && row.top_logprobs >= 0) report(args, r, scratch);
  }
  return OkStatus();
}

}  // namespace hadal::ref
