#include "device/testing/deferred_device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/api/op_names.h"

namespace hadal::testing {

// ---- memory ----

namespace {

uint64_t pages(uint64_t bytes) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return (std::max<uint64_t>(bytes, 1) + page - 1) / page * page;
}

}  // namespace

DeferredMemory::~DeferredMemory() {
  for (const auto& [data, bytes] : device_) munmap(data, bytes);
  for (const auto& [data, bytes] : pinned_) munmap(data, bytes);
}

void* DeferredMemory::allocate(uint64_t bytes, MemoryKind kind) {
  const int access = kind == MemoryKind::kDevice ? PROT_NONE : PROT_READ | PROT_WRITE;
  void* data = mmap(nullptr, pages(bytes), access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(data != MAP_FAILED);
  of(kind)[static_cast<std::byte*>(data)] = pages(bytes);
  return data;
}

void DeferredMemory::release(void* data, MemoryKind kind) {
  const auto found = of(kind).find(static_cast<std::byte*>(data));
  CHECK(found != of(kind).end());
  munmap(found->first, found->second);
  of(kind).erase(found);
}

bool DeferredMemory::holds(const void* data, MemoryKind kind) const {
  const Ranges& ranges = kind == MemoryKind::kDevice ? device_ : pinned_;
  const auto* at = static_cast<const std::byte*>(data);
  auto after = ranges.upper_bound(const_cast<std::byte*>(at));
  if (after == ranges.begin()) return false;
  --after;
  return at < after->first + after->second;
}

uint64_t DeferredMemory::device_bytes() const {
  uint64_t sum = 0;
  for (const auto& [data, bytes] : device_) sum += bytes;
  return sum;
}

void DeferredMemory::open(bool on) {
  for (const auto& [data, bytes] : device_) mprotect(data, bytes, on ? PROT_READ | PROT_WRITE : PROT_NONE);
}

// ---- the queue ----

uint64_t DeferredDevice::push(std::function<Status()> work) {
  queue_.push_back(std::move(work));
  return ++pushed_;
}

Status DeferredDevice::run_until(uint64_t mark) {
  if (done_ >= mark) return failed_;
  memory.open(true);
  while (done_ < mark) {
    const Status status = queue_.front()();
    queue_.pop_front();
    ++done_;
    if (failed_.ok()) failed_ = status;
  }
  memory.open(false);
  return failed_;
}

Status DeferredDevice::copy(void* to, const void* from, uint64_t bytes, CopyKind kind) {
  if (bytes == 0) return OkStatus();
  if (capturing != nullptr) return failed_precondition("a copy while a graph is captured");
  const bool in = kind == CopyKind::kHostToDevice, out = kind == CopyKind::kDeviceToHost;
  if (!out) must_be_device(to, "what a copy writes");
  if (!in) must_be_device(from, "what a copy reads");
  if (in && memory.holds(from, MemoryKind::kHostPinned)) {
    copy_in(to, from, bytes);
  } else if (out && memory.holds(to, MemoryKind::kHostPinned)) {
    copy_out(to, from, bytes);
  } else {
    push([=] {
      std::memmove(to, from, bytes);
      return OkStatus();
    });
    if (kind == CopyKind::kDeviceToDevice) return OkStatus();
    ++report.blocking_copies;
    return run_all();
  }
  return OkStatus();
}

void DeferredDevice::copy_in(void* to, const void* from, uint64_t bytes) {
  ++report.uploads;
  report.upload_bytes += bytes;
  const auto* source = static_cast<const std::byte*>(from);
  std::vector<std::byte> now(source, source + bytes);
  push([this, to, source, bytes, now = std::move(now)] {
    if (std::memcmp(source, now.data(), bytes) != 0)
      violate("pinned bytes were changed before their copy to the device ran");
    std::memcpy(to, source, bytes);
    spent_.push_back({const_cast<std::byte*>(source), bytes});
    return OkStatus();
  });
}

void DeferredDevice::copy_out(void* to, const void* from, uint64_t bytes) {
  ++report.downloads;
  auto* target = static_cast<std::byte*>(to);
  std::memset(target, kGarbage, bytes);
  push([this, target, from, bytes] {
    if (std::any_of(target, target + bytes, [](std::byte b) { return b != std::byte{kGarbage}; }))
      violate("pinned bytes were written before a copy from the device to them ran");
    std::memcpy(target, from, bytes);
    return OkStatus();
  });
}

void DeferredDevice::spoil_spent() {
  for (const Spent& spent : spent_) std::memset(spent.data, kGarbage, spent.bytes);
  spent_.clear();
}

void DeferredDevice::forget_spent(const void* data, uint64_t bytes) {
  const auto* first = static_cast<const std::byte*>(data);
  std::erase_if(spent_, [&](const Spent& s) { return s.data >= first && s.data < first + bytes; });
}

void DeferredDevice::must_be_device(const void* data, const char* what) {
  if (data != nullptr && !memory.holds(data, MemoryKind::kDevice))
    violate(fmt::format("{} does not lie in device memory", what));
}

// ---- ops ----

namespace {

size_t bytes_of_args(OpKind kind) {
  switch (kind) {
    case OpKind::kEmbed:
      return sizeof(EmbedArgs);
    case OpKind::kRmsNorm:
      return sizeof(RmsNormArgs);
    case OpKind::kLinear:
      return sizeof(LinearArgs);
    case OpKind::kRope:
      return sizeof(RopeArgs);
    case OpKind::kSiluMul:
      return sizeof(SiluMulArgs);
    case OpKind::kAdd:
      return sizeof(AddArgs);
    case OpKind::kConvert:
      return sizeof(ConvertArgs);
    case OpKind::kGather:
      return sizeof(GatherArgs);
    case OpKind::kWriteKvMla:
      return sizeof(WriteKvMlaArgs);
    case OpKind::kWriteKvGqa:
      return sizeof(WriteKvGqaArgs);
    case OpKind::kMlaAttention:
      return sizeof(MlaAttentionArgs);
    case OpKind::kGqaAttention:
      return sizeof(GqaAttentionArgs);
    case OpKind::kRouteExperts:
      return sizeof(RouteExpertsArgs);
    case OpKind::kMoeExperts:
      return sizeof(MoeExpertsArgs);
    case OpKind::kSample:
      return sizeof(SampleArgs);
    case OpKind::kCopyBlocks:
      return sizeof(CopyBlocksArgs);
    case OpKind::kTakeTokens:
      return sizeof(TakeTokensArgs);
    default:
      CHECK_MSG(false, "neither ref nor cpu has composites of its own");
      return 0;
  }
}

template <typename Args>
Args& as(DeferredOp& op) {
  static_assert(sizeof(Args) <= DeferredOp::kMaxArgs);
  return *reinterpret_cast<Args*>(op.args);
}
template <typename Args>
const Args& as(const DeferredOp& op) {
  return *reinterpret_cast<const Args*>(op.args);
}

/// Batch and group by value; the mirrors are copied and taken away.
template <typename Args>
void take_metadata(DeferredOp& op) {
  Args& args = as<Args>(op);
  op.batch = *args.batch;
  op.group = *args.group;
  const auto segments = static_cast<size_t>(op.batch.num_segments);
  if (const int32_t* starts = std::exchange(op.batch.host_query_start, nullptr); starts != nullptr)
    op.query_start.assign(starts, starts + segments + 1);
  if (const int32_t* lengths = std::exchange(op.batch.host_context_len, nullptr); lengths != nullptr)
    op.context_len.assign(lengths, lengths + segments);
  args.batch = &op.batch;
  args.group = &op.group;
}

}  // namespace

std::shared_ptr<DeferredOp> DeferredDevice::take(OpKind kind, const void* args) {
  auto op = std::make_shared<DeferredOp>();
  op->kind = kind;
  std::memcpy(op->args, args, bytes_of_args(kind));
  if (kind == OpKind::kMlaAttention) take_metadata<MlaAttentionArgs>(*op);
  if (kind == OpKind::kGqaAttention) take_metadata<GqaAttentionArgs>(*op);
  if (capturing != nullptr && !op->query_start.empty()) violate("host mirrors while a graph is captured");
  check_pointers(*op);
  return op;
}

void DeferredDevice::check_pointers(const DeferredOp& op) {
  const BatchMeta& batch = op.batch;
  for (const int32_t* array : {batch.token_ids, batch.positions, batch.query_start, batch.context_len,
                               batch.live_tokens, op.group.slots, op.group.block_table})
    must_be_device(array, "batch metadata");
  must_be_device(batch.form, "batch metadata");
  switch (op.kind) {
    case OpKind::kEmbed:
      must_be_device(as<EmbedArgs>(op).ids, "ids of embed");
      break;
    case OpKind::kRope:
      must_be_device(as<RopeArgs>(op).positions, "positions of rope");
      break;
    case OpKind::kGather:
      must_be_device(as<GatherArgs>(op).rows, "rows of gather");
      break;
    case OpKind::kRouteExperts:
      must_be_device(as<RouteExpertsArgs>(op).live_rows, "live_rows");
      must_be_device(as<RouteExpertsArgs>(op).expert_load, "expert_load");
      break;
    case OpKind::kSample:
      must_be_device(as<SampleArgs>(op).rows, "rows of sample");
      must_be_device(as<SampleArgs>(op).tokens, "tokens of sample");
      must_be_device(as<SampleArgs>(op).top_ids, "top ids of sample");
      break;
    case OpKind::kCopyBlocks:
      must_be_device(as<CopyBlocksArgs>(op).pairs, "pairs of copy_blocks");
      break;
    case OpKind::kTakeTokens:
      must_be_device(as<TakeTokensArgs>(op).from, "from of take_tokens");
      must_be_device(as<TakeTokensArgs>(op).sampled, "sampled of take_tokens");
      break;
    default:
      break;
  }
}

void DeferredDevice::check_mirrors(const DeferredOp& op) {
  if (!std::equal(op.query_start.begin(), op.query_start.end(), op.batch.query_start) ||
      !std::equal(op.context_len.begin(), op.context_len.end(), op.batch.context_len))
    violate("the host mirrors do not say what the device's arrays say");
}

void DeferredDevice::check_samples(const SampleArgs& args) {
  for (int64_t r = 0; r < args.logits.rows; ++r) {
    const SampleRow& row = args.rows[r];
    for (const void* ids :
         {static_cast<const void*>(row.prompt_ids), static_cast<const void*>(row.output_ids),
          static_cast<const void*>(row.pending_output), static_cast<const void*>(row.bias_ids),
          static_cast<const void*>(row.bias_values), static_cast<const void*>(row.allowed_mask)})
      must_be_device(ids, "what a row to sample points to");
  }
}

Status DeferredDevice::execute(const DeferredOp& op) {
  check_mirrors(op);
  if (op.kind == OpKind::kSample) check_samples(as<SampleArgs>(op));
  BackendError error{};
  if (inner->run(device, nullptr, op.kind, op.args, &error) == 0) return OkStatus();
  return internal_error("{}: {}", op_name(op.kind), error.message);
}

}  // namespace hadal::testing
