// What the oracle's tests share.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "kernels/ref/ref_backend.h"
#include "kernels/testing/test_backend.h"

namespace hadal::testing {

inline std::unique_ptr<TestBackend> open_ref() {
  auto backend = TestBackend::open(ref_backend());
  EXPECT_TRUE(backend.ok());
  return std::move(*backend);
}

inline Mat matrix(std::vector<float>& values, int64_t rows, int64_t cols) {
  return {values.data(), rows, cols, cols, DType::kF32};
}

}  // namespace hadal::testing
