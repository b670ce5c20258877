#include "kernels/cuda/prepared.h"

#include <algorithm>

#include "kernels/cuda/kernels/awq_repack.h"
#include "kernels/cuda/kernels/weight_fill.h"
#include "kernels/cuda/uploader.h"

namespace hadal::cuda {
namespace {

// Small, so that arrays which are multiples of it (those of all published shapes) lie side by side without a
// gap and are one taller matrix.
constexpr uint64_t kAlignment = 16;
constexpr float kFp8DummyScale = 0.000187f;  // e4m3 values over the whole range deviate by 107
constexpr float kAwqDummyScale = 0.0043f;    // nibbles less 8 deviate by 4.6
constexpr int kAwqDummyZero = 8;

constexpr int64_t kAwqWordColumns = 8;

/// Bytes of one column's (or group's) words as AutoAWQ stores them.
uint64_t awq_word_bytes(const WeightRef& w) { return static_cast<uint64_t>(w.rows / 2); }
uint64_t aligned(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
int64_t ceil_div(int64_t value, int64_t by) { return (value + by - 1) / by; }
bool is_float(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16; }

/// Bytes of a matrix's arrays on the device.
struct Extent {
  uint64_t values = 0, scales = 0, zeros = 0, bias = 0;
};

Extent extent_of(const WeightRef& w) {
  Extent extent;
  const auto elements = static_cast<uint64_t>(w.rows * w.cols);
  switch (w.format) {
    case WeightFormat::kAbsent:
      return extent;
    case WeightFormat::kDense:
      extent.values = elements * static_cast<uint64_t>(bytes_of(w.dtype));
      break;
    case WeightFormat::kFp8Block:
      extent.values = elements;
      extent.scales = static_cast<uint64_t>(ceil_div(w.rows, w.block_rows) * ceil_div(w.cols, w.block_cols) *
                                            bytes_of(w.scale_dtype));
      break;
    case WeightFormat::kAwqGemm:
      extent.values = elements / 2;
      extent.zeros = static_cast<uint64_t>(w.rows * (w.cols / w.group));
      extent.scales = 2 * extent.zeros;
      break;
  }
  if (w.bias != nullptr) extent.bias = static_cast<uint64_t>(w.rows * bytes_of(w.bias_dtype));
  return extent;
}

Status check_weight(const WeightRef& w) {
  if (w.format == WeightFormat::kAbsent) return OkStatus();
  if (w.rows <= 0 || w.cols <= 0 || (w.data == nullptr && w.dummy_seed == 0))
    return invalid_argument("empty matrix");
  if (w.bias != nullptr && !is_float(w.bias_dtype)) return unimplemented("bias must be F32, BF16 or F16");
  const bool made_up = w.dummy_seed != 0;
  switch (w.format) {
    case WeightFormat::kDense:
      return is_float(w.dtype) ? OkStatus() : unimplemented("dense weights must be F32, BF16 or F16");
    case WeightFormat::kFp8Block:
      if (w.dtype != DType::kF8E4M3) return unimplemented("fp8 weights must be F8_E4M3");
      if (w.scale_dtype != DType::kF32 && w.scale_dtype != DType::kF8E8M0)
        return unimplemented("fp8 scales must be F32 or F8_E8M0");
      if (w.block_rows <= 0 || w.block_cols <= 0) return invalid_argument("fp8 weights without a block size");
      return w.scales != nullptr || made_up ? OkStatus() : invalid_argument("fp8 weights without scales");
    case WeightFormat::kAwqGemm:
      if ((w.scales == nullptr || w.zeros == nullptr) && !made_up)
        return invalid_argument("AWQ weights without scales or zeros");
      if (w.scale_dtype != DType::kF16) return unimplemented("AWQ scales must be F16");
      if (w.group <= 0 || w.cols % w.group != 0)
        return invalid_argument("AWQ group {} does not divide {} columns", w.group, w.cols);
      if (w.rows % 8 != 0 || w.cols % 8 != 0)
        return invalid_argument("AWQ matrices must be multiples of 8, not [{}, {}]", w.rows, w.cols);
      return OkStatus();
    default:
      return unimplemented("weight format {}", static_cast<int>(w.format));
  }
}

/// Gives each member its arrays, in order, in one block of memory.
class Filler {
 public:
  Filler(CudaDevice& device, CudaGroup& group) : device_(device), group_(group) {}

  Status fill(const WeightGroup& weights, const std::vector<int32_t>& order) {
    uint64_t bytes = kAlignment;
    for (int32_t member : order) {
      const Extent extent = extent_of(weights.members[member]);
      bytes += aligned(extent.values) + aligned(extent.scales) + aligned(extent.zeros) + aligned(extent.bias);
    }
    RETURN_IF_ERROR(
        check(cudaMalloc(&group_.memory, bytes), fmt::format("allocating {} bytes of weights", bytes)));
    group_.bytes = bytes;
    next_ = static_cast<char*>(group_.memory);
    // all values first, then all scales and so on, so that what lies side by side is one taller matrix
    for (int32_t member : order) RETURN_IF_ERROR(place_values(weights.members[member], member));
    for (int32_t member : order) RETURN_IF_ERROR(place_scales(weights.members[member], member));
    for (int32_t member : order) RETURN_IF_ERROR(place_zeros(weights.members[member], member));
    for (int32_t member : order) RETURN_IF_ERROR(place_bias(weights.members[member], member));
    return OkStatus();
  }

 private:
  char* take(uint64_t bytes) {
    char* mine = next_;
    next_ += aligned(bytes);
    return mine;
  }
  WeightRef& member(int32_t index) { return group_.members[static_cast<size_t>(index)]; }

  Status made_up(cudaError_t error, uint64_t bytes) {
    device_.uploader->count(bytes);
    return check(error, "making up weights");
  }

  /// Sends an array that is stored in `lines` lines; `repack` turns some of them into their place.
  Status repacked(const void* host, uint64_t line_bytes, int64_t lines, const AwqTarget& target,
                  cudaError_t (*repack)(const AwqTarget&, const AwqLines&, cudaStream_t)) {
    return device_.uploader->upload_lines(
        host, line_bytes, lines,
        [target, repack](const void* data, int64_t first, int64_t count, cudaStream_t stream) {
          return repack(target, {data, first, count}, stream);
        });
  }

  Status place_values(const WeightRef& from, int32_t index) {
    const uint64_t bytes = extent_of(from).values;
    if (bytes == 0) return OkStatus();
    char* to = take(bytes);
    member(index).data = to;
    const cudaStream_t stream = device_.uploader->stream();
    if (from.dummy_seed != 0) {
      if (from.format == WeightFormat::kDense)
        return made_up(fill_normal(to, from.dtype, from.rows * from.cols, from.dummy_seed, stream), bytes);
      const bool fp8 = from.format == WeightFormat::kFp8Block;
      return made_up(fill_bytes(to, static_cast<int64_t>(bytes), from.dummy_seed, fp8, stream), bytes);
    }
    if (from.format != WeightFormat::kAwqGemm) return device_.uploader->upload(to, from.data, bytes);
    // eight columns of words are what makes whole words of rows
    return repacked(from.data, kAwqWordColumns * awq_word_bytes(from), from.cols / kAwqWordColumns,
                    {to, from.rows, from.cols / kAwqWordColumns}, repack_awq_values);
  }

  Status place_scales(const WeightRef& from, int32_t index) {
    const uint64_t bytes = extent_of(from).scales;
    if (bytes == 0) return OkStatus();
    char* to = take(bytes);
    member(index).scales = to;
    if (from.dummy_seed != 0) {
      const int64_t count = static_cast<int64_t>(bytes) / bytes_of(from.scale_dtype);
      const float value = from.format == WeightFormat::kFp8Block ? kFp8DummyScale : kAwqDummyScale;
      return made_up(fill_constant(to, from.scale_dtype, count, value, device_.uploader->stream()), bytes);
    }
    if (from.format != WeightFormat::kAwqGemm) return device_.uploader->upload(to, from.scales, bytes);
    const int64_t groups = from.cols / from.group;
    return repacked(from.scales, bytes / static_cast<uint64_t>(groups), groups, {to, from.rows, groups},
                    repack_awq_scales);
  }

  Status place_zeros(const WeightRef& from, int32_t index) {
    const uint64_t bytes = extent_of(from).zeros;
    if (bytes == 0) return OkStatus();
    char* to = take(bytes);
    member(index).zeros = to;
    if (from.dummy_seed != 0)
      return made_up(cudaMemsetAsync(to, kAwqDummyZero, bytes, device_.uploader->stream()), bytes);
    const int64_t groups = from.cols / from.group;
    return repacked(from.zeros, awq_word_bytes(from), groups, {to, from.rows, groups}, repack_awq_zeros);
  }

  Status place_bias(const WeightRef& from, int32_t index) {
    const uint64_t bytes = extent_of(from).bias;
    if (bytes == 0) return OkStatus();
    char* to = take(bytes);
    member(index).bias = to;
    return device_.uploader->upload(to, from.bias, bytes);
  }

  CudaDevice& device_;
  CudaGroup& group_;
  char* next_ = nullptr;
};

/// The order in which a group's members lie in memory.
std::vector<int32_t> order_of(const WeightGroup& weights) {
  std::vector<int32_t> order;
  if (weights.kind == GroupKind::kMla) {
    order = {kMlaQ, kMlaQA, kMlaKvA, kMlaQB, kMlaKvB, kMlaO};
  } else if (weights.kind == GroupKind::kExperts) {
    for (int32_t e = 0; e < weights.count; e += kMlpMembers) {
      order.push_back(e + kMlpGate);
      order.push_back(e + kMlpUp);
    }
    for (int32_t e = 0; e < weights.count; e += kMlpMembers) order.push_back(e + kMlpDown);
  } else {
    for (int32_t i = 0; i < weights.count; ++i) order.push_back(i);
  }
  return order;
}

/// `second`'s rows follow `first`'s in every array.
bool follows(const WeightRef& first, const WeightRef& second) {
  const auto behind = [](const void* a, const void* b, uint64_t bytes) {
    return static_cast<const char*>(a) + bytes == static_cast<const char*>(b);
  };
  if (first.format == WeightFormat::kAbsent || first.format != second.format || first.dtype != second.dtype ||
      first.cols != second.cols || first.scale_dtype != second.scale_dtype || first.group != second.group ||
      first.block_rows != second.block_rows || first.block_cols != second.block_cols ||
      (first.bias == nullptr) != (second.bias == nullptr) || first.bias_dtype != second.bias_dtype) {
    return false;
  }
  if (first.format == WeightFormat::kFp8Block && first.rows % first.block_rows != 0) return false;
  const Extent extent = extent_of(first);
  return behind(first.data, second.data, extent.values) &&
         (extent.scales == 0 || behind(first.scales, second.scales, extent.scales)) &&
         (extent.zeros == 0 || behind(first.zeros, second.zeros, extent.zeros)) &&
         (extent.bias == 0 || behind(first.bias, second.bias, extent.bias));
}

WeightRef join(const std::vector<WeightRef>& members, std::initializer_list<int32_t> indices) {
  WeightRef joined = members[static_cast<size_t>(*indices.begin())];
  const WeightRef* last = &members[static_cast<size_t>(*indices.begin())];
  for (auto it = indices.begin() + 1; it != indices.end(); ++it) {
    const WeightRef& next = members[static_cast<size_t>(*it)];
    if (!follows(*last, next)) return {};
    joined.rows += next.rows;
    last = &next;
  }
  return joined;
}

int64_t distance(const void* a, const void* b) {
  return a == nullptr || b == nullptr ? 0 : static_cast<const char*>(b) - static_cast<const char*>(a);
}

/// Experts as a stride apart, where all are alike.
void describe_experts(CudaGroup& group) {
  const auto count = static_cast<int32_t>(group.members.size()) / kMlpMembers;
  const auto gate_up = [&](int32_t e) {
    return join(group.members, {e * kMlpMembers, e * kMlpMembers + kMlpUp});
  };
  const auto down = [&](int32_t e) -> const WeightRef& {
    return group.members[static_cast<size_t>(e * kMlpMembers + kMlpDown)];
  };
  ExpertWeights& experts = group.experts;
  experts.gate_up = gate_up(0);
  experts.down = down(0);
  if (experts.gate_up.format == WeightFormat::kAbsent || experts.gate_up.bias != nullptr ||
      experts.down.bias != nullptr) {
    return;
  }
  if (count > 1) {
    const WeightRef second = gate_up(1);
    experts.gate_up_stride = distance(experts.gate_up.data, second.data);
    experts.gate_up_scale_stride = distance(experts.gate_up.scales, second.scales);
    experts.gate_up_zero_stride = distance(experts.gate_up.zeros, second.zeros);
    experts.down_stride = distance(experts.down.data, down(1).data);
    experts.down_scale_stride = distance(experts.down.scales, down(1).scales);
    experts.down_zero_stride = distance(experts.down.zeros, down(1).zeros);
  }
  for (int32_t e = 0; e < count; ++e) {
    const WeightRef joined = gate_up(e);
    const WeightRef& mine = down(e);
    const bool alike = joined.format == experts.gate_up.format && joined.dtype == experts.gate_up.dtype &&
                       joined.rows == experts.gate_up.rows && joined.cols == experts.gate_up.cols &&
                       mine.format == experts.down.format && mine.dtype == experts.down.dtype &&
                       mine.rows == experts.down.rows && mine.cols == experts.down.cols &&
                       mine.bias == nullptr &&
                       distance(experts.gate_up.data, joined.data) == e * experts.gate_up_stride &&
                       distance(experts.gate_up.scales, joined.scales) == e * experts.gate_up_scale_stride &&
                       distance(experts.gate_up.zeros, joined.zeros) == e * experts.gate_up_zero_stride &&
                       distance(experts.down.data, mine.data) == e * experts.down_stride &&
                       distance(experts.down.scales, mine.scales) == e * experts.down_scale_stride &&
                       distance(experts.down.zeros, mine.zeros) == e * experts.down_zero_stride;
    if (!alike) return;
  }
  group.has_experts = true;
}

void describe(CudaGroup& group) {
  const std::vector<WeightRef>& members = group.members;
  switch (group.kind) {
    case GroupKind::kMla:
      group.fused = members[kMlaQ].format != WeightFormat::kAbsent ? join(members, {kMlaQ, kMlaKvA})
                                                                   : join(members, {kMlaQA, kMlaKvA});
      return;
    case GroupKind::kGqa:
      group.fused = join(members, {kGqaQ, kGqaK, kGqaV});
      return;
    case GroupKind::kMlp:
      group.fused = join(members, {kMlpGate, kMlpUp});
      return;
    case GroupKind::kExperts:
      return describe_experts(group);
    case GroupKind::kLinear:
      return;
  }
}

}  // namespace

CudaGroup::~CudaGroup() {
  if (memory != nullptr) cudaFree(memory);
}

StatusOr<std::unique_ptr<CudaGroup>> prepare_group(CudaDevice& device, const WeightGroup& weights) {
  auto group = std::make_unique<CudaGroup>();
  group->kind = weights.kind;
  group->compute = weights.compute;
  group->mla = weights.mla;
  for (int32_t i = 0; i < weights.count; ++i) {
    const WeightRef& member = weights.members[i];
    const Status status = check_weight(member);
    if (!status.ok()) return Status(status.code(), fmt::format("member {}: {}", i, status.message()));
    group->members.push_back(member);
    if (member.format == WeightFormat::kAbsent) continue;
    group->members.back().dummy_seed = 0;
  }
  RETURN_IF_ERROR(Filler(device, *group).fill(weights, order_of(weights)));
  describe(*group);
  return StatusOr<std::unique_ptr<CudaGroup>>(std::move(group));
}

}  // namespace hadal::cuda
