#include "runner/expert_load.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace hadal {

StatusOr<std::unique_ptr<ExpertLoadMeter>> ExpertLoadMeter::create(Device& device, ExpertCounters counters,
                                                                   int32_t slots) {
  std::unique_ptr<ExpertLoadMeter> meter(new ExpertLoadMeter(std::move(counters)));
  const ExpertCounters& mine = meter->counters_;
  if (mine.data == nullptr) return meter;
  const size_t layers = mine.layers.size(), count = layers * static_cast<size_t>(mine.experts);
  for (int32_t slot = 0; slot < slots; ++slot) {
    ASSIGN_OR_RETURN(Buffer host, device.allocate(count * sizeof(uint32_t), MemoryKind::kHostPinned));
    meter->host_.push_back(std::move(host));
  }
  meter->fetches_.resize(static_cast<size_t>(slots));
  meter->last_.resize(count);
  RETURN_IF_ERROR(device.copy(nullptr, meter->last_.data(), mine.data, count * sizeof(uint32_t),
                              CopyKind::kDeviceToHost));
  meter->recent_.resize(count);
  const MutexLock lock(meter->mutex_);
  meter->load_ = {.experts = mine.experts,
                  .layers = mine.layers,
                  .chosen = std::vector<uint64_t>(count),
                  .active = std::vector<uint64_t>(layers),
                  .imbalance = std::vector<double>(layers)};
  return meter;
}

StatusOr<bool> ExpertLoadMeter::fetch(Device& device, BackendStream* stream, int32_t slot,
                                      MonotonicTime now) {
  if (counters_.data == nullptr) return false;
  ++steps_;
  const bool period = steps_ >= kSteps || seconds_between(fetched_, now) >= kSeconds;
  if (!period && !pair_is_due_) return false;
  RETURN_IF_ERROR(device.copy(stream, host_[static_cast<size_t>(slot)].data(), counters_.data,
                              last_.size() * sizeof(uint32_t), CopyKind::kDeviceToHost));
  fetches_[static_cast<size_t>(slot)] = {++fetched_count_, std::exchange(steps_, 0), pair_is_due_};
  pair_is_due_ = !pair_is_due_;
  fetched_ = now;
  return true;
}

void ExpertLoadMeter::take(int32_t slot) {
  const auto* now = host_[static_cast<size_t>(slot)].as<uint32_t>();
  Fetch& fetch = fetches_[static_cast<size_t>(slot)];
  fetch.single = fetch.single && fetch.number == taken_ + 1;
  taken_ = fetch.number;
  const MutexLock lock(mutex_);
  if (fetch.single) ++load_.sampled_steps;
  for (size_t layer = 0; layer < load_.layers.size(); ++layer) add_layer(layer, now, fetch);
}

void ExpertLoadMeter::add_layer(size_t layer, const uint32_t* now, const Fetch& fetch) {
  const double keep = std::exp2(-fetch.steps / kHalfLife);
  const auto experts = static_cast<size_t>(load_.experts);
  uint64_t active = 0;
  double most = 0, sum = 0;
  for (size_t i = layer * experts; i < (layer + 1) * experts; ++i) {
    const uint32_t chosen = now[i] - last_[i];  // of 32 bits: right across a wrap
    last_[i] = now[i];
    load_.chosen[i] += chosen;
    active += chosen > 0 ? 1 : 0;
    recent_[i] = recent_[i] * keep + chosen;
    most = std::max(most, recent_[i]);
    sum += recent_[i];
  }
  if (fetch.single) load_.active[layer] += active;
  load_.imbalance[layer] = sum > 0 ? most * static_cast<double>(experts) / sum : 0;
}

ExpertLoad ExpertLoadMeter::snapshot() const {
  const MutexLock lock(mutex_);
  return load_;
}

}  // namespace hadal
