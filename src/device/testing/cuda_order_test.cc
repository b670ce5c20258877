// Kernels of the GPU backend start while the one before them runs (kernels/cuda/kernels/launch.cuh). Layers
// of ops, each on what the one before it made and into memory that others still read, must give the bits that
// they give when each op is waited for: in a row, and replayed as a graph. Part of hadal_cuda_test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "device/device.h"
#include "kernels/testing/host_mat.h"
#include "kernels/testing/paged_batch.h"
#include "kernels/testing/weight_data.h"

namespace hadal::testing {
namespace {

constexpr int64_t kHidden = 512, kIntermediate = 128, kShared = 256;
constexpr int32_t kExperts = 64, kTopK = 6, kLayers = 12, kBlockTokens = 64, kPositions = 512;
constexpr MlaShape kShape{.heads = 8, .nope = 128, .rope = 64, .v = 128, .kv_lora = 512};

using Bytes = std::vector<uint8_t>;

/// What a run leaves behind.
struct State {
  Bytes residual, delta, cache;
  bool operator==(const State&) const = default;
};

/// A decoder's layer, ops as model/ calls them, over random weights and a batch of some segments.
class Layers {
 public:
  Layers(std::shared_ptr<Device> device, WeightSpec spec, std::vector<SegmentSpec> segments)
      : device_(std::move(device)),
        spec_(spec),
        batch_(random_, std::move(segments), kBlockTokens),
        view_(batch_.view({0, batch_.rows()})),
        cache_({DType::kBF16, DType::kBF16, 1, 1}, batch_.blocks(), kBlockTokens, kShape.kv_lora,
               kShape.rope),
        norm_(HostMat::normal(random_, DType::kF32, 1, kHidden, 1.0f)),
        table_(HostMat::normal(random_, DType::kF32, kPositions, kShape.rope, 0.7f)),
        residual_(HostMat::normal(random_, DType::kF32, batch_.rows(), kHidden, 1.0f)) {
    cache_.fill(random_);
  }

  Status prepare() {
    const int64_t q = int64_t{kShape.heads} * (kShape.nope + kShape.rope);
    std::vector<WeightData> mla = weights({{q, kHidden},
                                           {kShape.kv_lora + kShape.rope, kHidden},
                                           {int64_t{kShape.heads} * (kShape.nope + kShape.v), kShape.kv_lora},
                                           {kHidden, int64_t{kShape.heads} * kShape.v}});
    WeightRef members[kMlaMembers] = {};
    members[kMlaQ] = mla[0].ref(), members[kMlaKvA] = mla[1].ref(), members[kMlaKvB] = mla[2].ref(),
    members[kMlaO] = mla[3].ref();
    ASSIGN_OR_RETURN(mla_, device_->prepare({.kind = GroupKind::kMla,
                                             .members = members,
                                             .count = kMlaMembers,
                                             .mla = kShape,
                                             .compute = DType::kBF16}));
    std::vector<WeightData> gate, experts;
    gate.emplace_back(random_, WeightSpec{.dtype = DType::kBF16}, kExperts, kHidden, deviation(kHidden));
    ASSIGN_OR_RETURN(gate_, prepare_group(GroupKind::kLinear, gate));
    for (int32_t e = 0; e < kExperts; ++e) {
      for (WeightData& one : mlp(kIntermediate)) experts.push_back(std::move(one));
    }
    ASSIGN_OR_RETURN(experts_, prepare_group(GroupKind::kExperts, experts));
    const std::vector<WeightData> shared = mlp(kShared);
    ASSIGN_OR_RETURN(shared_, prepare_group(GroupKind::kMlp, shared));
    RETURN_IF_ERROR(device_->finish_prepare().status());
    RETURN_IF_ERROR(allocate());
    device_->set_measuring(true);
    const Status measured = run([] { return OkStatus(); });
    device_->set_measuring(false);
    RETURN_IF_ERROR(measured);
    return device_->reserve_workspace(device_->measured_workspace_bytes());
  }

  /// All layers; `between` is called behind every op.
  Status run(const std::function<Status()>& between) {
    for (int32_t layer = 0; layer < kLayers; ++layer) {
      RETURN_IF_ERROR(norm(between));
      RETURN_IF_ERROR(attention(between));
      RETURN_IF_ERROR(norm(between));
      RETURN_IF_ERROR(feed_forward(between));
    }
    return OkStatus();
  }

  /// `run_layers` from the same beginning as ever.
  StatusOr<State> from_start(const std::function<Status()>& run_layers) {
    const Bytes zeros(delta_.bytes(), 0);
    RETURN_IF_ERROR(send(residual_buffer_, residual_.data()));
    RETURN_IF_ERROR(send(cache_buffer_, cache_.bytes().data()));
    RETURN_IF_ERROR(send(delta_, zeros.data()));
    RETURN_IF_ERROR(run_layers());
    State state;
    RETURN_IF_ERROR(receive(residual_buffer_, state.residual));
    RETURN_IF_ERROR(receive(cache_buffer_, state.cache));
    RETURN_IF_ERROR(receive(delta_, state.delta));
    return state;
  }

 private:
  static float deviation(int64_t inner) { return 1 / std::sqrt(static_cast<float>(inner)); }

  std::vector<WeightData> weights(const std::vector<std::pair<int64_t, int64_t>>& shapes) {
    std::vector<WeightData> made;
    for (const auto& [out, in] : shapes) made.emplace_back(random_, spec_, out, in, deviation(in));
    return made;
  }
  std::vector<WeightData> mlp(int64_t width) {
    return weights({{width, kHidden}, {width, kHidden}, {kHidden, width}});
  }
  /// Whole when it returns: `data` need not live on.
  StatusOr<Prepared> prepare_group(GroupKind kind, const std::vector<WeightData>& data) {
    std::vector<WeightRef> members;
    for (const WeightData& one : data) members.push_back(one.ref());
    ASSIGN_OR_RETURN(Prepared prepared, device_->prepare({.kind = kind,
                                                          .members = members.data(),
                                                          .count = static_cast<int32_t>(members.size()),
                                                          .compute = DType::kBF16}));
    RETURN_IF_ERROR(device_->finish_prepare().status());
    return StatusOr<Prepared>(std::move(prepared));
  }

  Status allocate() {
    const auto rows = static_cast<uint64_t>(batch_.rows());
    const auto floats = [&](Buffer& to, int64_t cols) -> Status {
      ASSIGN_OR_RETURN(to, device_->allocate(rows * static_cast<uint64_t>(cols) * sizeof(float)));
      return OkStatus();
    };
    RETURN_IF_ERROR(floats(residual_buffer_, kHidden));
    RETURN_IF_ERROR(floats(delta_, kHidden));
    RETURN_IF_ERROR(floats(normed_, kHidden));
    RETURN_IF_ERROR(floats(q_, int64_t{kShape.heads} * (kShape.nope + kShape.rope)));
    RETURN_IF_ERROR(floats(kv_, kShape.kv_lora + kShape.rope));
    RETURN_IF_ERROR(floats(attended_, int64_t{kShape.heads} * kShape.v));
    RETURN_IF_ERROR(floats(logits_, kExperts));
    RETURN_IF_ERROR(floats(ids_, kTopK));
    RETURN_IF_ERROR(floats(choice_weights_, kTopK));
    RETURN_IF_ERROR(floats(shared_gate_, kShared));
    RETURN_IF_ERROR(floats(shared_up_, kShared));
    RETURN_IF_ERROR(floats(shared_hidden_, kShared));
    ASSIGN_OR_RETURN(cache_buffer_, device_->allocate(cache_.bytes().size()));
    return OkStatus();
  }
  Status send(const Buffer& to, const void* from) {
    return device_->copy(nullptr, to.data(), from, to.bytes(), CopyKind::kHostToDevice);
  }
  Status receive(const Buffer& from, Bytes& to) {
    to.resize(from.bytes());
    RETURN_IF_ERROR(device_->copy(nullptr, to.data(), from.data(), from.bytes(), CopyKind::kDeviceToHost));
    return device_->wait(nullptr);
  }

  Mat floats(const Buffer& buffer, int64_t cols) const {
    return buffer.mat(DType::kF32, batch_.rows(), cols);
  }
  Mat bfloats(const Buffer& buffer, int64_t cols) const {
    return buffer.mat(DType::kBF16, batch_.rows(), cols);
  }
  CacheLayer cache() const {
    CacheLayer layer = cache_.layer();
    layer.base = cache_buffer_.data();
    return layer;
  }

  Status norm(const std::function<Status()>& between) {
    RETURN_IF_ERROR(device_->run(nullptr, OpKind::kRmsNorm,
                                 RmsNormArgs{.x = floats(delta_, kHidden),
                                             .residual = floats(residual_buffer_, kHidden),
                                             .weight = norm_.data(),
                                             .weight_dtype = DType::kF32,
                                             .eps = 1e-6f,
                                             .out = bfloats(normed_, kHidden)}));
    return between();
  }

  Status attention(const std::function<Status()>& between) {
    const Mat q = floats(q_, int64_t{kShape.heads} * (kShape.nope + kShape.rope));
    const Mat attended = bfloats(attended_, int64_t{kShape.heads} * kShape.v);
    RETURN_IF_ERROR(device_->run(nullptr, OpKind::kMlaPrologue,
                                 MlaPrologueArgs{.x = bfloats(normed_, kHidden),
                                                 .mla = mla_.group(),
                                                 .shape = kShape,
                                                 .kv_a_norm = norm_.data(),
                                                 .norm_dtype = DType::kF32,
                                                 .norm_eps = 1e-6f,
                                                 .rope_layout = RopeLayout::kInterleaved,
                                                 .positions = view_->batch.positions,
                                                 .rope_table = static_cast<const float*>(table_.data()),
                                                 .cache = cache(),
                                                 .slots = view_->group.slots,
                                                 .q = q,
                                                 .kv = floats(kv_, kShape.kv_lora + kShape.rope)}));
    RETURN_IF_ERROR(between());
    RETURN_IF_ERROR(device_->run(nullptr, OpKind::kMlaAttention,
                                 MlaAttentionArgs{.q = q,
                                                  .kv_b = mla_.member(kMlaKvB),
                                                  .shape = kShape,
                                                  .cache = cache(),
                                                  .batch = &view_->batch,
                                                  .group = &view_->group,
                                                  .scale = deviation(kShape.nope + kShape.rope),
                                                  .out = attended}));
    RETURN_IF_ERROR(between());
    RETURN_IF_ERROR(device_->run(
        nullptr, OpKind::kLinear,
        LinearArgs{.x = attended, .weight = mla_.member(kMlaO), .out = floats(delta_, kHidden)}));
    return between();
  }

  /// The experts, and the shared ones once more as a dense MLP on top.
  Status feed_forward(const std::function<Status()>& between) {
    const Mat x = bfloats(normed_, kHidden), out = floats(delta_, kHidden);
    const Mat gate = floats(shared_gate_, kShared), up = floats(shared_up_, kShared),
              hidden = bfloats(shared_hidden_, kShared);
    RETURN_IF_ERROR(
        device_->run(nullptr, OpKind::kMoeBlock,
                     MoeBlockArgs{.x = x,
                                  .gate = gate_.member(0),
                                  .route = {.logits = floats(logits_, kExperts),
                                            .scoring = ScoringFunc::kSoftmax,
                                            .method = TopkMethod::kGreedy,
                                            .top_k = kTopK,
                                            .n_group = 1,
                                            .topk_group = 1,
                                            .norm_topk_prob = 1,
                                            .routed_scaling_factor = 1.5f,
                                            .ids = ids_.as<int32_t>(),
                                            .weights = choice_weights_.as<float>()},
                                  .experts = {.experts = experts_.group(),
                                              .num_experts = kExperts,
                                              .intermediate = static_cast<int32_t>(kIntermediate)},
                                  .shared = shared_.group(),
                                  .shared_gate = gate,
                                  .shared_up = up,
                                  .shared_hidden = hidden,
                                  .out = out}));
    RETURN_IF_ERROR(between());
    RETURN_IF_ERROR(device_->run(nullptr, OpKind::kMlp,
                                 MlpArgs{.x = x,
                                         .mlp = shared_.group(),
                                         .gate = gate,
                                         .up = up,
                                         .hidden = hidden,
                                         .out = out,
                                         .accumulate = 1}));
    return between();
  }

  std::shared_ptr<Device> device_;
  WeightSpec spec_;
  Random random_{31};
  PagedBatch batch_;
  std::unique_ptr<BatchView> view_;
  CacheData cache_;
  HostMat norm_, table_, residual_;
  Prepared mla_, gate_, experts_, shared_;
  Buffer residual_buffer_, delta_, normed_, q_, kv_, attended_, logits_, ids_, choice_weights_, shared_gate_,
      shared_up_, shared_hidden_, cache_buffer_;
};

std::vector<SegmentSpec> decoding(int64_t rows) {
  std::vector<SegmentSpec> segments;
  for (int64_t r = 0; r < rows; ++r) segments.push_back({1, 130 + r % 7 * 41, TokenForm::kOutput});
  return segments;
}

/// Three times in a row, and as a graph where there are only generated tokens.
void expect_order(WeightSpec spec, const std::vector<SegmentSpec>& segments) {
  auto device = Device::open("cuda");
  ASSERT_TRUE(device.ok()) << message_of(device.status());
  Layers layers(*device, spec, segments);
  const Status prepared = layers.prepare();
  ASSERT_TRUE(prepared.ok()) << message_of(prepared);
  const auto waiting = [&] { return layers.run([&] { return (*device)->wait(nullptr); }); };
  const auto in_a_row = [&] { return layers.run([] { return OkStatus(); }); };
  const StatusOr<State> expected = layers.from_start(waiting);
  ASSERT_TRUE(expected.ok()) << message_of(expected.status());
  float first = NAN;
  std::memcpy(&first, expected->residual.data(), sizeof(first));
  EXPECT_TRUE(std::isfinite(first));
  for (int i = 0; i < 3; ++i) {
    const StatusOr<State> got = layers.from_start(in_a_row);
    ASSERT_TRUE(got.ok()) << message_of(got.status());
    EXPECT_TRUE(*got == *expected) << "in a row, " << i;
  }
  if (segments.back().form != TokenForm::kOutput) return;
  const StatusOr<Graph> graph = (*device)->capture(nullptr, in_a_row);
  ASSERT_TRUE(graph.ok()) << message_of(graph.status());
  for (int i = 0; i < 3; ++i) {
    const StatusOr<State> got = layers.from_start([&] { return (*device)->replay(nullptr, *graph); });
    ASSERT_TRUE(got.ok()) << message_of(got.status());
    EXPECT_TRUE(*got == *expected) << "a graph, " << i;
  }
}

class CudaOrder : public ::testing::TestWithParam<int64_t> {};

TEST_P(CudaOrder, LayersInARowGiveTheBitsOfOpsThatAreWaitedFor) {
  expect_order({.dtype = DType::kBF16}, decoding(GetParam()));
}
TEST_P(CudaOrder, LayersOfFp8WeightsDoToo) {
  expect_order({.format = WeightFormat::kFp8Block}, decoding(GetParam()));
}
INSTANTIATE_TEST_SUITE_P(Rows, CudaOrder, ::testing::Values(1, 3, 16, 40, 300));

TEST(CudaOrderOfPrompts, LayersInARowGiveTheBitsOfOpsThatAreWaitedFor) {
  expect_order({.dtype = DType::kBF16},
               {{1, 200, TokenForm::kOutput}, {70, 150, TokenForm::kPrompt}, {33, 33, TokenForm::kPrompt}});
}

/// Copies between pinned memory and the device go several at a time (kernels/cuda/copy_queue.h). Lengths of
/// all kinds, to places that overlap, with ops between: what is there in the end is what one after the other
/// gives.
TEST(CudaOrderOfCopies, ManySmallCopiesArriveAsOneAfterTheOther) {
  auto device = Device::open("cuda");
  ASSERT_TRUE(device.ok()) << message_of(device.status());
  constexpr uint64_t kBytes = 1 << 16;
  Random random(7);
  const Buffer there = *(*device)->allocate(kBytes), doubled = *(*device)->allocate(kBytes);
  const Buffer from = *(*device)->allocate(kBytes, MemoryKind::kHostPinned);
  const Buffer back = *(*device)->allocate(kBytes, MemoryKind::kHostPinned);
  constexpr size_t kCount = kBytes / sizeof(float);
  const auto at_random = [&](size_t below) { return static_cast<size_t>(random.below(below)); };
  for (int round = 0; round < 20; ++round) {
    std::vector<float> expected(kCount, 0.0f), twice(kCount, 0.0f);
    for (size_t i = 0; i < kCount; ++i) from.as<float>()[i] = static_cast<float>(at_random(1000));
    std::memset(back.data(), 0, kBytes);
    ASSERT_TRUE((*device)->copy(nullptr, there.data(), back.data(), kBytes, CopyKind::kHostToDevice).ok());
    const auto whole = [&](const Buffer& buffer) {
      return buffer.mat(DType::kF32, 1, static_cast<int64_t>(kCount));
    };
    for (int i = 0; i < 60; ++i) {
      const size_t count = 1 + at_random(i % 3 == 0 ? 5000 : 40), to = at_random(kCount - count + 1),
                   source = at_random(kCount - count + 1);
      ASSERT_TRUE((*device)
                      ->copy(nullptr, there.as<float>() + to, from.as<float>() + source,
                             count * sizeof(float), CopyKind::kHostToDevice)
                      .ok());
      std::memcpy(expected.data() + to, from.as<float>() + source, count * sizeof(float));
      if (i % 17 != 16) continue;
      ASSERT_TRUE(
          (*device)->run(nullptr, OpKind::kAdd, AddArgs{whole(there), whole(there), whole(doubled)}).ok());
      for (size_t k = 0; k < kCount; ++k) twice[k] = 2 * expected[k];
    }
    for (const auto& [what, values] : {std::pair(&there, &expected), std::pair(&doubled, &twice)}) {
      for (size_t at = 0; at < kCount;) {
        const size_t count = std::min(kCount - at, 1 + at_random(3000));
        ASSERT_TRUE((*device)
                        ->copy(nullptr, back.as<float>() + at, what->as<float>() + at, count * sizeof(float),
                               CopyKind::kDeviceToHost)
                        .ok());
        at += count;
      }
      ASSERT_TRUE((*device)->wait(nullptr).ok());
      ASSERT_EQ(std::memcmp(back.data(), values->data(), kBytes), 0) << "round " << round;
    }
  }
}

}  // namespace
}  // namespace hadal::testing
