// Finding a candidate by its place in falling order: bins of scores narrow it down, a short sorted list or,
// where too many candidates are alike, a radix search over the row gives the one. All sums are integers.
#pragma once

#include "kernels/api/philox.h"
#include "kernels/cuda/kernels/sample_row.cuh"

namespace hadal::cuda {

/// A row's scratch memory (SampleScratch), cut up.
struct RowScratch {
  SamplePart* parts;
  uint64_t* bin_mass;    // [kSampleBins]
  uint64_t* list;        // [capacity] places of candidates, in any order
  uint64_t* top;         // [parts][kSampleTopList] places of the largest raw logits, falling
  uint32_t* bin_count;   // [kSampleBins]
  uint32_t* list_count;  // candidates that belong in the list; beyond capacity they are not in it
  int part_count;
  int capacity;

  __device__ RowScratch(const SampleScratch& scratch, int64_t r) {
    char* at = scratch.base + r * scratch.row_bytes;
    part_count = scratch.parts;
    capacity = scratch.capacity;
    const auto take = [&at](int64_t bytes) {
      char* taken = at;
      at += bytes;
      return taken;
    };
    parts = reinterpret_cast<SamplePart*>(take(part_count * static_cast<int64_t>(sizeof(SamplePart))));
    bin_mass = reinterpret_cast<uint64_t*>(take(kSampleBins * 8));
    list = reinterpret_cast<uint64_t*>(take(int64_t{capacity} * 8));
    top = reinterpret_cast<uint64_t*>(take(int64_t{part_count} * kSampleTopList * 8));
    bin_count = reinterpret_cast<uint32_t*>(take(kSampleBins * 4));
    list_count = reinterpret_cast<uint32_t*>(take(64));
  }
};

/// A sum of 46-bit weights as sums of 12-bit pieces: 32-bit shared-memory additions are fast however many
/// threads meet in one bin, 64-bit ones are not. 2^18 pieces fit.
struct PieceBins {
  uint32_t pieces[4][kSampleBins];
  uint32_t count[kSampleBins];
};
/// What lies before each bin.
struct BinPrefixes {
  uint64_t mass[kSampleBins];
  uint32_t count[kSampleBins];
};

/// Shared memory of a block. Marks and piece bins are used together; a sorted list with the prefixes; marks
/// with the prefixes: so the prefixes lie behind the list, the piece bins behind the marks.
struct SampleShared {
  union {
    struct {
      uint32_t marks[kSampleChunk];
      PieceBins bins;
    };
    struct {
      uint64_t list[kSampleListMax];
      BinPrefixes before;
    };
  };
  BlockScratch scratch;
  uint64_t total_mass;
  uint64_t found_place, found_mass;
  uint64_t level_mass;  // of a level of the radix search: what lies before the digit, and the digit
  uint32_t level_count;
  uint32_t level_digit;
  uint32_t total_count;
};
static_assert(sizeof(SampleShared) <= 48 * 1024);

// ---- bins ----

__device__ __forceinline__ void clear_bins(SampleShared& shared) {
  __syncthreads();
  auto* words = reinterpret_cast<uint32_t*>(&shared.bins);
  for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(sizeof(PieceBins) / 4);
       i += kSampleThreads) {
    words[i] = 0;
  }
  __syncthreads();
}
__device__ __forceinline__ void add_to_bin(SampleShared& shared, int bin, uint64_t weight) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const auto piece = static_cast<uint32_t>(weight >> (12 * i)) & 0xfffu;
    if (piece != 0) atomicAdd(&shared.bins.pieces[i][bin], piece);
  }
  atomicAdd(&shared.bins.count[bin], 1u);
}
__device__ __forceinline__ uint64_t mass_of_bin(const SampleShared& shared, int bin) {
  uint64_t mass = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) mass += uint64_t{shared.bins.pieces[i][bin]} << (12 * i);
  return mass;
}

static_assert(kSampleBins == 2 * kSampleThreads);  // bins 2 t and 2 t + 1 are thread t's

/// The row's bins summed up: what lies before each, and in all. Ends synchronised.
__device__ inline void load_bin_prefixes(const RowScratch& scratch, bool counts, SampleShared& shared) {
  const int bin = 2 * static_cast<int>(threadIdx.x);
  const auto* masses = reinterpret_cast<const unsigned long long*>(scratch.bin_mass);
  const uint64_t mass0 = __ldcg(masses + bin), mass1 = __ldcg(masses + bin + 1);
  const uint64_t mass = block_prefix(mass0 + mass1, shared.scratch);
  shared.before.mass[bin] = mass;
  shared.before.mass[bin + 1] = mass + mass0;
  if (bin == kSampleBins - 2) shared.total_mass = mass + mass0 + mass1;
  const uint32_t count0 = counts ? __ldcg(scratch.bin_count + bin) : 0;
  const uint32_t count1 = counts ? __ldcg(scratch.bin_count + bin + 1) : 0;
  const uint32_t count = block_prefix(count0 + count1, shared.scratch);
  shared.before.count[bin] = count;
  shared.before.count[bin + 1] = count + count0;
  if (bin == kSampleBins - 2) shared.total_count = count + count0 + count1;
  __syncthreads();
}

/// The last bin whose prefix is at most `value`: the one that holds position `value` (empty bins have the
/// next one's prefix and so are passed over).
template <typename T>
__device__ __forceinline__ int bin_with(const T* before, T value) {
  int low = 0, high = kSampleBins - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (before[middle] <= value) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

/// The least sum of weights that top_p keeps, of `total`: at least the first candidate's. A candidate stays
/// while the sum before it is below top_p * total.
__device__ __forceinline__ uint64_t nucleus_mass(const SampleRow& row, uint64_t total) {
  const double wanted = ceil(static_cast<double>(row.top_p) * static_cast<double>(total));
  return wanted < 1.0 ? 1 : min(total, static_cast<uint64_t>(wanted));
}
/// floor(u * total): the drawn candidate is the first whose running sum exceeds it.
__device__ __forceinline__ uint64_t draw_target(const SampleRow& row, uint64_t total) {
  const uint64_t word = philox4x32_10(row.seed, {row.position, row.choice, 0, 0})[0];
  return __umul64hi(word << 32, total);
}

/// The bins in which the last of top_k, the last of top_p and the drawn candidate lie. How much is kept is
/// not known to the candidate yet, only within a bin, so the later ones are ranges.
struct BinRanges {
  int first[3], last[3];
  __device__ bool contain(int bin) const {
    return (bin >= first[0] && bin <= last[0]) || (bin >= first[1] && bin <= last[1]) ||
           (bin >= first[2] && bin <= last[2]);
  }
};
__device__ inline BinRanges ranges_for(const SampleRow& row, const SampleShared& shared) {
  BinRanges ranges{{0, 0, 0}, {-1, -1, -1}};
  const uint64_t* before = shared.before.mass;
  const auto through = [&](int bin) { return bin + 1 < kSampleBins ? before[bin + 1] : shared.total_mass; };
  uint64_t least = shared.total_mass, most = shared.total_mass;  // of what is kept
  if (row.top_k > 0 && static_cast<uint32_t>(row.top_k) < shared.total_count) {
    const int bin = bin_with(shared.before.count, static_cast<uint32_t>(row.top_k) - 1);
    ranges.first[0] = ranges.last[0] = bin;
    least = before[bin] + 1;
    most = through(bin);
  }
  if (row.top_p < 1.0f) {
    least = nucleus_mass(row, least);
    ranges.first[1] = bin_with(before, least - 1);
    ranges.last[1] = bin_with(before, nucleus_mass(row, most) - 1);
    most = through(ranges.last[1]);
  }
  ranges.first[2] = bin_with(before, draw_target(row, least));
  ranges.last[2] = bin_with(before, draw_target(row, most));
  return ranges;
}

// ---- the one ----

enum class Measure : uint8_t { kCount, kMass };

/// The candidate that holds a position: what lies before it is at most the position, with it more.
struct Candidate {
  uint64_t place;
  uint64_t mass_through;  // of all candidates up to it, itself included
};

/// The list in shared memory in falling order, and shared.before turned from what lies before a bin in the
/// row into what lies there beyond what lies before it in the list.
__device__ inline void sort_list(const RowScratch& scratch, int listed, const SampleWeights& weights,
                                 SampleShared& shared) {
  int size = 1;
  while (size < listed) size *= 2;
  __syncthreads();
  const auto* list = reinterpret_cast<const unsigned long long*>(scratch.list);
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kSampleThreads) {
    shared.list[i] = i < listed ? __ldcg(list + i) : 0;
  }
  __syncthreads();
  for (int width = 2; width <= size; width *= 2) {  // bitonic
    for (int step = width / 2; step > 0; step /= 2) {
      for (int i = static_cast<int>(threadIdx.x); i < size / 2; i += kSampleThreads) {
        const int low = i / step * (2 * step) + i % step, high = low + step;
        const bool falling = (low & width) == 0;
        const uint64_t a = shared.list[low], b = shared.list[high];
        if ((a < b) == falling) shared.list[low] = b, shared.list[high] = a;
      }
      __syncthreads();
    }
  }
  const int each = (listed + kSampleThreads - 1) / kSampleThreads,
            first = static_cast<int>(threadIdx.x) * each;
  const int last = min(listed, first + each);
  uint64_t mass = 0;
  for (int i = first; i < last; ++i) mass += weights.of(value_at(shared.list[i]));
  mass = block_prefix(mass, shared.scratch);
  for (int i = first; i < last; ++i) {
    const int bin = weights.bin(value_at(shared.list[i]));
    if (i == 0 || bin != weights.bin(value_at(shared.list[i - 1]))) {
      shared.before.mass[bin] -= mass;  // modulo 2^64, as is what is added later
      shared.before.count[bin] -= static_cast<uint32_t>(i);
    }
    mass += weights.of(value_at(shared.list[i]));
  }
  __syncthreads();
}

__device__ inline Candidate find_in_list(int listed, const SampleWeights& weights, Measure measure,
                                         uint64_t target, SampleShared& shared) {
  const int each = (listed + kSampleThreads - 1) / kSampleThreads,
            first = static_cast<int>(threadIdx.x) * each;
  const int last = min(listed, first + each);
  uint64_t mass = 0;
  for (int i = first; i < last; ++i) mass += weights.of(value_at(shared.list[i]));
  mass = block_prefix(mass, shared.scratch);
  for (int i = first; i < last; ++i) {
    const uint64_t place = shared.list[i];
    const float score = value_at(place);
    const int bin = weights.bin(score);
    const uint64_t weight = weights.of(score);
    const uint64_t before = shared.before.mass[bin] + mass;
    const uint32_t rank = shared.before.count[bin] + static_cast<uint32_t>(i);
    const bool holds =
        measure == Measure::kCount ? rank == target : before <= target && target < before + weight;
    if (holds) shared.found_place = place, shared.found_mass = before + weight;
    mass += weight;
  }
  __syncthreads();
  const Candidate found{shared.found_place, shared.found_mass};
  __syncthreads();
  return found;
}

/// The same over the whole row: a radix search for the candidate's place, 10 bits at a time: 32 of the
/// value's order, then 18 of the id.
__device__ inline Candidate find_in_row(const SampleRow& row, const float* logits, int32_t vocab,
                                        const SampleWeights& weights, Measure measure, uint64_t target,
                                        SampleShared& shared) {
  constexpr int kLevels = 5, kDigit = 10;
  static_assert(1 << kDigit == kSampleBins && kLevels * kDigit == 32 + 18);
  const auto number_of = [](float score, int32_t id) {  // rising in falling order
    return uint64_t{~order_of(score)} << 18 | static_cast<uint32_t>(id);
  };
  uint64_t number = 0, mass_before = 0, mass_in = 0;
  uint32_t count_before = 0;
  for (int level = 0; level < kLevels; ++level) {
    const int shift = kDigit * (kLevels - 1 - level);
    clear_bins(shared);
    for_each_score(row, logits, 0, vocab, shared.marks, [&](int32_t id, float, float score) {
      if (!(weights.scaled(score) >= -SampleWeights::kReach)) return;
      const uint64_t here = number_of(score, id) >> shift;
      if (here >> kDigit != number) return;
      if (const uint64_t weight = weights.of(score); weight != 0) {
        add_to_bin(shared, static_cast<int>(here & (kSampleBins - 1)), weight);
      }
    });
    __syncthreads();
    const int bin = 2 * static_cast<int>(threadIdx.x);
    const uint64_t mass[2] = {mass_of_bin(shared, bin), mass_of_bin(shared, bin + 1)};
    const uint32_t count[2] = {shared.bins.count[bin], shared.bins.count[bin + 1]};
    uint64_t mass_at = mass_before + block_prefix(mass[0] + mass[1], shared.scratch);
    uint32_t count_at = count_before + block_prefix(count[0] + count[1], shared.scratch);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const bool holds = measure == Measure::kCount
                             ? count_at <= target && target < uint64_t{count_at} + count[i]
                             : mass_at <= target && target < mass_at + mass[i];
      if (holds) {
        shared.level_digit = static_cast<uint32_t>(bin + i);
        shared.level_mass = mass_at;
        shared.level_count = count_at;
        shared.found_mass = mass[i];
      }
      mass_at += mass[i];
      count_at += count[i];
    }
    __syncthreads();
    number = number << kDigit | shared.level_digit;
    mass_before = shared.level_mass;
    count_before = shared.level_count;
    mass_in = shared.found_mass;
  }
  const auto order = ~static_cast<uint32_t>(number >> 18);
  const auto id = static_cast<int32_t>(number & ((1u << 18) - 1));
  return {uint64_t{order} << 32 | (0xffffffffu - static_cast<uint32_t>(id)), mass_before + mass_in};
}

// ---- the largest few ----

/// The `wanted` largest of place(0), ..., place(count - 1) in falling order: take(i, place) in thread 0 (0
/// where there are fewer). Each thread keeps the best of its own; who is taken looks for its next.
template <typename Place, typename Take>
__device__ __forceinline__ void select_top(int32_t count, int wanted, BlockScratch& scratch, Place place,
                                           Take take) {
  uint64_t limit = ~uint64_t{0}, mine = 0;
  const auto look = [&] {
    mine = 0;
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < count; i += kSampleThreads) {
      const uint64_t here = place(i);
      if (here < limit && here > mine) mine = here;
    }
  };
  if (wanted > 0) look();
  for (int i = 0; i < wanted; ++i) {
    const uint64_t best = block_reduce(mine, scratch, [](uint64_t a, uint64_t b) { return a > b ? a : b; });
    if (threadIdx.x == 0) take(i, best);
    if (mine == best && best != 0) {
      limit = best;
      look();
    }
  }
}

}  // namespace hadal::cuda
