// One choice of a request while it is being made: its tokens, its blocks, how far it has been computed.
//
// Threads: the engine's. Ownership: requests own their sequences; the lists of the scheduler point to them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/scheduler.h"
#include "kvcache/kv_cache.h"
#include "runner/step_plan.h"

namespace hadal {

enum class SequenceState : uint8_t {
  kUnborn,   // a further choice whose prompt is still being computed by the first one
  kWaiting,  // holds no blocks
  kRunning,
  kFinished,  // holds no blocks
};

struct Sequence {
  SequenceId id = 0;
  Order order;
  SequenceState state = SequenceState::kWaiting;
  std::shared_ptr<const std::vector<int32_t>> prompt;
  std::vector<int32_t> output;
  int32_t computed = 0;  // tokens in the cache
  int32_t places = 1;    // choices that come of it once the prompt is done
  SequenceBlocks blocks;
  std::shared_ptr<const SamplingParams> sampling;
  int32_t min_tokens = 0;
  std::vector<int32_t> stop_ids;     // forbidden until min_tokens are made
  bool wants_prompt_logits = false;  // until the prompt is done
  std::vector<Sequence*> choices;    // the unborn ones, while places > 1

  int32_t prompt_size() const { return static_cast<int32_t>(prompt->size()); }
  int32_t known() const { return prompt_size() + static_cast<int32_t>(output.size()); }
};

/// Running and waiting sequences, each list in rising order.
class SequenceLists {
 public:
  const std::vector<Sequence*>& running() const { return running_; }
  const std::vector<Sequence*>& waiting() const { return waiting_; }

  void run(Sequence* sequence) { move(sequence, SequenceState::kRunning); }
  void wait(Sequence* sequence) { move(sequence, SequenceState::kWaiting); }
  void finish(Sequence* sequence) { move(sequence, SequenceState::kFinished); }

 private:
  static bool before(const Sequence* a, const Sequence* b) { return a->order < b->order; }
  static void insert(std::vector<Sequence*>& list, Sequence* sequence) {
    list.insert(std::upper_bound(list.begin(), list.end(), sequence, before), sequence);
  }
  static void erase(std::vector<Sequence*>& list, Sequence* sequence) {
    const auto found = std::lower_bound(list.begin(), list.end(), sequence, before);
    if (found != list.end() && *found == sequence) list.erase(found);
  }
  void move(Sequence* sequence, SequenceState to) {
    if (sequence->state == SequenceState::kRunning) erase(running_, sequence);
    if (sequence->state == SequenceState::kWaiting) erase(waiting_, sequence);
    sequence->state = to;
    if (to == SequenceState::kRunning) insert(running_, sequence);
    if (to == SequenceState::kWaiting) insert(waiting_, sequence);
  }

  std::vector<Sequence*> running_;
  std::vector<Sequence*> waiting_;
};

}  // namespace hadal
