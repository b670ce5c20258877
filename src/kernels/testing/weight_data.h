// Random weights in every checkpoint format, with the memory that a WeightRef points into. Values are about
// normal with the given deviation, so that tolerances can be derived from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/api/types.h"
#include "kernels/testing/random.h"

namespace hadal::testing {

/// How a weight of a case is stored.
struct WeightSpec {
  WeightFormat format = WeightFormat::kDense;
  DType dtype = DType::kF32;        // dense
  DType scale_dtype = DType::kF32;  // fp8
  int32_t block_rows = 128;         // fp8
  int32_t block_cols = 128;
  int32_t group = 64;  // awq
  bool bias = false;
  std::string name() const;
};

class WeightData {
 public:
  /// AWQ needs rows % 8 == 0 and cols % group == 0.
  WeightData(Random& random, const WeightSpec& spec, int64_t rows, int64_t cols, float deviation);
  WeightData(WeightData&&) = default;
  WeightData& operator=(WeightData&&) = default;
  const WeightRef& ref() const { return ref_; }

 private:
  void fill_fp8(Random& random, const WeightSpec& spec, float deviation);
  void fill_awq(Random& random, const WeightSpec& spec, float deviation);

  WeightRef ref_;
  std::vector<uint8_t> data_;  // heap memory: moving a WeightData keeps ref_ valid
  std::vector<uint8_t> scales_;
  std::vector<uint8_t> zeros_;
  std::vector<uint8_t> bias_;
};

}  // namespace hadal::testing
