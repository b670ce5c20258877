// For tests: the scheduler's rules and the cache's bookkeeping written a second time, slowly, over maps,
// sharing no code with them. Blocks are names (which sequence wrote which block), not numbers; nothing is
// incremental.
//
// It answers for every step: who is preempted, who runs with how many tokens, how many blocks are then in
// use. It reads nothing of the engine but the requests, and of each step which sequences have ended.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

namespace hadal::testing {

class ReferenceModel {
 public:
  struct Group {
    int block_tokens = 0, usable = 0, window = 0;
  };
  struct Limits {
    int tokens = 0, rows = 0, sequences = 0, chunk = 0;
  };
  using Key = std::pair<unsigned long long, int>;  // request, choice

  ReferenceModel(std::vector<Group> groups, Limits limits) : groups_(std::move(groups)), limits_(limits) {}

  void arrive(unsigned long long request, int prompt, int choices, bool wants_logits) {
    Seq seq;
    seq.prompt = prompt;
    seq.choices = choices;
    seq.logits_row = wants_logits;
    all_[{request, 0}] = seq;
  }

  /// A sequence ended (or its whole request was cancelled: end() for all choices; unknown keys are fine).
  void end(Key key) { all_.erase(key); }

  struct Step {
    std::vector<Key> preempted;  // in order
    std::map<Key, int> tokens;   // who runs with how many
  };

  Step step() {
    Step out;
    const std::vector<Key> running = keys(true);
    if (!running.empty()) serve_oldest(running, out);
    for (const Key& key : running) {
      if (!alive(key) || out.tokens.count(key) || !decoding(key)) continue;
      if (key == running[0]) continue;
      if (total(out) >= limits_.tokens || rows(out) >= limits_.rows) break;
      while (room(key, 1, out) < 1 && preempt_after(key, out)) {
      }
      if (room(key, 1, out) >= 1) out.tokens[key] = 1;
    }
    for (const Key& key : running) {
      if (!alive(key) || out.tokens.count(key) || decoding(key) || key == running[0]) continue;
      if (total(out) >= limits_.tokens) break;
      const int want = std::min(piece(key), limits_.tokens - total(out));
      grant(key, room(key, want, out), limits_.chunk > 0 ? piece(key) : 1, out);
    }
    if (out.preempted.empty()) admit(running, out);
    return out;
  }

  /// The step has been computed: tokens are in the cache, finished prompts have their choices.
  void apply(const Step& step) {
    for (const auto& [key, count] : step.tokens) {
      Seq& seq = all_[key];
      if (!seq.runs) seq.runs = true;
      const int to = seq.computed + count;
      for (size_t g = 0; g < groups_.size(); ++g) write(key, g, seq.computed, to);
      seq.computed = to;
    }
    for (const auto& [key, count] : step.tokens) {
      for (size_t g = 0; g < groups_.size(); ++g) forget_before_window(all_[key], g);
      if (all_[key].computed != all_[key].prompt || all_[key].born) continue;
      all_[key].born = true;
      const int choices = all_[key].choices;
      all_[key].choices = 1;
      all_[key].logits_row = false;
      for (int c = 1; c < choices; ++c) {
        Seq twin = all_[key];
        all_[{key.first, c}] = twin;
      }
    }
  }

  /// A sequence got a token.
  void token(Key key) { ++all_[key].outputs; }

  int blocks_in_use() const {
    int sum = 0;
    for (size_t g = 0; g < groups_.size(); ++g) sum += static_cast<int>(used(g).size());
    return sum;
  }

 private:
  using Block = std::tuple<Key, int, int>;  // writer, index, how many times it was written anew
  struct Seq {
    int prompt = 0, outputs = 0, computed = 0, choices = 1;
    bool runs = false, born = false, logits_row = false;
    std::map<size_t, std::map<int, Block>> blocks;  // group -> index -> block
  };

  bool alive(const Key& key) const { return all_.count(key) && all_.at(key).runs; }
  int known(const Key& key) const { return all_.at(key).prompt + all_.at(key).outputs; }
  int remaining(const Key& key) const { return known(key) - all_.at(key).computed; }
  bool decoding(const Key& key) const {
    return remaining(key) == 1 && all_.at(key).computed >= all_.at(key).prompt;
  }
  std::vector<Key> keys(bool runs) const {
    std::vector<Key> out;
    for (const auto& [key, seq] : all_) {
      if (seq.runs == runs) out.push_back(key);
    }
    return out;
  }
  int piece(const Key& key) const {
    return std::min(remaining(key), limits_.chunk > 0 ? limits_.chunk : limits_.tokens);
  }
  static int total(const Step& step) {
    int sum = 0;
    for (const auto& [key, count] : step.tokens) sum += count;
    return sum;
  }
  int rows_of(const Key& key, int count) const {
    const Seq& seq = all_.at(key);
    const int to = seq.computed + count;
    if (seq.computed < seq.prompt && to > seq.prompt) return 2;
    if (to == seq.prompt && seq.outputs == 0) return seq.choices + (seq.logits_row ? 1 : 0);
    return 1;
  }
  int rows(const Step& step) const {
    int sum = 0;
    for (const auto& [key, count] : step.tokens) sum += rows_of(key, count);
    return sum;
  }

  std::set<Block> used(size_t g) const {
    std::set<Block> out;
    for (const auto& [key, seq] : all_) {
      const auto found = seq.blocks.find(g);
      if (found == seq.blocks.end()) continue;
      for (const auto& [index, block] : found->second) out.insert(block);
    }
    return out;
  }
  int holders(size_t g, const Block& block) const {
    int count = 0;
    for (const auto& [key, seq] : all_) {
      const auto found = seq.blocks.find(g);
      if (found == seq.blocks.end()) continue;
      for (const auto& [index, held] : found->second) count += held == block ? 1 : 0;
    }
    return count;
  }

  /// Free blocks of a group once everything decided so far has been written: tried out on a copy.
  int free_after(size_t g, const Step& so_far) const {
    ReferenceModel copy = *this;
    for (const Key& key : so_far_order(so_far)) {
      if (copy.all_.count(key))
        copy.write(key, g, copy.all_[key].computed, copy.all_[key].computed + so_far.tokens.at(key));
    }
    return groups_[g].usable - static_cast<int>(copy.used(g).size());
  }
  /// Does writing [computed, computed + count) fit after the rest of the step?
  bool fits(const Key& key, int count, const Step& so_far, const std::vector<int>& spare) const {
    for (size_t g = 0; g < groups_.size(); ++g) {
      ReferenceModel copy = *this;
      for (const Key& other : so_far_order(so_far)) {
        copy.write(other, g, copy.all_[other].computed, copy.all_[other].computed + so_far.tokens.at(other));
      }
      const int before = static_cast<int>(copy.used(g).size());
      copy.write(key, g, copy.all_[key].computed, copy.all_[key].computed + count);
      const int grown = static_cast<int>(copy.used(g).size()) - before;
      const int left = groups_[g].usable - before - (spare.empty() ? 0 : spare[g]);
      if (grown > 0 && grown > left) return false;
    }
    return true;
  }
  std::vector<Key> so_far_order(const Step& step) const {
    std::vector<Key> out;
    for (const auto& [key, count] : step.tokens) out.push_back(key);
    return out;
  }
  int room(const Key& key, int want, const Step& so_far, const std::vector<int>& spare = {}) const {
    while (want > 0 && !fits(key, want, so_far, spare)) --want;
    return want;
  }

  void write(const Key& key, size_t g, int from, int to) {
    const int size = groups_[g].block_tokens;
    for (int index = from / size; index * size < to; ++index) {
      std::map<int, Block>& mine = all_[key].blocks[g];
      const auto found = mine.find(index);
      if (found == mine.end() || holders(g, found->second) > 1) mine[index] = {key, index, ++writes_};
    }
  }
  void forget_before_window(Seq& seq, size_t g) {
    const int window = groups_[g].window, size = groups_[g].block_tokens;
    if (window == 0) return;
    std::map<int, Block>& mine = seq.blocks[g];
    for (auto at = mine.begin(); at != mine.end();) {
      const bool last_is_before = at->first * size + size - 1 < seq.computed - window + 1;
      at = last_is_before ? mine.erase(at) : std::next(at);
    }
  }

  bool preempt_after(const Key& key, Step& out) {
    for (auto at = all_.rbegin(); at != all_.rend() && at->first > key; ++at) {
      if (!at->second.runs) continue;
      at->second.runs = false;
      at->second.computed = 0;
      at->second.blocks.clear();
      out.preempted.push_back(at->first);
      return true;
    }
    return false;
  }

  void serve_oldest(const std::vector<Key>& running, Step& out) {
    const Key key = running[0];
    int want = piece(key), least = want;
    if (limits_.chunk == 0) {
      int others = 0;
      std::vector<int> spare(groups_.size(), 0);
      for (const Key& other : running) {
        if (other == key || !decoding(other)) continue;
        ++others;
        for (size_t g = 0; g < groups_.size(); ++g) {
          ReferenceModel copy = *this;
          copy.write(other, g, copy.all_[other].computed, copy.all_[other].computed + 1);
          const auto& mine = all_.at(other).blocks;
          const auto had = mine.find(g);
          const auto& now = copy.all_[other].blocks[g];
          for (const auto& [index, block] : now) {
            const bool same = had != mine.end() && had->second.count(index) && had->second.at(index) == block;
            spare[g] += same ? 0 : 1;
          }
        }
      }
      want = std::max(1, std::min(want, limits_.tokens - others));
      want = std::max(1, room(key, want, out, spare));
      least = 1;
    }
    while (room(key, want, out) < least && preempt_after(key, out)) {
    }
    grant(key, room(key, want, out), least, out);
  }

  void grant(const Key& key, int count, int least, Step& out) {
    const Seq& seq = all_.at(key);
    if (count > 0 && rows_of(key, count) + rows(out) > limits_.rows) {
      const bool both = seq.computed < seq.prompt && seq.computed + count > seq.prompt;
      count = both && rows(out) < limits_.rows ? seq.prompt - seq.computed : 0;
      least = std::min(least, 1);
    }
    if (count >= least && count > 0 && count + total(out) <= limits_.tokens) out.tokens[key] = count;
  }

  /// Most blocks of a group that `tokens` tokens hold at once: by walking.
  int need(size_t g, int tokens) const {
    const Group& group = groups_[g];
    const int all = (tokens + group.block_tokens - 1) / group.block_tokens;
    if (group.window == 0) return all;
    const int length = group.window - 1 + (limits_.chunk > 0 ? limits_.chunk : 1);
    int most = 0;  // blocks that `length` consecutive positions touch, for every beginning
    for (int at = 0; at < group.block_tokens; ++at) {
      most = std::max(most, (at + length - 1) / group.block_tokens + 1);
    }
    return length > 0 ? std::min(all, most) : 0;
  }

  void admit(const std::vector<Key>& running, Step& out) {
    int places = 0;
    for (const Key& key : running) places += all_.at(key).choices;
    std::set<Key> admitted;
    bool first = true;
    for (const Key& key : keys(false)) {
      if (total(out) >= limits_.tokens || rows(out) >= limits_.rows) return;
      if (places + all_.at(key).choices > limits_.sequences) return;
      const bool alone = running.empty() && first;
      first = false;
      for (size_t g = 0; g < groups_.size() && !alone; ++g) {
        int promised = 0;
        std::vector<Key> others = running;
        others.insert(others.end(), admitted.begin(), admitted.end());
        for (const Key& other : others) promised += still_needed(other, g, out);
        if (need(g, known(key)) + promised > free_after(g, out)) return;
      }
      const int want = std::min(piece(key), limits_.tokens - total(out));
      grant(key, room(key, want, out), limits_.chunk > 0 ? piece(key) : 1, out);
      if (!out.tokens.count(key)) return;
      places += all_.at(key).choices;
      admitted.insert(key);
    }
  }

  /// Blocks that a sequence will still take for the tokens it already has, beyond this step.
  int still_needed(const Key& key, size_t g, const Step& step) const {
    const Seq& seq = all_.at(key);
    const auto granted = step.tokens.find(key);
    const int count = granted == step.tokens.end() ? 0 : granted->second;
    const bool waiting = !seq.runs;
    if (!waiting && count == remaining(key)) return 0;
    const auto found = seq.blocks.find(g);
    std::set<int> held;
    if (found != seq.blocks.end()) {
      for (const auto& [index, block] : found->second) held.insert(index);
    }
    const int size = groups_[g].block_tokens;
    for (int i = seq.computed / size; i * size < seq.computed + count; ++i) held.insert(i);
    const int left = need(g, known(key)) - static_cast<int>(held.size());
    return waiting ? left : std::max(0, left);
  }

  std::vector<Group> groups_;
  Limits limits_;
  std::map<Key, Seq> all_;
  int writes_ = 0;
};

}  // namespace hadal::testing
