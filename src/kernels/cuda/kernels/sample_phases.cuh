// The phases that sample a row (sample.h), each called by all threads of the block of part `part` of row `r`,
// with everything that earlier phases wrote visible:
//   scan     the largest adjusted logit of each part; NaN; clears the row's bins
//   weigh    weights of the candidates, summed in bins of scores; the sum and the largest of the raw logits
//   collect  the candidates of the few bins in which top_k, top_p and the draw can fall, in a list
//   finish   part 0 alone: the token, its log-probability and the alternatives
//   rank     how many raw logits come before the token's
#pragma once

#include "kernels/api/philox.h"
#include "kernels/cuda/kernels/sample_select.cuh"

namespace hadal::cuda {

// ---- what earlier phases found ----

struct RowSummary {
  uint64_t best = 0;
  float raw_max = -INFINITY;
  float low = INFINITY;
  bool has_nan = false;
  __device__ bool has_token() const { return !has_nan && best != 0; }
};

/// Every warp reads all parts; no synchronisation.
__device__ __forceinline__ RowSummary summarise(const RowScratch& scratch) {
  RowSummary row;
  for (int p = static_cast<int>(threadIdx.x) % 32; p < scratch.part_count; p += 32) {
    const SamplePart& part = scratch.parts[p];
    row.best = max(row.best, uint64_t{__ldcg(reinterpret_cast<const unsigned long long*>(&part.best))});
    row.raw_max = fmaxf(row.raw_max, __ldcg(&part.raw_max));
    row.low = fminf(row.low, __ldcg(&part.low));
    row.has_nan = row.has_nan || __ldcg(&part.has_nan) != 0;
  }
#pragma unroll
  for (int lane = 16; lane > 0; lane /= 2) {
    row.best = max(row.best, __shfl_xor_sync(kAllLanes, row.best, lane));
    row.raw_max = fmaxf(row.raw_max, __shfl_xor_sync(kAllLanes, row.raw_max, lane));
    row.low = fminf(row.low, __shfl_xor_sync(kAllLanes, row.low, lane));
    row.has_nan = __shfl_xor_sync(kAllLanes, static_cast<int>(row.has_nan), lane) != 0 || row.has_nan;
  }
  return row;
}

struct PartRange {
  int32_t begin, end;
};
/// Part `part` of `parts`: multiples of 4 logits.
__device__ __forceinline__ PartRange range_of(int32_t vocab, int part, int parts) {
  const int32_t size = ((vocab + parts - 1) / parts + 3) / 4 * 4;
  const int32_t begin = min(vocab, part * size);
  return {begin, min(vocab, begin + size)};
}

__device__ __forceinline__ const float* row_logits(const SampleArgs& args, int64_t r) {
  return static_cast<const float*>(args.logits.data) + r * args.logits.stride;
}
__device__ __forceinline__ bool is_drawn(const SampleRow& row) { return row.temperature != 0.0f; }
__device__ __forceinline__ bool wants_logprobs(const SampleRow& row) { return row.top_logprobs >= 0; }
__device__ __forceinline__ int wanted_top(const SampleArgs& args, const SampleRow& row) {
  return min(static_cast<int>(args.logits.cols), min(row.top_logprobs, args.top_stride));
}
/// Whether top_k leaves anything out, as far as the vocabulary tells.
__device__ __forceinline__ bool counts_candidates(const SampleRow& row, int32_t vocab) {
  return row.top_k > 0 && row.top_k < vocab;
}

// ---- scan ----

__device__ inline void scan_phase(const SampleArgs& args, const SampleRow& row, int64_t r, int part,
                                  const RowScratch& scratch, SampleShared& shared) {
  if (is_drawn(row)) {
    for (int i = part * kSampleThreads + static_cast<int>(threadIdx.x); i < kSampleBins;
         i += scratch.part_count * kSampleThreads) {
      scratch.bin_mass[i] = 0;
      scratch.bin_count[i] = 0;
    }
    if (part == 0 && threadIdx.x == 0) *scratch.list_count = 0;
  }
  const PartRange range = range_of(static_cast<int32_t>(args.logits.cols), part, scratch.part_count);
  float best = -INFINITY, low = INFINITY, raw_max = -INFINITY;
  int32_t best_id = 0;
  bool has_nan = false;
  for_each_score(row, row_logits(args, r), range.begin, range.end, shared.marks,
                 [&](int32_t id, float raw, float score) {
                   has_nan = has_nan || isnan(raw);
                   raw_max = fmaxf(raw_max, fminf(raw, FLT_MAX));
                   if (score > best) best = score, best_id = id;
                   if (score > -INFINITY) low = fminf(low, score);
                 });
  const auto larger = [](auto a, auto b) { return a > b ? a : b; };
  const uint64_t place = best > -INFINITY ? place_of(best, best_id) : 0;
  SamplePart found{};
  found.best = block_reduce(place, shared.scratch, larger);
  found.has_nan = block_reduce(has_nan ? 1u : 0u, shared.scratch, larger);
  if (is_drawn(row)) {
    found.low = block_reduce(low, shared.scratch, [](float a, float b) { return fminf(a, b); });
  }
  if (wants_logprobs(row)) {
    found.raw_max = block_reduce(raw_max, shared.scratch, [](float a, float b) { return fmaxf(a, b); });
  }
  if (threadIdx.x == 0) scratch.parts[part] = found;
}

// ---- weigh ----

__device__ inline void weigh_phase(const SampleArgs& args, const SampleRow& row, int64_t r, int part,
                                   const RowScratch& scratch, SampleShared& shared) {
  const RowSummary summary = summarise(scratch);
  if (!summary.has_token()) return;
  const auto vocab = static_cast<int32_t>(args.logits.cols);
  const PartRange range = range_of(vocab, part, scratch.part_count);
  const float* logits = row_logits(args, r);
  if (is_drawn(row)) {
    const SampleWeights weights(row, value_at(summary.best), summary.low);
    clear_bins(shared);
    for_each_score(row, logits, range.begin, range.end, shared.marks, [&](int32_t, float, float score) {
      if (const uint64_t weight = weights.of(score); weight != 0)
        add_to_bin(shared, weights.bin(score), weight);
    });
    __syncthreads();
    for (int bin = static_cast<int>(threadIdx.x); bin < kSampleBins; bin += kSampleThreads) {
      const uint32_t count = shared.bins.count[bin];
      if (count == 0) continue;
      atomicAdd(reinterpret_cast<unsigned long long*>(&scratch.bin_mass[bin]), mass_of_bin(shared, bin));
      if (counts_candidates(row, vocab)) atomicAdd(&scratch.bin_count[bin], count);
    }
  }
  if (!wants_logprobs(row)) return;
  double sum = 0;
  for_each_raw(logits, range.begin, range.end, [&](int32_t, float raw) {
    sum += exp(static_cast<double>(fminf(raw, FLT_MAX)) - static_cast<double>(summary.raw_max));
  });
  sum = block_reduce(sum, shared.scratch, [](double a, double b) { return a + b; });
  if (threadIdx.x == 0) scratch.parts[part].raw_sum = sum;
  const int top = min(wanted_top(args, row), kSampleTopList);
  uint64_t* list = scratch.top + part * kSampleTopList;
  select_top(
      range.end - range.begin, top, shared.scratch,
      [&](int32_t i) { return place_of(fminf(logits[range.begin + i], FLT_MAX), range.begin + i); },
      [&](int i, uint64_t place) { list[i] = place; });
}

// ---- collect ----

__device__ inline void collect_phase(const SampleArgs& args, const SampleRow& row, int64_t r, int part,
                                     const RowScratch& scratch, SampleShared& shared) {
  const RowSummary summary = summarise(scratch);
  if (!summary.has_token()) return;
  const auto vocab = static_cast<int32_t>(args.logits.cols);
  load_bin_prefixes(scratch, counts_candidates(row, vocab), shared);
  const BinRanges wanted = ranges_for(row, shared);
  const SampleWeights weights(row, value_at(summary.best), summary.low);
  const PartRange range = range_of(vocab, part, scratch.part_count);
  for_each_score(row, row_logits(args, r), range.begin, range.end, shared.marks,
                 [&](int32_t id, float, float score) {
                   if (!(weights.scaled(score) >= -SampleWeights::kReach)) return;
                   if (!wanted.contain(weights.bin(score)) || weights.of(score) == 0) return;
                   const uint32_t at = atomicAdd(scratch.list_count, 1u);
                   if (at < static_cast<uint32_t>(scratch.capacity)) scratch.list[at] = place_of(score, id);
                 });
}

// ---- finish ----

/// The token of a row that is drawn.
__device__ inline int32_t draw_token(const SampleArgs& args, const SampleRow& row, int64_t r,
                                     const RowSummary& summary, const RowScratch& scratch,
                                     SampleShared& shared) {
  const SampleWeights weights(row, value_at(summary.best), summary.low);
  const auto vocab = static_cast<int32_t>(args.logits.cols);
  load_bin_prefixes(scratch, counts_candidates(row, vocab), shared);
  const uint64_t all = shared.total_mass;
  const uint32_t candidates = shared.total_count;
  const uint32_t listed = __ldcg(scratch.list_count);
  const bool in_list = listed <= static_cast<uint32_t>(scratch.capacity);
  if (in_list) sort_list(scratch, static_cast<int>(listed), weights, shared);
  const auto find = [&](Measure measure, uint64_t target) {
    return in_list ? find_in_list(static_cast<int>(listed), weights, measure, target, shared)
                   : find_in_row(row, row_logits(args, r), vocab, weights, measure, target, shared);
  };
  uint64_t total = all;
  if (counts_candidates(row, vocab) && static_cast<uint32_t>(row.top_k) < candidates) {
    total = find(Measure::kCount, static_cast<uint64_t>(row.top_k) - 1).mass_through;
  }
  if (row.top_p < 1.0f) total = find(Measure::kMass, nucleus_mass(row, total) - 1).mass_through;
  return id_at(find(Measure::kMass, draw_target(row, total)).place);
}

/// Log-probability of the token, and the alternatives. The rank begins at 1; rank_phase adds.
__device__ inline void report_token(const SampleArgs& args, const SampleRow& row, int64_t r, int32_t token,
                                    const RowSummary& summary, const RowScratch& scratch,
                                    SampleShared& shared) {
  const float* logits = row_logits(args, r);
  double sum = 0;
  for (int p = 0; p < scratch.part_count; ++p) sum += __ldcg(&scratch.parts[p].raw_sum);
  const double normaliser = static_cast<double>(summary.raw_max) + log(sum);
  const auto logprob = [&](float logit) {
    return static_cast<float>(static_cast<double>(logit) - normaliser);
  };
  if (threadIdx.x == 0) {
    args.token_logprobs[r] = logprob(fminf(logits[token], FLT_MAX));
    args.token_ranks[r] = 1;
  }
  const int top = wanted_top(args, row);
  const auto take = [&](int i, uint64_t place) {
    args.top_ids[r * args.top_stride + i] = id_at(place);
    args.top_logprobs[r * args.top_stride + i] = logprob(value_at(place));
  };
  if (top <= kSampleTopList) {
    const auto listed = [&](int32_t i) {
      const int32_t part = i / max(top, 1);
      const uint64_t* place = scratch.top + part * kSampleTopList + (i - part * top);
      return uint64_t{__ldcg(reinterpret_cast<const unsigned long long*>(place))};
    };
    select_top(scratch.part_count * top, top, shared.scratch, listed, take);
  } else {
    const auto logit = [&](int32_t i) { return place_of(fminf(logits[i], FLT_MAX), i); };
    select_top(static_cast<int32_t>(args.logits.cols), top, shared.scratch, logit, take);
  }
}

__device__ inline void finish_phase(const SampleArgs& args, const SampleRow& row, int64_t r,
                                    const RowScratch& scratch, SampleShared& shared) {
  const RowSummary summary = summarise(scratch);
  int32_t token = -1;
  if (summary.has_token()) {
    token = is_drawn(row) ? draw_token(args, row, r, summary, scratch, shared) : id_at(summary.best);
  }
  if (threadIdx.x == 0) args.tokens[r] = token;
  if (token >= 0 && wants_logprobs(row)) report_token(args, row, r, token, summary, scratch, shared);
}

// ---- rank ----

__device__ inline void rank_phase(const SampleArgs& args, int64_t r, int part, const RowScratch& scratch,
                                  SampleShared& shared) {
  const int32_t token = __ldcg(&args.tokens[r]);
  if (token < 0) return;
  const float* logits = row_logits(args, r);
  const float value = fminf(logits[token], FLT_MAX);
  const PartRange range = range_of(static_cast<int32_t>(args.logits.cols), part, scratch.part_count);
  int before = 0;
  for_each_raw(logits, range.begin, range.end, [&](int32_t id, float raw) {
    const float other = fminf(raw, FLT_MAX);
    before += other > value || (other == value && id < token) ? 1 : 0;
  });
  before = block_reduce(before, shared.scratch, [](int a, int b) { return a + b; });
  if (threadIdx.x == 0 && before > 0) atomicAdd(&args.token_ranks[r], before);
}

}  // namespace hadal::cuda
