// Opening the backend, and the pieces that the twin tests (../cpu_twin_test.cc) do not look at one by one.
#include "kernels/cpu/cpu_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/candidates.h"
#include "kernels/cpu/cpu_device.h"
#include "kernels/cpu/membench.h"
#include "tensor/convert.h"

namespace hadal::cpu {
namespace {

using ::testing::HasSubstr;

std::string open_error(const BackendOptions& options) {
  BackendDevice* device = nullptr;
  BackendError error{};
  if (cpu_backend()->open(&options, &device, &error) != 0) return error.message;
  cpu_backend()->close(device);
  return "";
}

TEST(CpuBackend, RefusesByName) {
  BackendOptions options;
  options.isa = "avx1024";
  EXPECT_THAT(open_error(options), HasSubstr("unknown instruction set 'avx1024'"));
  options.isa = nullptr;
  options.threads = -1;
  EXPECT_THAT(open_error(options), HasSubstr("-1 threads"));
  options.threads = kMaxThreads + 1;
  EXPECT_THAT(open_error(options), HasSubstr("257 threads"));
  options.threads = 1;
  options.device_index = 1;
  EXPECT_THAT(open_error(options), HasSubstr("no device 1"));
}

TEST(CpuBackend, OpensEveryUsableIsaAndSaysSo) {
  for (Isa isa : usable_isas()) {
    const std::string name(isa_name(isa));
    BackendOptions options;
    options.isa = name.c_str();
    options.threads = 3;
    BackendDevice* device = nullptr;
    BackendError error{};
    ASSERT_EQ(cpu_backend()->open(&options, &device, &error), 0) << error.message;
    BackendFacts facts;
    cpu_backend()->facts(device, &facts);
    EXPECT_EQ(std::string(facts.name), "cpu (" + name + ", 3 threads)");
    EXPECT_EQ(facts.threads, 3);
    EXPECT_EQ(facts.host_memory, 1);
    EXPECT_GT(facts.free_bytes, 0u);
    EXPECT_LE(facts.free_bytes, facts.total_bytes);
    cpu_backend()->close(device);
  }
}

TEST(CpuBackend, AllocatesZeroedAlignedMemoryAndSaysWhenItCannot) {
  BackendDevice* device = nullptr;
  BackendError error{};
  const BackendOptions options;
  ASSERT_EQ(cpu_backend()->open(&options, &device, &error), 0);
  void* data = nullptr;
  ASSERT_EQ(cpu_backend()->allocate(device, 1000, MemoryKind::kDevice, &data, &error), 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(static_cast<char*>(data)[i], 0);
  cpu_backend()->release(device, MemoryKind::kDevice, data, 1000);
  EXPECT_NE(cpu_backend()->allocate(device, uint64_t{1} << 60, MemoryKind::kDevice, &data, &error), 0);
  EXPECT_EQ(error.out_of_memory, 1);
  EXPECT_THAT(error.message, HasSubstr("cannot allocate"));
  cpu_backend()->close(device);
}

class VectorTest : public ::testing::TestWithParam<Isa> {
 protected:
  const VectorKernels& kernels() const { return *kernels_of(GetParam()).vector; }
};

TEST_P(VectorTest, ExpIsWithinTwoUlpAndAlikeInEveryLane) {
  std::vector<float> in;
  for (float x = -104.0f; x < 89.0f; x += 0.00713f) in.push_back(x);
  for (float x : {0.0f, -0.0f, -87.33f, -88.0f, -103.0f, 88.72f}) in.push_back(x);
  std::vector<float> out(in.size());
  kernels().exp(in.data(), out.data(), static_cast<int64_t>(in.size()));
  for (size_t i = 0; i < in.size(); ++i) {
    const double exact = std::exp(static_cast<double>(in[i]));
    const double ulp = std::max(exact * 0x1p-23, 0x1p-149);
    if (exact <= static_cast<double>(std::numeric_limits<float>::max())) {
      ASSERT_NEAR(static_cast<double>(out[i]), exact, 2 * ulp) << in[i];
    }
    float alone = 0;
    kernels().exp(&in[i], &alone, 1);
    ASSERT_EQ(alone, out[i]) << in[i];
  }
}

TEST_P(VectorTest, ExpOfTheEdges) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float in[] = {-infinity, infinity, -1e30f, 1e30f, std::nanf(""), -104.5f, 89.0f};
  float out[7];
  kernels().exp(in, out, 7);
  EXPECT_EQ(out[0], 0.0f);
  EXPECT_EQ(out[1], infinity);
  EXPECT_EQ(out[2], 0.0f);
  EXPECT_EQ(out[3], infinity);
  EXPECT_TRUE(std::isnan(out[4]));
  EXPECT_EQ(out[5], 0.0f);
  EXPECT_EQ(out[6], infinity);
}

TEST_P(VectorTest, EightBitFloatsWidenAsTheScalarCodeSays) {
  std::vector<uint8_t> codes(256 + 5);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i);
  std::vector<float> out(codes.size());
  const auto same = [](float a, float b) {
    return (std::isnan(a) && std::isnan(b)) || std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
  };
  kernels().to_f32(kElemE4M3, codes.data(), 1.0f, out.data(), static_cast<int64_t>(codes.size()));
  for (size_t i = 0; i < codes.size(); ++i) EXPECT_TRUE(same(out[i], e4m3_to_float(codes[i]))) << i;
  kernels().to_f32(kElemE5M2, codes.data(), 1.0f, out.data(), static_cast<int64_t>(codes.size()));
  for (size_t i = 0; i < codes.size(); ++i) EXPECT_TRUE(same(out[i], e5m2_to_float(codes[i]))) << i;
}

TEST_P(VectorTest, SixteenBitFloatsAsTheScalarCodeSays) {
  std::vector<uint16_t> codes(65536 + 3);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint16_t>(i);
  std::vector<float> wide(codes.size());
  std::vector<uint16_t> back(codes.size());
  const auto n = static_cast<int64_t>(codes.size());
  kernels().to_f32(kElemF16, codes.data(), 1.0f, wide.data(), n);
  for (size_t i = 0; i < codes.size(); ++i) {
    const float expected = to_float(Float16{codes[i]});
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(wide[i])) << i;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(wide[i]), std::bit_cast<uint32_t>(expected)) << i;
    }
  }
  std::mt19937 random(3);
  for (float& v : wide) v = std::bit_cast<float>(static_cast<uint32_t>(random()));
  kernels().from_f32(kElemF16, wide.data(), back.data(), n);
  for (size_t i = 0; i < wide.size(); ++i) ASSERT_EQ(back[i], float16_from_float(wide[i]).bits) << wide[i];
  kernels().from_f32(kElemBF16, wide.data(), back.data(), n);
  for (size_t i = 0; i < wide.size(); ++i) ASSERT_EQ(back[i], bfloat16_from_float(wide[i]).bits) << wide[i];
  // small ones, where halves are subnormal
  for (float& v : wide)
    v = std::ldexp(static_cast<float>(random() % 4096) - 2048.0f, -30 - static_cast<int>(random() % 8));
  kernels().from_f32(kElemF16, wide.data(), back.data(), n);
  for (size_t i = 0; i < wide.size(); ++i) ASSERT_EQ(back[i], float16_from_float(wide[i]).bits) << wide[i];
}

TEST_P(VectorTest, ArgmaxIsTheFirstOfTheLargestAndSeesANaNAnywhere) {
  std::vector<float> v(101, -3.0f);
  float largest = 0;
  for (size_t i = 0; i < v.size(); ++i) {
    std::vector<float> w = v;
    w[i] = 2.0f;
    w[100] = 2.0f;
    EXPECT_EQ(kernels().argmax(w.data(), 101, &largest), static_cast<int64_t>(i));
    EXPECT_EQ(largest, 2.0f);
    w[i] = std::nanf("");
    EXPECT_EQ(kernels().argmax(w.data(), 101, &largest), -1) << i;
  }
  v[7] = std::numeric_limits<float>::max();
  v[60] = std::numeric_limits<float>::infinity();  // counts as the largest finite number
  EXPECT_EQ(kernels().argmax(v.data(), 101, &largest), 7);
  for (float& x : v) x = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(kernels().argmax(v.data(), 101, &largest), 0);
  EXPECT_EQ(largest, -std::numeric_limits<float>::infinity());
}

INSTANTIATE_TEST_SUITE_P(Isas, VectorTest, ::testing::ValuesIn(usable_isas()),
                         [](const auto& isa) { return std::string(isa_name(isa.param)); });

TEST(CandidatesTest, FallingOrderWithTiesById) {
  std::mt19937 random(5);
  for (float unit : {1e-8f, 0.1f, 1.0f, 100.0f}) {
    std::vector<float> scores(20000);
    for (float& s : scores) s = static_cast<float>(static_cast<int>(random() % 2000)) / 37.0f - 30.0f;
    for (size_t i = 0; i < scores.size(); i += 3) scores[i] = -std::numeric_limits<float>::infinity();
    std::vector<int32_t> expected, order(scores.size());
    for (size_t i = 0; i < scores.size(); ++i)
      if (i % 3 != 0) expected.push_back(static_cast<int32_t>(i));
    std::stable_sort(expected.begin(), expected.end(), [&](int32_t a, int32_t b) {
      return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
    });
    Candidates candidates(scores.data(), 20000, *std::max_element(scores.begin(), scores.end()), unit,
                          order.data());
    ASSERT_EQ(candidates.size(), static_cast<int64_t>(expected.size()));
    for (size_t i = 0; i < expected.size(); ++i)
      ASSERT_EQ(candidates[static_cast<int64_t>(i)], expected[i]) << i;
  }
}

TEST(ReadProbeTest, ReadsAtAPlausibleSpeedAndRefusesNonsense) {
  auto probe = ReadProbe::create({.threads = 2, .mebibytes = 8});
  ASSERT_TRUE(probe.ok());
  EXPECT_EQ((*probe)->bytes(), 8 << 20);
  EXPECT_GT((*probe)->pass(), 1e7);
  EXPECT_FALSE(ReadProbe::create({.threads = 1, .mebibytes = 0}).ok());
  EXPECT_FALSE(ReadProbe::create({.threads = 100000}).ok());
}

/// v3-bf16 of the oracle: a float32 sum one unit off rounded an activation the other way, and another expert
/// than the twin's was chosen. Short sums are therefore exact before their one rounding.
TEST(CpuDot, ShortSumsOfBfloat16AreRoundedOnce) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  constexpr int64_t kOutputs = 5;  // a tile and one left over
  for (const auto [rows, k] :
       {std::pair<int64_t, int64_t>{1, 96}, {1, 90}, {18, 1}, {18, 7}, {18, 64}, {18, 90}, {35, 96}}) {
    std::vector<BFloat16> x(static_cast<size_t>(rows * k)), w(static_cast<size_t>(kOutputs * k));
    for (BFloat16& value : x) value = bfloat16_from_float(normal(random));
    for (BFloat16& value : w) value = bfloat16_from_float(normal(random));
    for (Isa isa : usable_isas()) {
      std::vector<float> out(static_cast<size_t>(rows * kOutputs));
      const DotArgs args{x.data(), k, nullptr,    w.data(), k,       rows, kOutputs,
                         k,        k, out.data(), kOutputs, nullptr, 0};
      kernels_of(isa).dot->dot[kElemBF16][kElemBF16](&args);
      for (int64_t i = 0; i < rows * kOutputs; ++i) {
        long double sum = 0;  // exact: 16-bit products of like size
        for (int64_t j = 0; j < k; ++j) {
          sum += static_cast<long double>(to_float(x[static_cast<size_t>(i / kOutputs * k + j)])) *
                 static_cast<long double>(to_float(w[static_cast<size_t>(i % kOutputs * k + j)]));
        }
        EXPECT_EQ(out[static_cast<size_t>(i)], static_cast<float>(sum))
            << isa_name(isa) << " " << k << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace hadal::cpu
