// Products with weights. Decode: bytes of weights a second and their share of the read probe's bandwidth, a
// pass of which runs between any two measurements. Prefill: operations a second and their share of a measured
// peak.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <time.h>

#include <chrono>
#include <cstring>
#include <random>

#include "kernels/cpu/cpu_device.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/membench.h"
#include "tensor/convert.h"

namespace hadal::cpu {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Matrices [n, k] that together are larger than any cache, as a mapped checkpoint would hold them.
struct Weights {
  Weights(DType dtype, int64_t n, int64_t k, int64_t bytes) : rows(n), cols(k), type(dtype) {
    const int64_t each = n * k * bytes_of(dtype);
    count = std::max<int64_t>(1, bytes / each);
    size = static_cast<size_t>(count * each);
    data =
        static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    madvise(data, size, MADV_NOHUGEPAGE);
    std::mt19937 random(1);
    for (size_t i = 0; i < size; i += 2) {  // small finite values in every 16-bit format
      const auto bits = static_cast<uint16_t>(0x3C00 | (random() & 0x80FF));
      std::memcpy(data + i, &bits, 2);
    }
  }
  ~Weights() { munmap(data, size); }
  WeightRef ref(int64_t i) const {
    WeightRef w;
    w.format = WeightFormat::kDense;
    w.dtype = type;
    w.rows = rows;
    w.cols = cols;
    w.data = data + i * rows * cols * bytes_of(type);
    return w;
  }
  int64_t rows, cols, count;
  DType type;
  size_t size;
  char* data;
};

struct Setup {
  Setup(DType x_dtype, DType w_dtype, int64_t rows, int64_t n, int64_t k, int64_t bytes,
        int threads = usable_processors())
      : device(best_isa(), threads),
        weights(w_dtype, n, k, bytes),
        x(static_cast<size_t>(rows * k * 4)),
        out(static_cast<size_t>(rows * n)) {
    for (int64_t i = 0; i < rows * k; ++i) {
      const float v = static_cast<float>(i % 17) / 17.0f - 0.4f;
      if (x_dtype == DType::kF32) {
        std::memcpy(&x[static_cast<size_t>(i * 4)], &v, 4);
      } else {
        const BFloat16 b = bfloat16_from_float(v);
        std::memcpy(&x[static_cast<size_t>(i * 2)], &b, 2);
      }
    }
    groups.resize(static_cast<size_t>(weights.count));
    for (int64_t i = 0; i < weights.count; ++i) groups[static_cast<size_t>(i)].members = {weights.ref(i)};
    args.x = Mat{x.data(), rows, k, k, x_dtype};
    args.out = Mat{out.data(), rows, n, n, DType::kF32};
    args.accumulate = 0;
  }
  void run(int64_t i) {
    args.weight = {reinterpret_cast<const PreparedGroup*>(&groups[static_cast<size_t>(i)]), 0};
    if (!linear(device, args).ok()) std::abort();
  }
  CpuDevice device;
  Weights weights;
  std::vector<char> x;
  std::vector<float> out;
  std::vector<CpuGroup> groups;
  LinearArgs args;
};

/// Wall time of all threads, or the CPU time of the one thread there is: that one shares a busy machine
/// better.
double now(int threads) {
  timespec t{};
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void decode(benchmark::State& state, DType x_dtype, DType w_dtype) {
  const int threads = static_cast<int>(state.range(3) > 0 ? state.range(3) : usable_processors());
  Setup setup(x_dtype, w_dtype, state.range(0), state.range(1), state.range(2), 256 << 20, threads);
  auto probe = ReadProbe::create({.threads = threads, .mebibytes = 256});
  if (!probe.ok()) return state.SkipWithError("no memory for the probe");
  double probe_seconds = 0, seconds = 0, bytes = 0, probe_bytes = 0;
  for (auto _ : state) {
    const double start = now(threads);
    for (int64_t i = 0; i < setup.weights.count; ++i) setup.run(i);
    const double middle = now(threads);
    (*probe)->pass();
    const double end = now(threads);
    seconds += middle - start;
    probe_seconds += end - middle;
    bytes += static_cast<double>(setup.weights.size);
    probe_bytes += static_cast<double>((*probe)->bytes());
    state.SetIterationTime(middle - start);
  }
  state.counters["GB/s"] = bytes / seconds / 1e9;
  state.counters["probe"] = probe_bytes / probe_seconds / 1e9;
  state.counters["share"] = bytes / seconds / (probe_bytes / probe_seconds);
  state.counters["Gop/s"] = bytes / seconds / static_cast<double>(bytes_of(w_dtype)) * 2 *
                            static_cast<double>(state.range(0)) / 1e9;
}

/// One thread by its own CPU time, which neighbours on the machine disturb least.
void core(benchmark::State& state, DType x_dtype, DType w_dtype) {
  const int64_t rows = state.range(0), n = state.range(1), k = state.range(2);
  Setup setup(x_dtype, w_dtype, rows, n, k, 1, 1);
  for (auto _ : state) setup.run(0);
  state.counters["op/s"] = benchmark::Counter(2.0 * static_cast<double>(rows * n * k),
                                              benchmark::Counter::kIsIterationInvariantRate);
  state.counters["B/s"] = benchmark::Counter(static_cast<double>(setup.weights.size),
                                             benchmark::Counter::kIsIterationInvariantRate);
}

void prefill(benchmark::State& state, DType x_dtype, DType w_dtype) {
  const int64_t rows = state.range(0), n = state.range(1), k = state.range(2);
  Setup setup(x_dtype, w_dtype, rows, n, k, 16 << 20);
  double seconds = 0;
  int64_t runs = 0;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    setup.run(runs++ % setup.weights.count);
    const double took = seconds_since(start);
    seconds += took;
    state.SetIterationTime(took);
  }
  state.counters["Gop/s"] = 2.0 * static_cast<double>(rows * n * k * runs) / seconds / 1e9;
}

#define HADAL_LINEAR_BENCH(name, x, w)                 \
  BENCHMARK_CAPTURE(decode, name, DType::x, DType::w)  \
      ->Args({1, 2048, 2048, 0})                       \
      ->Args({1, 2048, 2048, 1})                       \
      ->Args({1, 2048, 1408, 1})                       \
      ->Args({1, 2048, 10944, 1})                      \
      ->Args({4, 2048, 2048, 1})                       \
      ->Args({16, 2048, 2048, 1})                      \
      ->UseManualTime()                                \
      ->Unit(benchmark::kMillisecond)                  \
      ->Iterations(8);                                 \
  BENCHMARK_CAPTURE(prefill, name, DType::x, DType::w) \
      ->Args({64, 2048, 2048})                         \
      ->Args({512, 2048, 2048})                        \
      ->Args({512, 2048, 10944})                       \
      ->UseManualTime()                                \
      ->Unit(benchmark::kMillisecond);                 \
  BENCHMARK_CAPTURE(core, name, DType::x, DType::w)    \
      ->Args({1, 64, 2048})                            \
      ->Args({1, 1408, 2048})                          \
      ->Args({1, 16384, 2048})                         \
      ->Args({4, 1408, 2048})                          \
      ->Args({6, 1408, 2048})                          \
      ->Args({16, 1408, 2048})                         \
      ->Args({96, 2048, 2048})                         \
      ->Args({512, 2048, 10944})
HADAL_LINEAR_BENCH(bf16xbf16, kBF16, kBF16);
HADAL_LINEAR_BENCH(f32xbf16, kF32, kBF16);
HADAL_LINEAR_BENCH(f32xf32, kF32, kF32);

/// Quantised weights on one thread: bytes of codes a second.
void quantised(benchmark::State& state, WeightFormat format, DType x_dtype) {
  const int64_t rows = state.range(0);
  constexpr int64_t kN = 2048, kK = 2048;
  Setup setup(x_dtype, DType::kBF16, rows, kN, kK, 1, 1);
  std::vector<uint8_t> codes(kN * kK);
  std::mt19937 random(9);
  for (uint8_t& c : codes) c = static_cast<uint8_t>(random() & 0xBF);
  std::vector<float> scales(kN * kK / 128, 0.01f);
  std::vector<uint16_t> half_scales(kN * kK / 128, 0x2000);
  WeightRef w;
  w.format = format;
  w.rows = kN;
  w.cols = kK;
  w.data = codes.data();
  double bytes = kN * kK;
  if (format == WeightFormat::kFp8Block) {
    w.dtype = DType::kF8E4M3;
    w.scales = scales.data();
    w.block_rows = w.block_cols = 128;
  } else {
    w.scales = half_scales.data();
    w.scale_dtype = DType::kF16;
    w.zeros = codes.data();
    w.group = 128;
    bytes /= 2;
  }
  setup.groups[0].members = {w};
  for (auto _ : state) setup.run(0);
  using benchmark::Counter;
  state.counters["B/s"] = Counter(bytes, Counter::kIsIterationInvariantRate);
  state.counters["op/s"] =
      Counter(2.0 * static_cast<double>(rows) * kN * kK, Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(quantised, fp8_bf16, WeightFormat::kFp8Block, DType::kBF16)->Arg(1)->Arg(16)->Arg(240);
BENCHMARK_CAPTURE(quantised, fp8_f32, WeightFormat::kFp8Block, DType::kF32)->Arg(1)->Arg(240);
BENCHMARK_CAPTURE(quantised, awq_bf16, WeightFormat::kAwqGemm, DType::kBF16)->Arg(1)->Arg(16)->Arg(240);
BENCHMARK_CAPTURE(quantised, awq_f32, WeightFormat::kAwqGemm, DType::kF32)->Arg(1)->Arg(240);

/// Fork and join alone.
void fork_join(benchmark::State& state) {
  ThreadPool pool(usable_processors());
  std::atomic<int64_t> sum{0};
  for (auto _ : state) pool.run(pool.threads(), [&](int64_t task, int) { sum += task; });
}
BENCHMARK(fork_join);

}  // namespace
}  // namespace hadal::cpu
