// Sampling: the order of steps is that of SampleArgs (kernels/api/ops.h), the random numbers
// kernels/api/philox.h.
#include "kernels/cpu/sample.h"

#include <cfloat>
#include <cmath>
#include <limits>

#include "kernels/api/philox.h"
#include "kernels/cpu/candidates.h"

namespace hadal::cpu {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();
constexpr int32_t kNoToken = -1;

struct Scratch {
  float* scores;    // [vocab] after bias, penalties and mask
  int32_t* order;   // [vocab]
  int32_t* counts;  // [vocab]
};

Scratch cut(Carver& carver, int64_t vocab) {
  return {carver.take<float>(vocab), carver.take<int32_t>(vocab), carver.take<int32_t>(vocab)};
}

Status check_ids(const char* what, const int32_t* ids, int32_t count, int64_t vocab) {
  for (int32_t i = 0; i < count; ++i) {
    if (ids[i] < 0 || ids[i] >= vocab) return invalid_argument("sample: {} id {} of {}", what, ids[i], vocab);
  }
  return OkStatus();
}

Status check_row(const SampleArgs& args, const SampleRow& row) {
  const int64_t vocab = args.logits.cols;
  RETURN_IF_ERROR(check_ids("prompt", row.prompt_ids, row.prompt_count, vocab));
  RETURN_IF_ERROR(check_ids("output", row.output_ids, row.output_count, vocab));
  if (row.pending_output != nullptr && *row.pending_output != kNoToken)
    RETURN_IF_ERROR(check_ids("pending output", row.pending_output, 1, vocab));
  RETURN_IF_ERROR(check_ids("bias", row.bias_ids, row.bias_count, vocab));
  if (row.top_logprobs <= args.top_stride) return OkStatus();
  return invalid_argument("sample: {} logprobs in rows of {}", row.top_logprobs, args.top_stride);
}

bool has_penalties(const SampleRow& row) {
  return row.repetition_penalty != 1.0f || row.frequency_penalty != 0.0f || row.presence_penalty != 0.0f;
}

constexpr int32_t kInPrompt = INT32_MIN;  // a count's mark

void penalise(const SampleRow& row, int64_t vocab, const Scratch& s) {
  std::fill_n(s.counts, vocab, 0);
  for (int32_t i = 0; i < row.output_count; ++i) ++s.counts[row.output_ids[i]];
  const int32_t pending = row.pending_output != nullptr ? *row.pending_output : kNoToken;
  if (pending >= 0) ++s.counts[pending];
  const auto repeat = [&](int32_t id) {
    float& score = s.scores[id];
    score = score > 0 ? score / row.repetition_penalty : score * row.repetition_penalty;
  };
  for (int32_t i = 0; i < row.prompt_count; ++i) {
    const int32_t id = row.prompt_ids[i];
    if (s.counts[id] != 0) continue;  // an output token, or a prompt token met before
    s.counts[id] = kInPrompt;
    repeat(id);
  }
  const auto penalise_output = [&](int32_t id) {
    if (s.counts[id] <= 0) return;  // done
    repeat(id);
    s.scores[id] -= row.frequency_penalty * static_cast<float>(s.counts[id]);
    s.scores[id] -= row.presence_penalty;
    s.counts[id] = 0;
  };
  for (int32_t i = 0; i < row.output_count; ++i) penalise_output(row.output_ids[i]);
  if (pending >= 0) penalise_output(pending);
}

/// Bias, penalties, mask.
void adjust(const SampleRow& row, int64_t vocab, const Scratch& s) {
  for (int32_t i = 0; i < row.bias_count; ++i) s.scores[row.bias_ids[i]] += row.bias_values[i];
  if (has_penalties(row)) penalise(row, vocab, s);
  if (row.allowed_mask == nullptr) return;
  for (int64_t v = 0; v < vocab; ++v) {
    if ((row.allowed_mask[v / 32] >> (v % 32) & 1u) == 0) s.scores[v] = kMasked;
  }
}

/// Weights relative to the most likely candidate.
class Weights {
 public:
  Weights(const SampleRow& row, float largest)
      : temperature_(row.temperature), largest_(largest), min_p_(row.min_p) {}
  double operator()(float score) const {
    return std::exp(static_cast<double>((score - largest_) / temperature_));
  }
  bool keeps(double weight) const { return weight > 0 && weight >= min_p_; }

 private:
  float temperature_;
  float largest_;
  double min_p_;
};

/// How many of the leading candidates are drawn from, and their weights' sum.
struct Nucleus {
  int64_t kept;
  double total;
};

Nucleus cut_nucleus(const CpuDevice& device, const SampleRow& row, int64_t vocab, float largest,
                    const Weights& weights, Candidates& candidates, const float* scores) {
  Nucleus nucleus{candidates.size(), 0};
  if (row.min_p > 0 || (row.top_k > 0 && row.top_k < nucleus.kept)) {
    if (row.top_k > 0) nucleus.kept = std::min<int64_t>(nucleus.kept, row.top_k);
    for (int64_t i = 0; i < nucleus.kept; ++i) {
      const double weight = weights(scores[candidates[i]]);
      if (!weights.keeps(weight))
        nucleus.kept = i;
      else
        nucleus.total += weight;
    }
  } else {
    nucleus.total = device.kernels.vector->sum_of_exp(scores, vocab, largest, row.temperature);
  }
  if (row.top_p >= 1.0f) return nucleus;
  const double enough = static_cast<double>(row.top_p) * nucleus.total;
  double before = 0;
  int64_t i = 0;
  for (; i < nucleus.kept && (i == 0 || before < enough); ++i) before += weights(scores[candidates[i]]);
  return {i, before};
}

int32_t draw(const CpuDevice& device, const SampleRow& row, int64_t vocab, float largest, const Scratch& s) {
  Candidates candidates(s.scores, vocab, largest, row.temperature, s.order);
  const Weights weights(row, largest);
  Nucleus nucleus = cut_nucleus(device, row, vocab, largest, weights, candidates, s.scores);
  const double u = sampling_uniform(row.seed, row.choice, row.position);
  for (;;) {
    double cumulative = 0;
    for (int64_t i = 0; i < nucleus.kept; ++i) {
      cumulative += weights(s.scores[candidates[i]]);
      if (cumulative > u * nucleus.total) return candidates[i];
    }
    if (nucleus.total == cumulative) return candidates[0];  // no weight at all: cannot be, the largest has 1
    // The total was summed in another order and came out a hair larger: this one is exact, and u < 1.
    nucleus.total = cumulative;
  }
}

bool is_adjusted(const SampleRow& row) {
  return row.bias_count > 0 || row.allowed_mask != nullptr ||
         (has_penalties(row) && (row.prompt_count + row.output_count > 0 || row.pending_output != nullptr));
}

int32_t choose(const CpuDevice& device, const SampleArgs& args, int64_t r, const Scratch& s) {
  const SampleRow& row = args.rows[r];
  const int64_t vocab = args.logits.cols;
  const float* logits = row_of<const float>(args.logits, r);
  float largest = 0;
  int64_t best = device.kernels.vector->argmax(logits, vocab, &largest);
  if (best < 0) return kNoToken;  // a NaN
  const bool adjusted = is_adjusted(row);
  if (adjusted || row.temperature != 0) {
    for (int64_t v = 0; v < vocab; ++v) s.scores[v] = std::min(logits[v], FLT_MAX);
  }
  if (adjusted) {
    adjust(row, vocab, s);
    best = device.kernels.vector->argmax(s.scores, vocab, &largest);
    if (best < 0) return kNoToken;
  }
  if (!(largest > kMasked)) return kNoToken;
  if (row.temperature == 0) return static_cast<int32_t>(best);
  return draw(device, row, vocab, largest, s);
}

/// Log-probabilities of the raw logits.
void report(const CpuDevice& device, const SampleArgs& args, int64_t r, const Scratch& s) {
  const int64_t vocab = args.logits.cols;
  const float* logits = row_of<const float>(args.logits, r);
  float largest = 0;
  device.kernels.vector->argmax(logits, vocab, &largest);
  for (int64_t v = 0; v < vocab; ++v) s.scores[v] = std::min(logits[v], FLT_MAX);
  const double sum = device.kernels.vector->sum_of_exp(s.scores, vocab, largest, 1.0f);
  const double normaliser = static_cast<double>(largest) + std::log(sum);
  const int32_t token = args.tokens[r];
  const float score = s.scores[token];
  args.token_logprobs[r] = static_cast<float>(static_cast<double>(score) - normaliser);
  int32_t rank = 1;
  for (int64_t v = 0; v < vocab; ++v)
    rank += s.scores[v] > score || (s.scores[v] == score && v < token) ? 1 : 0;
  args.token_ranks[r] = rank;
  Candidates candidates(s.scores, vocab, largest, 1.0f, s.order);
  const int64_t count = std::min<int64_t>(args.rows[r].top_logprobs, vocab);
  int64_t masked = 0;  // -inf logits follow in order of their ids
  for (int64_t i = 0; i < count; ++i) {
    int32_t id = 0;
    if (i < candidates.size()) {
      id = candidates[i];
    } else {
      while (s.scores[masked] > kMasked) ++masked;
      id = static_cast<int32_t>(masked++);
    }
    args.top_ids[r * args.top_stride + i] = id;
    args.top_logprobs[r * args.top_stride + i] =
        static_cast<float>(static_cast<double>(s.scores[id]) - normaliser);
  }
}

}  // namespace

uint64_t sample_workspace(const CpuDevice& device, const SampleArgs& args) {
  Carver carver(nullptr);
  cut(carver, args.logits.cols);
  return carver.used() * static_cast<uint64_t>(device.pool.threads());
}

Status sample(CpuDevice& device, const SampleArgs& args) {
  if (args.logits.dtype != DType::kF32) return internal_error("sample: logits must be F32");
  for (int64_t r = 0; r < args.logits.rows; ++r) RETURN_IF_ERROR(check_row(args, args.rows[r]));
  const uint64_t needed = sample_workspace(device, args);
  RETURN_IF_ERROR(check_workspace("sample", args.workspace, needed));
  const uint64_t per_thread = needed / static_cast<uint64_t>(device.pool.threads());
  device.pool.run(args.logits.rows, [&](int64_t r, int thread) {
    Carver carver(static_cast<char*>(args.workspace.data) + per_thread * static_cast<uint64_t>(thread));
    const Scratch scratch = cut(carver, args.logits.cols);
    args.tokens[r] = choose(device, args, r, scratch);
    if (args.tokens[r] != kNoToken && args.rows[r].top_logprobs >= 0) report(device, args, r, scratch);
  });
  device.note(Used::kSample);
  return OkStatus();
}

}  // namespace hadal::cpu
