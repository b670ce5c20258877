#include "device/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "device/lowering.h"

namespace hadal {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::shared_ptr<Device> open_ok(std::string_view name) {
  auto device = Device::open(name);
  EXPECT_TRUE(device.ok()) << device.status();
  return device.ok() ? *device : nullptr;
}

std::string open_error(std::string_view name) {
  auto device = Device::open(name);
  EXPECT_FALSE(device.ok()) << name;
  return device.ok() ? "" : std::string(message_of(device.status()));
}

WeightRef dense(const std::vector<float>& values, int64_t rows, int64_t cols) {
  return {.format = WeightFormat::kDense,
          .dtype = DType::kF32,
          .rows = rows,
          .cols = cols,
          .data = values.data()};
}

Mat matrix(std::vector<float>& values, int64_t rows, int64_t cols) {
  return {values.data(), rows, cols, cols, DType::kF32};
}

TEST(Device, TheLinkedInBackendsOpen) {
  for (const char* name : {"ref", "cpu"}) {
    auto device = open_ok(name);
    EXPECT_EQ(device->backend_name(), name);
    EXPECT_EQ(device->facts().host_memory, 1);
    EXPECT_GE(device->facts().threads, 1);
    EXPECT_GT(device->facts().total_bytes, 0u);
  }
}

TEST(Device, UnknownIsaIsRefused) {
  auto device = Device::open("cpu", {.isa = "z80"});
  ASSERT_FALSE(device.ok());
  EXPECT_THAT(std::string(message_of(device.status())), HasSubstr("z80"));
}

TEST(Device, OpenNamesWhatIsMissing) {
  EXPECT_THAT(open_error("nosuch"), HasSubstr("libhadal_nosuch.so"));
  EXPECT_THAT(open_error(""), HasSubstr("not a backend's name"));
  EXPECT_THAT(open_error("../evil"), HasSubstr("not a backend's name"));
}

// Backends are reached through the C interface alone: the module below is a real shared object.
TEST(Device, ModuleRunsAnOp) {
  auto device = open_ok("forwarding");
  EXPECT_EQ(device->backend_name(), "forwarding");
  std::vector<float> a = {1, 2, 3}, b = {10, 20, 30}, out(3);
  const auto status =
      device->run(nullptr, OpKind::kAdd, AddArgs{matrix(a, 1, 3), matrix(b, 1, 3), matrix(out, 1, 3)});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(out, ElementsAre(11, 22, 33));
  EXPECT_THAT(device->kernels_used(), ElementsAre("ref.add"));
  device->reset_kernels_used();
  EXPECT_TRUE(device->kernels_used().empty());
}

TEST(Device, ModuleWithWrongTableIsRefused) {
  EXPECT_THAT(open_error("badabi"), HasSubstr("backend interface 4, this program speaks 3"));
  EXPECT_THAT(open_error("badsize"), HasSubstr("backend table has"));
  EXPECT_THAT(open_error("noentry"), HasSubstr("lacks hadal_backend_v1"));
  EXPECT_THAT(open_error("notable"), HasSubstr("gave no backend"));
}

TEST(Device, BufferIsZeroedAlignedAndOutlivesTheHandle) {
  Buffer buffer;
  {
    auto device = open_ok("ref");
    auto allocated = device->allocate(1000);
    ASSERT_TRUE(allocated.ok());
    buffer = std::move(*allocated);
  }  // the buffer keeps the device
  EXPECT_EQ(buffer.bytes(), 1000u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
  EXPECT_THAT(std::vector<uint8_t>(buffer.as<uint8_t>(), buffer.as<uint8_t>() + 1000), Each(0));
  buffer = Buffer();
  EXPECT_EQ(buffer.data(), nullptr);
}

TEST(Device, TooMuchMemoryIsResourceExhausted) {
  auto device = open_ok("ref");
  EXPECT_EQ(device->allocate(uint64_t{1} << 62).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(Device, CopyMovesBytes) {
  auto device = open_ok("ref");
  const std::vector<float> from = {1, 2, 3};
  auto buffer = device->allocate(12);
  ASSERT_TRUE(buffer.ok());
  ASSERT_TRUE(device->copy(nullptr, buffer->data(), from.data(), 12, CopyKind::kHostToDevice).ok());
  EXPECT_EQ(std::memcmp(buffer->data(), from.data(), 12), 0);
  EXPECT_TRUE(device->wait(nullptr).ok());
}

TEST(Device, PreparingBadWeightsSaysWhy) {
  auto device = open_ok("ref");
  const std::vector<float> values(12);
  WeightRef weight = dense(values, 3, 4);
  weight.format = WeightFormat::kAwqGemm;
  weight.scales = weight.zeros = values.data();
  weight.scale_dtype = DType::kF16;
  weight.group = 3;
  auto prepared = device->prepare({.members = &weight, .count = 1});
  ASSERT_FALSE(prepared.ok());
  EXPECT_THAT(std::string(message_of(prepared.status())),
              HasSubstr("member 0: AWQ group 3 does not divide 4"));
}

class LinearOnDevice : public ::testing::Test {
 protected:
  LinearOnDevice() {
    const WeightRef weight = dense(weights_, 2, 3);
    auto prepared = device_->prepare({.members = &weight, .count = 1});
    EXPECT_TRUE(prepared.ok());
    prepared_ = std::move(*prepared);
  }
  Status run() {
    return device_->run(
        nullptr, OpKind::kLinear,
        LinearArgs{.x = matrix(x_, 1, 3), .weight = prepared_.member(0), .out = matrix(out_, 1, 2)});
  }
  std::shared_ptr<Device> device_ = open_ok("ref");
  std::vector<float> weights_ = {1, 2, 3, 4, 5, 6}, x_ = {1, 1, 2}, out_ = {0, 0};
  Prepared prepared_;
};

TEST_F(LinearOnDevice, NeedsReservedWorkspace) {
  const Status status = run();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(message_of(status)), HasSubstr("linear needs"));
}

TEST_F(LinearOnDevice, MeasuringRunsNothingAndThenFits) {
  device_->set_measuring(true);
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(out_, ElementsAre(0, 0));
  device_->set_measuring(false);
  ASSERT_GT(device_->measured_workspace_bytes(), 0u);
  ASSERT_TRUE(device_->reserve_workspace(device_->measured_workspace_bytes()).ok());
  ASSERT_TRUE(run().ok());
  EXPECT_THAT(out_, ElementsAre(9, 21));
}

TEST_F(LinearOnDevice, WrongShapeIsAnErrorThatNamesIt) {
  ASSERT_TRUE(device_->reserve_workspace(1 << 16).ok());
  const Status status = device_->run(
      nullptr, OpKind::kLinear,
      LinearArgs{.x = matrix(x_, 3, 1), .weight = prepared_.member(0), .out = matrix(out_, 1, 2)});
  EXPECT_THAT(std::string(message_of(status)), HasSubstr("x [3, 1] times weight [2, 3]"));
}

double silu(double v) { return v / (1 + std::exp(-v)); }

/// Both linked-in backends leave composites to the lowering.
class Lowering : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Backends, Lowering, ::testing::Values("ref", "cpu"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(Lowering, MlpByHand) {
  auto device = open_ok(GetParam());
  ASSERT_TRUE(device->reserve_workspace(1 << 16).ok());
  const std::vector<float> gate_w = {1, 0, 0, 1}, up_w = {2, 0, 0, 3}, down_w = {1, 1};
  const WeightRef members[] = {dense(gate_w, 2, 2), dense(up_w, 2, 2), dense(down_w, 1, 2)};
  auto mlp = device->prepare({.kind = GroupKind::kMlp, .members = members, .count = 3});
  ASSERT_TRUE(mlp.ok());
  std::vector<float> x = {1, -2}, gate(2), up(2), hidden(2), out = {100};
  MlpArgs args{.x = matrix(x, 1, 2),
               .mlp = mlp->group(),
               .gate = matrix(gate, 1, 2),
               .up = matrix(up, 1, 2),
               .hidden = matrix(hidden, 1, 2),
               .out = matrix(out, 1, 1),
               .accumulate = 1};
  ASSERT_TRUE(device->run(nullptr, OpKind::kMlp, args).ok());
  EXPECT_NEAR(out[0], 100 + silu(1) * 2 + silu(-2) * -6, 1e-5);
  args.accumulate = 0;
  ASSERT_TRUE(device->run(nullptr, OpKind::kMlp, args).ok());
  EXPECT_NEAR(out[0], silu(1) * 2 + silu(-2) * -6, 1e-6);
}

TEST_P(Lowering, MoeBlockAddsRoutedAndSharedExperts) {
  auto device = open_ok(GetParam());
  ASSERT_TRUE(device->reserve_workspace(1 << 16).ok());
  // Two experts on one value: gate 1, up e + 1, down 1. The router prefers expert 1.
  const std::vector<float> router_w = {0, 2}, one = {1}, two = {2}, ten = {10};
  const WeightRef router = dense(router_w, 2, 1);
  const WeightRef experts[] = {dense(one, 1, 1), dense(one, 1, 1), dense(one, 1, 1),
                               dense(one, 1, 1), dense(two, 1, 1), dense(one, 1, 1)};
  const WeightRef shared[] = {dense(one, 1, 1), dense(ten, 1, 1), dense(one, 1, 1)};
  auto gate_group = device->prepare({.members = &router, .count = 1});
  auto expert_group = device->prepare({.kind = GroupKind::kExperts, .members = experts, .count = 6});
  auto shared_group = device->prepare({.kind = GroupKind::kMlp, .members = shared, .count = 3});
  ASSERT_TRUE(gate_group.ok() && expert_group.ok() && shared_group.ok());
  std::vector<float> x = {1}, logits(2), weights(1), gate(1), up(1), hidden(1), out(1);
  std::vector<int32_t> ids(1);
  const MoeBlockArgs args{.x = matrix(x, 1, 1),
                          .gate = gate_group->member(0),
                          .route = {.logits = matrix(logits, 1, 2),
                                    .top_k = 1,
                                    .routed_scaling_factor = 1.0f,
                                    .ids = ids.data(),
                                    .weights = weights.data()},
                          .experts = {.experts = expert_group->group(), .num_experts = 2, .intermediate = 1},
                          .shared = shared_group->group(),
                          .shared_gate = matrix(gate, 1, 1),
                          .shared_up = matrix(up, 1, 1),
                          .shared_hidden = matrix(hidden, 1, 1),
                          .out = matrix(out, 1, 1)};
  const Status status = device->run(nullptr, OpKind::kMoeBlock, args);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(ids, ElementsAre(1));
  const double p = 1 / (1 + std::exp(-2.0));
  EXPECT_NEAR(out[0], p * silu(1) * 2 + silu(1) * 10, 1e-5);
}

TEST_P(Lowering, MlaPrologueRotatesNormalisesAndWrites) {
  auto device = open_ok(GetParam());
  ASSERT_TRUE(device->reserve_workspace(1 << 16).ok());
  // hidden 2, one head: nope 1, rope 2, latent 2; the position's angle is 90 degrees.
  const std::vector<float> q_w = {1, 0, 0, 1, 1, 1}, kv_w = {3, 0, 0, 4, 1, 0, 0, 1}, norm = {1, 1};
  WeightRef members[kMlaMembers] = {};
  members[kMlaQ] = dense(q_w, 3, 2);
  members[kMlaKvA] = dense(kv_w, 4, 2);
  auto mla = device->prepare({.kind = GroupKind::kMla, .members = members, .count = kMlaMembers});
  ASSERT_TRUE(mla.ok());
  std::vector<float> x = {1, 1}, q(3), kv(4), cache(2 * 4), table = {1, 0, 0, 1};  // [position][cos, sin]
  const std::vector<int32_t> positions = {1}, slots = {1};
  const MlaPrologueArgs args{
      .x = matrix(x, 1, 2),
      .mla = mla->group(),
      .shape = {.heads = 1, .nope = 1, .rope = 2, .v = 1, .kv_lora = 2},
      .kv_a_norm = norm.data(),
      .norm_dtype = DType::kF32,
      .norm_eps = 0,
      .rope_layout = RopeLayout::kInterleaved,
      .positions = positions.data(),
      .rope_table = table.data(),
      .cache = {.base = cache.data(), .block_stride = 16, .token_bytes = 16, .block_tokens = 1},
      .slots = slots.data(),
      .q = matrix(q, 1, 3),
      .kv = matrix(kv, 1, 4)};
  const Status status = device->run(nullptr, OpKind::kMlaPrologue, args);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(q, ElementsAre(1, -2, 1));  // (1, 2) turned by 90 degrees
  const float rms = std::sqrt(12.5f);
  EXPECT_NEAR(cache[4], 3 / rms, 1e-6);
  EXPECT_NEAR(cache[5], 4 / rms, 1e-6);
  EXPECT_THAT((std::vector<float>{cache[6], cache[7]}), ElementsAre(-1, 1));
}

TEST_P(Lowering, AllReduceNormOfOneRankIsTheNorm) {
  auto device = open_ok(GetParam());
  std::vector<float> x = {3, 4}, weight = {1, 2}, out(2);
  AllReduceNormArgs args{.norm = {.x = matrix(x, 1, 2), .weight = weight.data(), .out = matrix(out, 1, 2)}};
  ASSERT_TRUE(device->run(nullptr, OpKind::kAllReduceNorm, args).ok());
  EXPECT_NEAR(out[0], 3 / std::sqrt(12.5), 1e-6);
  EXPECT_NEAR(out[1], 8 / std::sqrt(12.5), 1e-6);
  args.communicator = &args;
  EXPECT_EQ(device->run(nullptr, OpKind::kAllReduceNorm, args).code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace hadal
