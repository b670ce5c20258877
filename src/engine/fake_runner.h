// For tests: a runner whose "model" is a hash of everything a row can see, read back through the block tables
// that it was given. A wrong block, position, form or a block reused too early changes the tokens or is an
// error. With two steps in flight it finds the token that a row takes from the step before, which must be in
// flight when the row is launched and draw exactly one token of that sequence.
//
// The work is done in collect(), as late as a device may do it, so that a block given away between launch and
// collect is noticed. Blocks that no step has written yet, and those that a test has poisoned, hold no
// position.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runner/runner.h"

namespace hadal::testing {

inline uint64_t mix(uint64_t hash, uint64_t value) {
  hash ^= value + 0x9e3779b97f4a7c15ull + (hash << 6) + (hash >> 2);
  hash *= 0xff51afd7ed558ccdull;
  return hash ^ (hash >> 32);
}

/// The toy model's state after a context in one cache group.
class ContextHash {
 public:
  void add(int32_t position, int32_t token, TokenForm form) {
    hash_ = mix(hash_, static_cast<uint64_t>(position) << 32 | static_cast<uint32_t>(token) << 1 |
                           static_cast<uint64_t>(form));
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 1;
};

/// The token drawn for a context; `contexts` is the hash of each group's visible part.
inline int32_t draw_token(const std::vector<uint64_t>& contexts, const SamplingParams& sampling,
                          uint32_t output_position, const std::vector<int32_t>& forbidden, int32_t vocab) {
  uint64_t hash = mix(mix(sampling.seed, sampling.choice), output_position);
  for (const uint64_t context : contexts) hash = mix(hash, context);
  auto token = static_cast<int32_t>(hash % static_cast<uint64_t>(vocab));
  const std::vector<uint32_t>& mask = sampling.allowed_mask;
  const auto allowed = [&](int32_t id) {
    return (mask.empty() || (mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1) != 0) &&
           std::find(forbidden.begin(), forbidden.end(), id) == forbidden.end();
  };
  while (!allowed(token)) token = (token + 1) % vocab;
  return token;
}

/// Does it matter to the toy model in which form a token was computed?
enum class ToyForms : uint8_t { kMatter, kAreAlike };

inline TokenForm form_for(ToyForms forms, TokenForm form) {
  return forms == ToyForms::kMatter ? form : TokenForm::kPrompt;
}

/// What a request must give, computed from the text alone: no blocks, no steps.
inline std::vector<int32_t> expected_tokens(const RunnerInfo& info, const std::vector<int32_t>& prompt,
                                            SamplingParams sampling, int32_t choice, int32_t count,
                                            const std::vector<int32_t>& stop_ids = {}, int32_t min_tokens = 0,
                                            ToyForms forms = ToyForms::kMatter) {
  sampling.choice += static_cast<uint32_t>(choice);
  std::vector<int32_t> output;
  std::vector<int32_t> all = prompt;
  while (static_cast<int32_t>(output.size()) < count &&
         static_cast<int32_t>(all.size()) < info.max_model_len) {
    std::vector<uint64_t> contexts;
    for (const RunnerCacheGroup& group : info.groups) {
      ContextHash hash;
      const auto size = static_cast<int32_t>(all.size());
      for (int32_t i = group.window > 0 ? std::max(0, size - group.window) : 0; i < size; ++i) {
        const bool in_prompt = i < static_cast<int32_t>(prompt.size());
        hash.add(i, all[static_cast<size_t>(i)],
                 form_for(forms, in_prompt ? TokenForm::kPrompt : TokenForm::kOutput));
      }
      contexts.push_back(hash.value());
    }
    const bool early = static_cast<int32_t>(output.size()) < min_tokens;
    const int32_t token = draw_token(contexts, sampling, static_cast<uint32_t>(output.size()),
                                     early ? stop_ids : std::vector<int32_t>{}, info.vocab_size);
    output.push_back(token);
    all.push_back(token);
    if (std::find(stop_ids.begin(), stop_ids.end(), token) != stop_ids.end()) break;
  }
  return output;
}

class FakeRunner : public Runner {
 public:
  explicit FakeRunner(RunnerInfo info, ToyForms forms = ToyForms::kMatter)
      : info_(std::move(info)), forms_(forms) {
    for (const RunnerCacheGroup& group : info_.groups) {
      memory_.emplace_back(static_cast<size_t>(group.num_blocks) * static_cast<size_t>(group.block_tokens));
    }
  }

  const RunnerInfo& info() const override { return info_; }

  StatusOr<Ticket> launch(const StepPlan& plan) override {
    if (on_launch) RETURN_IF_ERROR(on_launch(plan));
    if (static_cast<int32_t>(launched_.size()) >= info_.steps_in_flight)
      return internal_error("more steps in flight than the runner has room for");
    for (const StepRow& row : plan.rows) RETURN_IF_ERROR(check_source(row));
    launched_[++next_ticket_] = plan;
    return next_ticket_;
  }

  StatusOr<StepResult> collect(Ticket ticket) override {
    const auto found = launched_.find(ticket);
    if (found == launched_.end()) return internal_error("ticket {} was never launched", ticket);
    if (found != launched_.begin()) return internal_error("steps are collected out of order");
    StepPlan plan = std::move(found->second);
    launched_.erase(found);
    const std::map<SequenceId, int32_t> before = std::exchange(drawn_, {});  // by the step before
    const std::set<SequenceId> lost = std::exchange(lost_, {});
    if (on_collect) {
      if (Status status = on_collect(plan); !status.ok()) {
        for (const StepRow& row : plan.rows) lost_.insert(row.sequence);
        return status;
      }
    }
    RETURN_IF_ERROR(check_plan(plan));
    for (StepRow& row : plan.rows) {
      if (row.token_from == 0) continue;
      const auto source =
          before.find(row.sequence);  // none: the step failed, and so does whoever goes on with it
      row.tokens = {source == before.end() || source->second < 0 ? 0 : source->second};
      if (on_resolve) on_resolve(row);
    }
    for (const BlockCopy& copy : plan.copies) copy_block(copy);
    for (const StepRow& row : plan.rows) {
      if (lost.count(row.sequence) == 0) RETURN_IF_ERROR(write(row));
    }
    StepResult result;
    result.id = plan.id;
    for (const StepRow& row : plan.rows) {
      if (row.logits == LogitsWanted::kNone) continue;
      if (lost.count(row.sequence) > 0) {
        result.rows.push_back(nothing_for(row));
        continue;
      }
      ASSIGN_OR_RETURN(RowResult one, answer(plan, row));
      if (!one.tokens.empty()) drawn_[row.sequence] = one.tokens[0].token;
      result.rows.push_back(std::move(one));
    }
    return result;
  }

  /// What the block held is gone: to be called for blocks that are handed out (or free), before they are
  /// written.
  void poison(size_t group, int32_t block) {
    const int32_t size = info_.groups[group].block_tokens;
    for (int32_t i = 0; i < size; ++i) memory_[group][index(block * size + i)] = {};
  }

  std::function<Status(const StepPlan&)> on_launch, on_collect;
  std::function<void(const StepRow&)> on_resolve;     // a row whose token was on the device
  std::function<bool(const StepRow&)> draws_nothing;  // as if the row's logits held a NaN

 private:
  struct Record {
    int32_t position = -1;
    int32_t token = -1;
    TokenForm form = TokenForm::kPrompt;
  };

  static constexpr int32_t kDraw = 2;
  static int32_t kind_of(const StepRow& row) {
    if (row.draws_from >= 0) return kDraw;
    return row.form == TokenForm::kOutput ? 0 : 1;
  }

  Status check_source(const StepRow& row) const {
    if (row.token_from == 0) return OkStatus();
    if (!row.tokens.empty()) return internal_error("a row with ids and a token of the device");
    for (const auto& [ticket, plan] : launched_) {
      if (plan.id != row.token_from) continue;
      const auto draws = std::count_if(plan.rows.begin(), plan.rows.end(), [&](const StepRow& one) {
        return one.sequence == row.sequence && one.logits == LogitsWanted::kSampleLast;
      });
      return draws == 1 ? OkStatus() : internal_error("step {} draws {} tokens", plan.id, draws);
    }
    return internal_error("a token of step {}, which is not in flight", row.token_from);
  }

  Status check_plan(const StepPlan& plan) const {
    if (static_cast<int32_t>(plan.rows.size()) > info_.max_rows_per_step)
      return internal_error("too many rows");
    int32_t tokens = 0, last_kind = 0;
    for (size_t i = 0; i < plan.rows.size(); ++i) {
      const StepRow& row = plan.rows[i];
      if (kind_of(row) < last_kind) return internal_error("rows out of order");
      last_kind = kind_of(row);
      tokens += static_cast<int32_t>(row.tokens.size());
      if (row.draws_from >= static_cast<int32_t>(i)) return internal_error("a draw row before its source");
      tokens += row.token_from != 0 ? 1 : 0;
      if (row.tokens.empty() != (row.draws_from >= 0 || row.token_from != 0))
        return internal_error("a row without tokens");
    }
    if (tokens > info_.max_tokens_per_step) return internal_error("too many tokens");
    return OkStatus();
  }

  void copy_block(const BlockCopy& copy) {
    std::vector<Record>& memory = memory_[static_cast<size_t>(copy.group)];
    const int32_t size = info_.groups[static_cast<size_t>(copy.group)].block_tokens;
    for (int32_t i = 0; i < size; ++i)
      memory[index(copy.to * size + i)] = memory[index(copy.from * size + i)];
  }

  static size_t index(int32_t slot) { return static_cast<size_t>(slot); }

  StatusOr<int32_t> slot_of(const StepRow& row, size_t group, int32_t position) const {
    const RunnerCacheGroup& facts = info_.groups[group];
    const std::vector<int32_t>& table = row.block_table[group];
    const auto entry = static_cast<size_t>(position / facts.block_tokens);
    if (entry >= table.size()) return internal_error("position {} is behind the block table", position);
    if (table[entry] <= 0 || table[entry] >= facts.num_blocks) {
      return internal_error("sequence {} position {}: block {} of {}", row.sequence, position, table[entry],
                            facts.name);
    }
    return table[entry] * facts.block_tokens + position % facts.block_tokens;
  }

  Status write(const StepRow& row) {
    for (size_t g = 0; g < info_.groups.size() && !row.tokens.empty(); ++g) {
      for (size_t i = 0; i < row.tokens.size(); ++i) {
        const int32_t position = row.first_position + static_cast<int32_t>(i);
        if (position >= info_.max_model_len)
          return internal_error("position {} is over the context", position);
        ASSIGN_OR_RETURN(const int32_t slot, slot_of(row, g, position));
        memory_[g][index(slot)] = {position, row.tokens[i], form_for(forms_, row.form)};
      }
    }
    return OkStatus();
  }

  StatusOr<std::vector<uint64_t>> contexts_at(const StepRow& row, int32_t last) const {
    std::vector<uint64_t> contexts;
    for (size_t g = 0; g < info_.groups.size(); ++g) {
      const int32_t window = info_.groups[g].window;
      ContextHash hash;
      for (int32_t i = window > 0 ? std::max(0, last - window + 1) : 0; i <= last; ++i) {
        ASSIGN_OR_RETURN(const int32_t slot, slot_of(row, g, i));
        const Record& record = memory_[g][index(slot)];
        if (record.position != i) {
          return internal_error("sequence {} group {}: position {} found where {} belongs", row.sequence, g,
                                record.position, i);
        }
        hash.add(record.position, record.token, record.form);
      }
      contexts.push_back(hash.value());
    }
    return contexts;
  }

  /// Of a sequence whose step before failed: nobody looks at it.
  RowResult nothing_for(const StepRow& row) const {
    RowResult result;
    result.sequence = row.sequence;
    if (row.logits == LogitsWanted::kSampleLast) result.tokens.push_back({.token = kNoTokenDrawn, .top = {}});
    if (row.logits == LogitsWanted::kReturnAll)
      result.logits.resize(row.tokens.size() * static_cast<size_t>(info_.vocab_size));
    return result;
  }

  StatusOr<RowResult> answer(const StepPlan& plan, const StepRow& row) const {
    const StepRow& source = row.draws_from >= 0 ? plan.rows[index(row.draws_from)] : row;
    const int32_t last = source.first_position + static_cast<int32_t>(source.tokens.size()) - 1;
    RowResult result;
    result.sequence = row.sequence;
    if (row.logits == LogitsWanted::kReturnAll) {
      for (int32_t at = row.first_position; at <= last; ++at) {
        ASSIGN_OR_RETURN(const std::vector<uint64_t> contexts, contexts_at(row, at));
        for (int32_t v = 0; v < info_.vocab_size; ++v) result.logits.push_back(logit(contexts, v));
      }
      return result;
    }
    ASSIGN_OR_RETURN(const std::vector<uint64_t> contexts, contexts_at(source, last));
    SampledToken sampled;
    sampled.token = draw_token(contexts, *row.sampling, row.output_position, row.forbidden, info_.vocab_size);
    if (row.forced >= 0) sampled.token = row.forced;
    if (draws_nothing && draws_nothing(row)) sampled.token = kNoTokenDrawn;
    sampled.logprob = -static_cast<float>(sampled.token);
    sampled.rank = 1;
    for (int32_t i = 0; i < row.sampling->logprobs; ++i) sampled.top.push_back({i, -static_cast<float>(i)});
    result.tokens.push_back(sampled);
    return result;
  }

 public:
  static float logit(const std::vector<uint64_t>& contexts, int32_t id) {
    return static_cast<float>(mix(contexts[0], static_cast<uint64_t>(id)) % 1000);
  }

 private:
  RunnerInfo info_;
  const ToyForms forms_;
  std::vector<std::vector<Record>> memory_;
  std::map<Ticket, StepPlan> launched_;
  std::map<SequenceId, int32_t> drawn_;  // by the step collected last
  std::set<SequenceId> lost_;            // had a row in the step collected last, which failed
  Ticket next_ticket_ = 0;
};

}  // namespace hadal::testing
