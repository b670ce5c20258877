// The twin test: a backend's kernels against the oracle's, op by op, over odd sizes and the published models'
// shapes, and against themselves: the same row alone and in a batch, a prompt whole and in chunks, one thread
// and two must give the same bits (docs/contracts/same-tokens.md).
#pragma once

#include <string>
#include <vector>

#include "kernels/testing/op_case.h"

namespace hadal::testing {

/// kOdd: sizes around vector widths and tiles, padded strides, every dtype and format. kPublished: the shapes
/// of the published models (head sizes, ranks, widths), few rows.
enum class CaseSet : uint8_t { kOdd, kPublished };

/// The cases of one op; empty for composites (device/ tests those against their lowering).
Cases cases_of(OpKind kind, CaseSet set);

struct TwinReport {
  int cases = 0;
  std::vector<std::string> failures;      // case, output, row, column, values, tolerance
  std::vector<std::string> kernels_used;  // by the backend under test
};

struct TwinTarget {
  const BackendApi* api = nullptr;
  std::string isa;
  bool tensor_cores = false;  // TestBackend::tensor_cores
  bool batch_invariant = false;
};

/// What the targets are held against; its cases are shared out among `threads`.
struct TwinOracle {
  const BackendApi* api = nullptr;  // null: ref
  int threads = 1;
};

/// Every case on the oracle once and on each target.
TwinReport run_twins(const Cases& cases, const std::vector<TwinTarget>& targets,
                     const TwinOracle& oracle = {});

/// Bitwise: 1 thread = 2 threads; a row alone, chunks of 7 and halves = the whole.
TwinReport run_invariance(const Cases& cases, const TwinTarget& target);

}  // namespace hadal::testing
