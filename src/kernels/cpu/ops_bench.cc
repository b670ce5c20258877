// Attention, experts and sampling at the sizes of DeepSeek-V2-Lite, on one thread by its own CPU time:
// operations, bytes or rows a second.
#include <benchmark/benchmark.h>

#include <numeric>
#include <random>
#include <vector>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/cpu_device.h"
#include "kernels/cpu/moe.h"
#include "kernels/cpu/prepared.h"
#include "kernels/cpu/sample.h"
#include "tensor/convert.h"

namespace hadal::cpu {
namespace {

using benchmark::Counter;

std::vector<uint16_t> random_bf16(int64_t count, float scale) {
  std::vector<uint16_t> values(static_cast<size_t>(count));
  std::mt19937 random(1);
  for (uint16_t& v : values)
    v = bfloat16_from_float((static_cast<float>(random() % 2001) / 1000.0f - 1) * scale).bits;
  return values;
}

std::vector<float> random_f32(int64_t count, float scale) {
  std::vector<float> values(static_cast<size_t>(count));
  std::mt19937 random(2);
  for (float& v : values) v = (static_cast<float>(random() % 2001) / 1000.0f - 1) * scale;
  return values;
}

void check(const Status& status) {
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", std::string(message_of(status)).c_str());
    std::abort();
  }
}

/// `sequences` of `rows` new tokens each, all with contexts of `context`.
struct Batch {
  Batch(int32_t sequences, int32_t rows, int32_t context, TokenForm kind) {
    const int32_t blocks = (context + 63) / 64;
    for (int32_t s = 0; s <= sequences; ++s) starts.push_back(s * rows);
    for (int32_t s = 0; s < sequences; ++s) {
      contexts.push_back(context);
      forms.push_back(static_cast<uint8_t>(kind));
      for (int32_t r = 0; r < rows; ++r) positions.push_back(context - rows + r);
      for (int32_t b = 0; b < blocks; ++b) table.push_back(1 + s * blocks + b);
    }
    meta.num_tokens = sequences * rows;
    meta.num_segments = sequences;
    meta.num_output_segments = kind == TokenForm::kOutput ? sequences : 0;
    meta.positions = positions.data();
    meta.query_start = starts.data();
    meta.context_len = contexts.data();
    meta.form = forms.data();
    group.block_table = table.data();
    group.table_stride = blocks;
    total_blocks = 1 + sequences * blocks;
  }
  std::vector<int32_t> starts, contexts, positions, table;
  std::vector<uint8_t> forms;
  BatchMeta meta;
  GroupMeta group;
  int64_t total_blocks = 0;
};

CacheLayer bf16_cache(std::vector<uint16_t>& memory, int64_t values) {
  CacheLayer cache;
  cache.base = memory.data();
  cache.token_bytes = values * 2;
  cache.block_tokens = 64;
  cache.block_stride = 64 * cache.token_bytes;
  cache.dtype = DType::kBF16;
  cache.rope_dtype = DType::kBF16;
  return cache;
}

constexpr MlaShape kLite{16, 128, 64, 128, 512};

void mla(benchmark::State& state, TokenForm form) {
  const auto sequences = static_cast<int32_t>(state.range(0)), rows = static_cast<int32_t>(state.range(1)),
             context = static_cast<int32_t>(state.range(2));
  CpuDevice device(best_isa(), 1);
  Batch batch(sequences, rows, context, form);
  std::vector<uint16_t> memory = random_bf16(batch.total_blocks * 64 * 576, 1);
  std::vector<uint16_t> kv_b = random_bf16(16 * 256 * 512, 0.05f);
  CpuGroup group;
  group.members.resize(kMlaMembers);
  group.members[kMlaKvB] = {WeightFormat::kDense, DType::kBF16, 16 * 256, 512, kv_b.data()};
  const int64_t tokens = int64_t{sequences} * rows;
  std::vector<float> q = random_f32(tokens * 16 * 192, 1), out(static_cast<size_t>(tokens * 16 * 128));
  MlaAttentionArgs args;
  args.q = {q.data(), tokens, 16 * 192, 16 * 192, DType::kF32};
  args.kv_b = {reinterpret_cast<const PreparedGroup*>(&group), kMlaKvB};
  args.shape = kLite;
  args.cache = bf16_cache(memory, 576);
  args.batch = &batch.meta;
  args.group = &batch.group;
  args.scale = 0.07f;
  args.out = {out.data(), tokens, 16 * 128, 16 * 128, DType::kF32};
  std::vector<char> workspace(mla_attention_workspace(device, args) + 64);
  args.workspace = {reinterpret_cast<void*>(round_up(reinterpret_cast<int64_t>(workspace.data()), 64)),
                    workspace.size()};
  for (auto _ : state) check(mla_attention(device, args));
  // causal: row i of a segment sees context - rows + i + 1 keys
  const double keys = static_cast<double>(tokens) * (context - (rows - 1) / 2.0);
  const double per_key = form == TokenForm::kOutput ? 16.0 * (576 + 512) : 16.0 * (192 + 128);
  const double once = form == TokenForm::kOutput ? static_cast<double>(tokens) * 16 * 2 * 128 * 512
                                                 : static_cast<double>(sequences) * context * 16 * 256 * 512;
  state.counters["op/s"] = Counter(2 * (keys * per_key + once), Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(mla, absorbed, TokenForm::kOutput)
    ->Args({1, 1, 64})
    ->Args({1, 1, 4096})
    ->Args({16, 1, 256});
BENCHMARK_CAPTURE(mla, expanded, TokenForm::kPrompt)
    ->Args({1, 512, 512})
    ->Args({1, 512, 4096})
    ->Args({4, 64, 64});

void gqa(benchmark::State& state, TokenForm form) {
  const auto sequences = static_cast<int32_t>(state.range(0)), rows = static_cast<int32_t>(state.range(1)),
             context = static_cast<int32_t>(state.range(2));
  CpuDevice device(best_isa(), 1);
  Batch batch(sequences, rows, context, form);
  std::vector<uint16_t> memory = random_bf16(batch.total_blocks * 64 * 2 * 4 * 128, 1);
  const int64_t tokens = int64_t{sequences} * rows;
  std::vector<float> q = random_f32(tokens * 28 * 128, 1), out(static_cast<size_t>(tokens * 28 * 128));
  GqaAttentionArgs args;
  args.q = {q.data(), tokens, 28 * 128, 28 * 128, DType::kF32};
  args.heads = 28;
  args.kv_heads = 4;
  args.head_dim = 128;
  args.window = 0;
  args.cache = bf16_cache(memory, 2 * 4 * 128);
  args.batch = &batch.meta;
  args.group = &batch.group;
  args.scale = 0.09f;
  args.out = {out.data(), tokens, 28 * 128, 28 * 128, DType::kF32};
  std::vector<char> workspace(gqa_attention_workspace(device, args) + 64);
  args.workspace = {reinterpret_cast<void*>(round_up(reinterpret_cast<int64_t>(workspace.data()), 64)),
                    workspace.size()};
  for (auto _ : state) check(gqa_attention(device, args));
  const double keys = static_cast<double>(tokens) * (context - (rows - 1) / 2.0);
  state.counters["op/s"] = Counter(2 * keys * 28 * 256, Counter::kIsIterationInvariantRate);
  state.counters["B/s"] =
      Counter(static_cast<double>(sequences) * context * 2048, Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(gqa, output, TokenForm::kOutput)->Args({1, 1, 4096})->Args({16, 1, 256});
BENCHMARK_CAPTURE(gqa, prompt, TokenForm::kPrompt)->Args({1, 512, 512})->Args({1, 512, 4096});

/// 64 experts of which 6 are chosen at random, layers enough not to fit a cache.
void moe(benchmark::State& state, DType dtype) {
  constexpr int64_t kHidden = 2048, kWidth = 1408, kExperts = 64, kTopK = 6;
  const int64_t tokens = state.range(0);
  CpuDevice device(best_isa(), 1);
  std::vector<uint16_t> weights = random_bf16(kExperts * 3 * kHidden * kWidth, 0.03f);
  CpuGroup group;
  group.kind = GroupKind::kExperts;
  for (int64_t i = 0; i < kExperts * 3; ++i) {
    const bool down = i % 3 == kMlpDown;
    group.members.push_back({WeightFormat::kDense, DType::kBF16, down ? kHidden : kWidth,
                             down ? kWidth : kHidden, weights.data() + i * kHidden * kWidth});
  }
  std::vector<float> x32 = random_f32(tokens * kHidden, 1), out(static_cast<size_t>(tokens * kHidden));
  std::vector<uint16_t> x16 = random_bf16(tokens * kHidden, 1);
  constexpr int64_t kSteps = 16;
  std::vector<int32_t> ids;
  std::mt19937 random(3);
  std::vector<int32_t> all(kExperts);
  std::iota(all.begin(), all.end(), 0);
  for (int64_t t = 0; t < tokens * kSteps; ++t) {
    std::shuffle(all.begin(), all.end(), random);
    ids.insert(ids.end(), all.begin(), all.begin() + kTopK);
  }
  std::vector<float> factors(static_cast<size_t>(tokens * kTopK), 0.2f);
  MoeExpertsArgs args;
  void* x = dtype == DType::kF32 ? static_cast<void*>(x32.data()) : static_cast<void*>(x16.data());
  args.x = {x, tokens, kHidden, kHidden, dtype};
  args.experts = reinterpret_cast<const PreparedGroup*>(&group);
  args.num_experts = kExperts;
  args.intermediate = kWidth;
  args.weights = factors.data();
  args.top_k = kTopK;
  args.out = {out.data(), tokens, kHidden, kHidden, DType::kF32};
  std::vector<char> workspace(moe_experts_workspace(device, args) + 64);
  args.workspace = {reinterpret_cast<void*>(round_up(reinterpret_cast<int64_t>(workspace.data()), 64)),
                    workspace.size()};
  int64_t step = 0, bytes = 0;
  for (auto _ : state) {
    args.ids = ids.data() + step++ % kSteps * tokens * kTopK;
    check(moe_experts(device, args));
    std::vector<bool> met(kExperts);
    for (int64_t i = 0; i < tokens * kTopK; ++i) met[static_cast<size_t>(args.ids[i])] = true;
    bytes += std::count(met.begin(), met.end(), true) * 3 * kHidden * kWidth * 2;
  }
  state.counters["op/s"] = Counter(2.0 * 3 * kHidden * kWidth * kTopK * static_cast<double>(tokens),
                                   Counter::kIsIterationInvariantRate);
  state.counters["B/s"] = Counter(static_cast<double>(bytes), Counter::kIsRate);
}
BENCHMARK_CAPTURE(moe, bf16, DType::kBF16)->Arg(1)->Arg(16)->Arg(512);
BENCHMARK_CAPTURE(moe, f32, DType::kF32)->Arg(1)->Arg(512);

void sample_row(benchmark::State& state, float temperature, float top_p, int32_t top_k, int32_t logprobs) {
  constexpr int64_t kVocab = 129280;
  CpuDevice device(best_isa(), 1);
  std::vector<float> logits(kVocab);
  std::mt19937 random(4);
  std::normal_distribution<float> normal(0, 3);
  for (float& v : logits) v = normal(random);
  SampleRow row{};
  row.temperature = temperature;
  row.top_p = top_p;
  row.top_k = top_k;
  row.repetition_penalty = 1;
  row.top_logprobs = logprobs;
  int32_t token = 0, rank = 0, ids[20];
  float logprob = 0, logprob_values[20];
  SampleArgs args;
  args.logits = {logits.data(), 1, kVocab, kVocab, DType::kF32};
  args.rows = &row;
  args.tokens = &token;
  args.token_logprobs = &logprob;
  args.token_ranks = &rank;
  args.top_ids = ids;
  args.top_logprobs = logprob_values;
  args.top_stride = 20;
  std::vector<char> workspace(sample_workspace(device, args) + 64);
  args.workspace = {reinterpret_cast<void*>(round_up(reinterpret_cast<int64_t>(workspace.data()), 64)),
                    workspace.size()};
  for (auto _ : state) {
    ++row.position;
    check(sample(device, args));
  }
}
BENCHMARK_CAPTURE(sample_row, greedy, 0.0f, 1.0f, 0, -1);
BENCHMARK_CAPTURE(sample_row, temperature, 0.7f, 1.0f, 0, -1);
BENCHMARK_CAPTURE(sample_row, top_p, 0.6f, 0.95f, 0, -1);
BENCHMARK_CAPTURE(sample_row, top_k, 0.7f, 1.0f, 50, -1);
BENCHMARK_CAPTURE(sample_row, greedy_logprobs, 0.0f, 1.0f, 0, 20);

}  // namespace
}  // namespace hadal::cpu
