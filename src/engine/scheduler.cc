#include "engine/scheduler.h"

#include <limits>
#include <map>
#include <utility>

#include "kvcache/kv_cache.h"

namespace hadal {
namespace {

/// Free blocks and reference counts of one group as they will be while the plan is being committed.
class GroupLedger {
 public:
  explicit GroupLedger(const GroupView& view) : view_(view), free_(view.free) {}

  const CacheGroupSpec& spec() const { return *view_.spec; }
  int32_t free() const { return free_; }

  int32_t refs(BlockId block) const {
    if (block == kNullBlock) return 0;
    const int32_t now = (*view_.refs)[static_cast<size_t>(block)];
    if (dropped_.empty()) return now;
    const auto found = dropped_.find(block);
    return found == dropped_.end() ? now : now - found->second;
  }

  int32_t to_take(const std::vector<BlockId>& table, int32_t from, int32_t to) const {
    return blocks_to_take(table, spec().block_tokens, from, to,
                          [this](BlockId block) { return refs(block); });
  }

  /// How many tokens from `from` on fit, at most `want`, if `spare` free blocks are left alone.
  int32_t fitting(const std::vector<BlockId>& table, int32_t from, int32_t want, int32_t spare) const {
    const int32_t usable = std::max(0, free_ - spare);
    const int32_t first = to_take(table, from, from + 1);
    if (first > usable) return 0;
    const int32_t size = spec().block_tokens;
    const int64_t in_first = static_cast<int64_t>(from / size + 1) * size - from;  // room in the first block
    // blocks after the first: those in the table (never shared: nothing behind the write position is), then
    // free ones
    const int64_t behind = std::max<int64_t>(0, static_cast<int64_t>(table.size()) - (from / size + 1));
    const int64_t room = in_first + (behind + usable - first) * size;
    return static_cast<int32_t>(std::min<int64_t>(want, room));
  }

  int32_t take(const std::vector<BlockId>& table, int32_t from, int32_t to) {
    const int32_t count = to_take(table, from, to);
    free_ -= count;
    for (auto i = static_cast<size_t>(from / spec().block_tokens); i < table.size(); ++i) {
      if (refs(table[i]) > 1) ++dropped_[table[i]];  // copied: one holder less of the shared block
    }
    return count;
  }

  void give_back(const std::vector<BlockId>& table) {
    for (auto block = table.rbegin(); block != table.rend() && *block != kNullBlock; ++block) {
      ++dropped_[*block];
      if (refs(*block) == 0) ++free_;
    }
  }

 private:
  const GroupView& view_;
  int32_t free_;
  std::map<BlockId, int32_t> dropped_;  // references that this plan drops
};

class Planner {
 public:
  Planner(const PlanState& state, const StepBudget& budget)
      : state_(state), budget_(budget), granted_(state.running.size(), 0), gone_(state.running.size(), 0) {
    ledgers_.reserve(state.groups.size());
    for (const GroupView& group : state.groups) ledgers_.emplace_back(group);
    tokens_left_ = budget.max_tokens;
    rows_left_ = budget.max_rows;
  }

  StepDecision run() {
    serve_oldest();
    serve_generating();
    serve_prompts();
    if (decision_.preempted.empty()) admit();
    decision_.tokens = budget_.max_tokens - tokens_left_;
    return std::move(decision_);
  }

 private:
  const SequenceView& running(size_t index) const { return state_.running[index]; }

  void serve_oldest() {
    if (state_.running.empty()) return;
    const SequenceView& oldest = running(0);
    int32_t want = piece_of(oldest);
    int32_t least = want;
    if (budget_.chunk == 0) {
      // a long prompt leaves the others that generate their tokens and blocks, down to one token of its own
      want = std::max(1, std::min(want, tokens_left_ - others_generating()));
      want = std::max(1, blocks_fit(oldest, want, others_need()));
      least = 1;
    }
    while (blocks_fit(oldest, want) < least && preempt_youngest_after(0)) {
    }
    grant_running(0, blocks_fit(oldest, want), least);
  }

  int32_t others_generating() const {
    int32_t count = 0;
    for (size_t i = 1; i < state_.running.size(); ++i) count += running(i).generates() ? 1 : 0;
    return count;
  }

  std::vector<int32_t> others_need() const {
    std::vector<int32_t> need(ledgers_.size(), 0);
    for (size_t i = 1; i < state_.running.size(); ++i) {
      if (!running(i).generates()) continue;
      for (size_t g = 0; g < ledgers_.size(); ++g) {
        need[g] += ledgers_[g].to_take((*running(i).tables)[g], running(i).computed, running(i).computed + 1);
      }
    }
    return need;
  }

  void serve_generating() {
    for (size_t i = 1; i < state_.running.size(); ++i) {
      if (gone_[i] != 0 || granted_[i] != 0 || !running(i).generates()) continue;
      if (tokens_left_ < 1 || rows_left_ < 1) return;
      while (blocks_fit(running(i), 1) < 1 && preempt_youngest_after(i)) {
      }
      grant_running(i, blocks_fit(running(i), 1), 1);
    }
  }

  void serve_prompts() {
    for (size_t i = 1; i < state_.running.size(); ++i) {
      if (gone_[i] != 0 || granted_[i] != 0 || running(i).generates()) continue;
      const int32_t piece = piece_of(running(i));
      const int32_t want = std::min(piece, tokens_left_);
      if (want < 1) return;
      grant_running(i, blocks_fit(running(i), want), budget_.chunk > 0 ? piece : 1);
    }
  }

  void admit() {
    int32_t places = 0;
    for (const SequenceView& sequence : state_.running) places += sequence.places;
    std::vector<int64_t> promised = blocks_still_needed();
    for (size_t i = 0; i < state_.waiting.size(); ++i) {
      const SequenceView& next = state_.waiting[i];
      if (tokens_left_ < 1 || rows_left_ < 1) return;
      if (places + next.places > budget_.max_sequences) return;
      const bool alone = state_.running.empty() && i == 0;
      if (!alone && !fits_beside(next, promised)) return;
      const int32_t piece = piece_of(next);
      Grant grant =
          make_grant(next, blocks_fit(next, std::min(piece, tokens_left_)), budget_.chunk > 0 ? piece : 1);
      if (grant.tokens == 0) return;
      places += next.places;
      for (size_t g = 0; g < ledgers_.size(); ++g) promised[g] += whole_need(next, g) - grant.new_blocks[g];
      grant.admitted = true;
      grant.index = static_cast<int32_t>(i);
      decision_.grants.push_back(std::move(grant));
    }
  }

  /// The last-arrived running sequence after `index` loses its blocks. False if there is none.
  bool preempt_youngest_after(size_t index) {
    for (size_t i = state_.running.size() - 1; i > index; --i) {
      if (gone_[i] != 0) continue;
      gone_[i] = 1;
      for (size_t g = 0; g < ledgers_.size(); ++g) ledgers_[g].give_back((*running(i).tables)[g]);
      decision_.preempted.push_back(static_cast<int32_t>(i));
      return true;
    }
    return false;
  }

  /// The next piece that the policy wants to compute of a sequence.
  int32_t piece_of(const SequenceView& sequence) const {
    const int32_t most = budget_.chunk > 0 ? budget_.chunk : budget_.max_tokens;
    return std::min(sequence.remaining(), most);
  }

  /// How many of `want` tokens find blocks in every group, if `spare` blocks a group are left alone.
  int32_t blocks_fit(const SequenceView& sequence, int32_t want,
                     const std::vector<int32_t>& spare = {}) const {
    for (size_t g = 0; g < ledgers_.size() && want > 0; ++g) {
      want =
          ledgers_[g].fitting((*sequence.tables)[g], sequence.computed, want, spare.empty() ? 0 : spare[g]);
    }
    return want;
  }

  /// Rows that computing `tokens` more takes: prompt and output part, and one for each further draw from the
  /// last prompt token's logits.
  int32_t rows_for(const SequenceView& sequence, int32_t tokens) const {
    const int32_t to = sequence.computed + tokens;
    if (sequence.computed < sequence.prompt && to > sequence.prompt) return 2;
    const bool finishes_prompt = to == sequence.known && sequence.known == sequence.prompt;
    return finishes_prompt ? sequence.places + (sequence.returns_logits ? 1 : 0) : 1;
  }

  /// `tokens` or, where rows are short, less; nothing if it would be fewer than `least`.
  Grant make_grant(const SequenceView& sequence, int32_t tokens, int32_t least) {
    Grant grant;
    if (tokens > 0 && rows_for(sequence, tokens) > rows_left_) {
      const bool both_forms =
          sequence.computed < sequence.prompt && sequence.computed + tokens > sequence.prompt;
      tokens = both_forms && rows_left_ > 0 ? sequence.prompt - sequence.computed : 0;
      least = std::min(least, 1);
    }
    if (tokens < least || tokens < 1 || tokens > tokens_left_) return grant;
    grant.tokens = tokens;
    for (size_t g = 0; g < ledgers_.size(); ++g) {
      grant.new_blocks.push_back(
          ledgers_[g].take((*sequence.tables)[g], sequence.computed, sequence.computed + tokens));
    }
    tokens_left_ -= tokens;
    rows_left_ -= rows_for(sequence, tokens);
    return grant;
  }

  void grant_running(size_t index, int32_t tokens, int32_t least) {
    Grant grant = make_grant(running(index), tokens, least);
    if (grant.tokens == 0) return;
    grant.index = static_cast<int32_t>(index);
    granted_[index] = grant.tokens;
    decision_.grants.push_back(std::move(grant));
  }

  int64_t whole_need(const SequenceView& sequence, size_t group) const {
    return most_blocks_held(ledgers_[group].spec(), sequence.known, budget_.chunk > 0 ? budget_.chunk : 1);
  }

  /// Per group: blocks that running sequences will still take for the tokens they already have.
  std::vector<int64_t> blocks_still_needed() const {
    std::vector<int64_t> sum(ledgers_.size(), 0);
    for (size_t i = 0; i < state_.running.size(); ++i) {
      if (granted_[i] == running(i).remaining()) continue;
      for (size_t g = 0; g < ledgers_.size(); ++g) {
        const std::vector<BlockId>& table = (*running(i).tables)[g];
        const int32_t to = running(i).computed + granted_[i];
        const int32_t held = blocks_in(table) + std::max(0, blocks_for(to, ledgers_[g].spec().block_tokens) -
                                                                static_cast<int32_t>(table.size()));
        sum[g] += std::max<int64_t>(0, whole_need(running(i), g) - held);
      }
    }
    return sum;
  }

  bool fits_beside(const SequenceView& next, const std::vector<int64_t>& promised) const {
    for (size_t g = 0; g < ledgers_.size(); ++g) {
      if (whole_need(next, g) + promised[g] > ledgers_[g].free()) return false;
    }
    return true;
  }

  const PlanState& state_;
  const StepBudget& budget_;
  std::vector<GroupLedger> ledgers_;
  std::vector<int32_t> granted_;  // tokens, per running sequence
  std::vector<uint8_t> gone_;     // preempted, per running sequence
  int32_t tokens_left_ = 0;
  int32_t rows_left_ = 0;
  StepDecision decision_;
};

}  // namespace

StepDecision plan(const PlanState& state, const StepBudget& budget, MonotonicTime) {
  return Planner(state, budget).run();
}

}  // namespace hadal
