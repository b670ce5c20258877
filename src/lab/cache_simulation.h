// The prefix cache over recorded traffic, without a model: which share of a trace's blocks a cache of a given
// size would have had. It runs the server's own order of eviction (kvcache/eviction.h), so a figure here is a
// figure of that class.
//
// The rules: requests come one after the other and take no time. A hit counts only where all earlier blocks
// of the prompt hit. A prompt's blocks are held while it is looked up and filled, then released from the
// deepest to the first, the clock counting each; so of one prompt the deepest go first. What one block is
// comes from the trace's hash ids.
//
// Two bounds stand beside: a cache that never evicts, and Belady's oracle, which knows the future and evicts
// the block whose next use is farthest.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "kvcache/eviction.h"
#include "lab/traces.h"

namespace hadal {

/// The prompts of a trace as lists of blocks, ids renumbered from 0 in order of appearance.
struct BlockTrace {
  std::vector<std::vector<int32_t>> prompts;
  int64_t blocks = 0;    // of all prompts together
  int32_t distinct = 0;  // ids are below this
  int32_t longest = 0;   // blocks of the longest prompt: no smaller cache can serve it
};

struct BlockTraceOptions {
  int64_t skip = 0;        // requests left out at the beginning
  int64_t limit = 0;       // requests taken after those; 0: all
  int32_t max_blocks = 0;  // prompts are cut to so many blocks; 0: not
};

/// Fails where the trace has no hash ids.
StatusOr<BlockTrace> block_trace(const Trace& trace, const BlockTraceOptions& options = {});

struct CacheHits {
  int64_t hits = 0;
  int64_t evictions = 0;
  double share(const BlockTrace& trace) const {
    return trace.blocks == 0 ? 0.0 : static_cast<double>(hits) / static_cast<double>(trace.blocks);
  }
};

/// A cache of `capacity` blocks whose eviction order has that bonus (kvcache/eviction.h: reuse_bonus). Fails
/// where a prompt has more blocks than the cache.
StatusOr<CacheHits> simulate_cache(const BlockTrace& trace, int32_t capacity, uint64_t bonus);
StatusOr<CacheHits> simulate_oracle(const BlockTrace& trace, int32_t capacity);
/// A cache that never evicts.
CacheHits simulate_unlimited(const BlockTrace& trace);

}  // namespace hadal
