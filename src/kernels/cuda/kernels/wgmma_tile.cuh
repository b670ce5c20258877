// A tile of a product on Hopper: 128 rows of a weight by kRows rows of x, both bfloat16. A warp of its own
// has the copy engine fill a ring of stages (64 columns of both sides each); two warpgroups multiply, each 64
// rows of the weight with all rows of x. The weight is the instruction's 64-row side, so that few rows of x
// waste no work: kRows is their number, rounded up. Private to kernels/cuda.
//
// With silu a tile is 64 rows of gate and the same 64 of up, and each warpgroup takes half the rows of x with
// both, so that a thread holds both values of a hidden one.
//
// Order of summation: k in steps of 16, rising, in one accumulator, whatever kRows.
#pragma once

#include "kernels/cuda/kernels/hopper.cuh"

namespace hadal::cuda {

inline constexpr int kWgmmaOuts = 128;  // rows of the weight a tile; with silu 64 of gate and 64 of up
inline constexpr int kWgmmaDepth = 64;  // of the inner length a step
inline constexpr int kWgmmaRowBytes = kWgmmaDepth * 2;
inline constexpr int kWgmmaMultipliers = 8;  // warps; one more has tiles copied
inline constexpr int kWgmmaThreads = 32 * (kWgmmaMultipliers + 1);
inline constexpr int kWgmmaAlignment = 1024;

template <int kRows, bool kSilu>
struct WgmmaShape {
  static constexpr int kStages = kRows == 256 ? 4 : kRows == 128 ? 3 : kRows == 64 ? 4 : 5;
  static constexpr int kWeightBytes = kWgmmaOuts * kWgmmaRowBytes;
  static constexpr int kStageBytes = kWeightBytes + kRows * kWgmmaRowBytes;
  static constexpr int kRingBytes = kStages * kStageBytes;
  static constexpr int kSharedBytes = kWgmmaAlignment + kRingBytes + 2 * kStages * 8;
  static constexpr int kColumns = kSilu ? kRows / 2 : kRows;  // of a product: rows of x
  static constexpr int kProducts = kSilu ? 2 : 1;
};

template <int kRows, bool kSilu>
struct WgmmaRing {
  using S = WgmmaShape<kRows, kSilu>;
  char* tiles;
  uint64_t* filled;
  uint64_t* emptied;

  __device__ __forceinline__ explicit WgmmaRing(char* shared) {
    const uint32_t skip = (kWgmmaAlignment - shared_address(shared) % kWgmmaAlignment) % kWgmmaAlignment;
    tiles = shared + skip;
    filled = reinterpret_cast<uint64_t*>(tiles + S::kRingBytes);
    emptied = filled + S::kStages;
  }
  __device__ __forceinline__ char* weight(int stage) const { return tiles + stage * S::kStageBytes; }
  __device__ __forceinline__ char* x(int stage) const { return weight(stage) + S::kWeightBytes; }
  __device__ __forceinline__ void init() const {
    for (int s = 0; s < S::kStages; ++s) {
      barrier_init(filled + s, 1);
      barrier_init(emptied + s, kWgmmaMultipliers);
    }
    barrier_init_done();
  }
};

/// Where a tile's boxes begin.
struct WgmmaBoxes {
  int32_t weight_row[2];  // two boxes of 64 rows
  int32_t weight_column;
  int32_t x_row;
};

/// One thread: has the tiles of steps [begin, end) copied as places become free.
template <int kRows, bool kSilu>
struct TileFiller {
  using S = WgmmaShape<kRows, kSilu>;
  const WgmmaRing<kRows, kSilu>& ring;
  const CUtensorMap& weight;
  const CUtensorMap& x;
  RingPlace<S::kStages> place{};

  /// The weights of the first steps, which fill the ring: no kernel writes them, so they need not wait for
  /// any.
  __device__ __forceinline__ int32_t begin_weights(const WgmmaBoxes& boxes, int32_t begin,
                                                   int32_t end) const {
    const int32_t ahead = min(end - begin, S::kStages);
    for (int32_t i = 0; i < ahead; ++i) {
      barrier_arrive_expecting(ring.filled + i, S::kStageBytes);
      copy_weight(boxes, i, begin + i);
    }
    return ahead;
  }
  /// The rest; `ahead` steps' weights are under way.
  __device__ __forceinline__ void fill(const WgmmaBoxes& boxes, int32_t begin, int32_t end, int32_t ahead) {
    for (int32_t step = begin; step < end; ++step) {
      if (step >= begin + ahead) {
        barrier_wait(ring.emptied + place.stage, place.parity ^ 1);
        barrier_arrive_expecting(ring.filled + place.stage, S::kStageBytes);
        copy_weight(boxes, place.stage, step);
      }
      copy_box(ring.x(place.stage), x, boxes.x_row, step * kWgmmaDepth, ring.filled + place.stage);
      place.advance();
    }
  }

 private:
  __device__ __forceinline__ void copy_weight(const WgmmaBoxes& boxes, int stage, int32_t step) const {
    const int32_t column = boxes.weight_column + step * kWgmmaDepth;
    copy_box(ring.weight(stage), weight, boxes.weight_row[0], column, ring.filled + stage);
    copy_box(ring.weight(stage) + S::kWeightBytes / 2, weight, boxes.weight_row[1], column,
             ring.filled + stage);
  }
};

/// The products of one tile's `steps` steps, by one warpgroup (`group` 0 or 1).
template <int kRows, bool kSilu>
__device__ __forceinline__ void multiply_tile(
    const WgmmaRing<kRows, kSilu>& ring, RingPlace<WgmmaShape<kRows, kSilu>::kStages>& place, int group,
    int32_t steps,
    float (&sums)[WgmmaShape<kRows, kSilu>::kProducts][WgmmaShape<kRows, kSilu>::kColumns / 2]) {
  using S = WgmmaShape<kRows, kSilu>;
  constexpr int kHalf = S::kWeightBytes / 2;
  const bool speaks = threadIdx.x % 32 == 0;
  int before = 0;
  for (int32_t step = 0; step < steps; ++step) {
    barrier_wait(ring.filled + place.stage, place.parity);
    const uint64_t weight = swizzled_tile(ring.weight(place.stage) + (kSilu ? 0 : group * kHalf));
    const uint64_t x =
        swizzled_tile(ring.x(place.stage) + (kSilu ? group * S::kColumns * kWgmmaRowBytes : 0));
    products_begin();
#pragma unroll
    for (int k = 0; k < kWgmmaDepth / 16; ++k) {
      const int add = step > 0 || k > 0 ? 1 : 0;
      multiply_async<S::kColumns>(sums[0], weight + 2 * k, x + 2 * k, add);
      if constexpr (kSilu) {
        multiply_async<S::kColumns>(sums[1], weight + (kHalf >> 4) + 2 * k, x + 2 * k, add);
      }
    }
    products_commit();
    products_wait<1>();  // those of the step before are done: its place is free
    if (step > 0 && speaks) barrier_arrive(ring.emptied + before);
    before = place.stage;
    place.advance();
  }
  products_wait<0>();
  if (steps > 0 && speaks) barrier_arrive(ring.emptied + before);
}

}  // namespace hadal::cuda
