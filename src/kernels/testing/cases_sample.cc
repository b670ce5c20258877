// Sampling: the same token, not a near one.
#include <cmath>
#include <limits>

#include "kernels/testing/case_lists.h"

namespace hadal::testing {
namespace {

constexpr int32_t kTopStride = 6;

struct SampleCase {
  HostMat logits;
  TestVector<SampleRow> rows;
  TestVector<int32_t> prompt, output, bias_ids;
  TestVector<float> bias_values;
  TestVector<uint32_t> mask;
};

StatusOr<Outputs> run_sample(const SampleCase& one, TestBackend& backend, Slice slice) {
  const auto count = static_cast<size_t>(slice.count);
  TestVector<int32_t> tokens(count, -7), ranks(count, -7), top_ids(count * kTopStride, -7);
  TestVector<float> logprobs(count, -7), top_logprobs(count * kTopStride, -7);
  RETURN_IF_ERROR(backend.run(OpKind::kSample, SampleArgs{.logits = one.logits.mat(slice.first, slice.count),
                                                          .rows = one.rows.data() + slice.first,
                                                          .tokens = tokens.data(),
                                                          .token_logprobs = logprobs.data(),
                                                          .token_ranks = ranks.data(),
                                                          .top_ids = top_ids.data(),
                                                          .top_logprobs = top_logprobs.data(),
                                                          .top_stride = kTopStride}));
  // What a row did not ask for is not part of the contract.
  for (size_t r = 0; r < count; ++r) {
    const int32_t wanted = tokens[r] < 0 ? -1 : one.rows[static_cast<size_t>(slice.first) + r].top_logprobs;
    if (wanted < 0) ranks[r] = -7, logprobs[r] = -7;
    for (size_t i = static_cast<size_t>(std::max(wanted, 0)); i < kTopStride; ++i) {
      top_ids[r * kTopStride + i] = -7;
      top_logprobs[r * kTopStride + i] = -7;
    }
  }
  const auto floats = [](const auto& values) { return std::vector<float>(values.begin(), values.end()); };
  const double absolute = sum_tolerance(one.logits.cols(), 1e-3);
  Outputs outputs;
  outputs.push_back({"tokens", 1, 0, 0, floats(tokens), true});
  outputs.push_back({"logprobs", 1, absolute, 32 * kRoundoff, floats(logprobs), true});
  outputs.push_back({"ranks", 1, 0, 0, floats(ranks), true});
  outputs.push_back({"top ids", kTopStride, 0, 0, floats(top_ids), true});
  outputs.push_back({"top logprobs", kTopStride, absolute, 32 * kRoundoff, floats(top_logprobs), true});
  return outputs;
}

/// Row `r` of a case: every setting comes up, alone and together.
SampleRow row_of(const SampleCase& one, Random& random, int64_t r) {
  SampleRow row{};
  row.temperature = r % 7 == 0 ? 0.0f : 0.25f + 0.25f * static_cast<float>(r % 6);
  row.top_p = r % 3 == 1 ? 0.9f : 1.0f;
  row.min_p = r % 5 == 2 ? 0.05f : 0.0f;
  row.top_k = r % 4 == 3 ? 20 : (r % 11 == 5 ? 1 : 0);
  row.seed = random.next();
  row.choice = static_cast<uint32_t>(r % 3);
  row.position = static_cast<uint32_t>(random.below(5000));
  row.repetition_penalty = r % 6 == 1 ? 1.3f : 1.0f;
  row.presence_penalty = r % 6 == 2 ? 0.7f : 0.0f;
  row.frequency_penalty = r % 6 == 3 ? -0.4f : 0.0f;
  if (r % 6 != 0) {
    row.prompt_ids = one.prompt.data();
    row.prompt_count = static_cast<int32_t>(one.prompt.size());
    row.output_ids = one.output.data();
    row.output_count = static_cast<int32_t>(one.output.size());
  }
  if (r % 8 == 4) {
    row.bias_ids = one.bias_ids.data();
    row.bias_values = one.bias_values.data();
    row.bias_count = static_cast<int32_t>(one.bias_ids.size());
  }
  if (r % 9 == 6) row.allowed_mask = one.mask.data();
  row.top_logprobs = static_cast<int32_t>(r % 8) - 1;
  return row;
}

void add_sample(Cases& cases, Random& random, int64_t rows, int64_t vocab, float spread) {
  auto one = std::make_shared<SampleCase>();
  one->logits = HostMat::normal(random, DType::kF32, rows, vocab, spread, 3);
  for (int i = 0; i < 40; ++i) one->prompt.push_back(static_cast<int32_t>(random.below(vocab)));
  for (int i = 0; i < 30; ++i)
    one->output.push_back(static_cast<int32_t>(random.below(std::min<int64_t>(vocab, 20))));
  for (int i = 0; i < 5; ++i) {
    one->bias_ids.push_back(static_cast<int32_t>(random.below(vocab)));
    one->bias_values.push_back(4 * random.signed_unit());
  }
  for (int64_t i = 0; i < (vocab + 31) / 32; ++i)
    one->mask.push_back(static_cast<uint32_t>(random.next() >> 32) | 1u);
  for (int64_t r = 0; r < rows; ++r) one->rows.push_back(row_of(*one, random, r));
  if (rows > 20) {
    one->logits.put(20, vocab / 2, NAN);
    one->logits.put(19, vocab - 1, -std::numeric_limits<float>::infinity());
    for (int64_t v = 0; v < vocab; ++v) one->logits.put(18, v, 0.5f);  // all equal: ties by id
  }
  cases.push_back(
      make_case(OpKind::kSample, fmt::format("sample {} rows of {} spread {}", rows, vocab, spread), rows,
                [one](TestBackend& backend, Slice slice) { return run_sample(*one, backend, slice); }));
}

}  // namespace

Cases sample_cases(CaseSet set) {
  Cases cases;
  Random random(15);
  if (set == CaseSet::kPublished) {
    add_sample(cases, random, 12, 129280, 2.0f);
    add_sample(cases, random, 8, 102400, 3.0f);
    return cases;
  }
  for (int64_t vocab : {1, 3, 17, 63, 64, 65, 577, 4000}) {
    add_sample(cases, random, 64, vocab, 1.0f);
    add_sample(cases, random, 64, vocab, 4.0f);
  }
  return cases;
}

}  // namespace hadal::testing
