// The two halves of a decoder layer. Attention is replaceable: a kind declares its cache group (model.h) and
// turns normalised hidden states into a delta for the residual stream; so does a feed-forward kind. The
// decoder (model/decoder.h) knows only these interfaces; a new kind (sparse indexer, compressed attention) is
// a new file here.
#pragma once

#include "base/status.h"
#include "comm/communicator.h"
#include "device/device.h"
#include "model/model.h"
#include "model/scratch.h"

namespace hadal {

/// What a layer needs to run one step.
struct LayerContext {
  Device& device;
  BackendStream* stream;
  const BatchMeta* batch;
  const GroupMeta* groups;  // one per cache group
  const Scratch& scratch;
  DType compute;
  int64_t tokens;

  Mat normed(int64_t hidden) const { return scratch.mat(Slot::kNormed, compute, tokens, hidden); }
  Mat delta(int64_t hidden) const { return scratch.mat(Slot::kDelta, DType::kF32, tokens, hidden); }
};

class AttentionLayer {
 public:
  virtual ~AttentionLayer() = default;
  /// Index into the model's cache groups.
  virtual int32_t cache_group() const = 0;
  virtual void bind_cache(const CacheLayer& cache) = 0;
  /// Reads Slot::kNormed, writes Slot::kDelta (this rank's part; the decoder reduces over ranks).
  virtual Status forward(const LayerContext& context) = 0;
};

class FeedForward {
 public:
  virtual ~FeedForward() = default;
  /// Reads Slot::kNormed, writes Slot::kDelta.
  virtual Status forward(const LayerContext& context) = 0;
  /// Routed experts: 0 in a dense one.
  virtual int32_t experts() const { return 0; }
  /// Where to count how often each was chosen: [experts()] in device memory.
  virtual void bind_expert_load(uint32_t* counters) {}
};

}  // namespace hadal
