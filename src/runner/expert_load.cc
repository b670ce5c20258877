#include "runner/expert_load.h"

namespace hadal {

StatusOr<std::unique_ptr<ExpertLoadMeter>> ExpertLoadMeter::create(Device& device, ExpertCounters counters,
                                                                   int32_t slots) {
  std::unique_ptr<ExpertLoadMeter> meter(new ExpertLoadMeter(std::move(counters)));
  const ExpertCounters& mine = meter->counters_;
  if (mine.data == nullptr) return meter;
  const size_t count = mine.layers.size() * static_cast<size_t>(mine.experts);
  for (int32_t slot = 0; slot < slots; ++slot) {
    ASSIGN_OR_RETURN(Buffer host, device.allocate(count * sizeof(uint32_t), MemoryKind::kHostPinned));
    meter->host_.push_back(std::move(host));
  }
  meter->last_.resize(count);
  const MutexLock lock(meter->mutex_);
  meter->load_ = {mine.experts, mine.layers, std::vector<uint64_t>(count)};
  return meter;
}

StatusOr<bool> ExpertLoadMeter::fetch(Device& device, BackendStream* stream, int32_t slot,
                                      MonotonicTime now) {
  if (counters_.data == nullptr) return false;
  if (++steps_ < kSteps && seconds_between(fetched_, now) < kSeconds) return false;
  steps_ = 0;
  fetched_ = now;
  RETURN_IF_ERROR(device.copy(stream, host_[static_cast<size_t>(slot)].data(), counters_.data,
                              last_.size() * sizeof(uint32_t), CopyKind::kDeviceToHost));
  return true;
}

void ExpertLoadMeter::take(int32_t slot) {
  const auto* now = host_[static_cast<size_t>(slot)].as<uint32_t>();
  const MutexLock lock(mutex_);
  for (size_t i = 0; i < last_.size(); ++i) {
    load_.chosen[i] += now[i] - last_[i];  // of 32 bits: right across a wrap
    last_[i] = now[i];
  }
}

ExpertLoad ExpertLoadMeter::snapshot() const {
  const MutexLock lock(mutex_);
  return load_;
}

}  // namespace hadal
