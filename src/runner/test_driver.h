// For tests: sequences that come and go, driven through a runner as an engine would, in one of several ways
// that must all bring the same tokens.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "runner/test_plans.h"

namespace hadal::testing {

/// One sequence's life, in steps of the run.
struct DrivenSequence {
  int32_t prompt = 5;          // tokens
  int32_t joins = 0;           // first step
  int32_t outputs = 8;         // tokens to draw
  int32_t rests = 0;           // > 0: has no row in steps that are a multiple of it
  bool chunked = false;        // the prompt in two steps
  bool prompt_logits = false;  // returned, and the first token drawn by a draw row
  bool by_ids = false;         // its tokens go through the host where they can
  bool forbids = false;        // some ids
  SamplingParams params;
};

struct Way {
  int32_t depth = 1;         // steps in flight
  bool from_device = false;  // token_from wherever it is allowed, not only where it must be
};

class StepDriver {
 public:
  struct Life {
    std::vector<SampledToken> tokens;
    std::vector<float> prompt_logits;
  };

  StepDriver(Runner& runner, std::vector<DrivenSequence> sequences, Way way)
      : runner_(runner), way_(way), specs_(std::move(sequences)), states_(specs_.size()) {}

  std::function<void(const StepPlan&)> on_launch;

  std::vector<Life> run() {
    for (step_ = 1; !done() && step_ < 200; ++step_) {
      StepPlan plan = make_plan();
      if (plan.rows.empty()) {
        if (!flights_.empty()) collect();
        continue;
      }
      const StatusOr<Runner::Ticket> ticket = runner_.launch(plan);
      EXPECT_TRUE(ticket.ok()) << ticket.status();
      if (!ticket.ok()) break;
      if (on_launch) on_launch(plan);
      flights_.push_back({*ticket, std::move(plan)});
      last_launched_ = {last_launched_[1], step_};
      if (static_cast<int32_t>(flights_.size()) == way_.depth) collect();
    }
    while (!flights_.empty()) collect();
    EXPECT_TRUE(done());
    std::vector<Life> lives;
    for (State& state : states_) lives.push_back(std::move(state.life));
    return lives;
  }

 private:
  struct State {
    int32_t computed = 0;  // tokens that launched steps have put into the cache
    int32_t drawn = 0;     // tokens drawn by launched steps
    StepId last_step = 0;  // that drew one
    Life life;             // what has been collected
    SharedIds prompt;      // once a row has named it
  };
  struct Flight {
    Runner::Ticket ticket;
    StepPlan plan;
  };

  bool done() const {
    for (size_t s = 0; s < specs_.size(); ++s) {
      if (states_[s].drawn < specs_[s].outputs) return false;
    }
    return true;
  }

  std::vector<std::vector<int32_t>> tables(size_t sequence, int32_t tokens) const {
    std::vector<std::vector<int32_t>> tables;
    for (const RunnerCacheGroup& group : runner_.info().groups) {
      const int32_t each = (group.num_blocks - 1) / static_cast<int32_t>(specs_.size());
      const int32_t needed = blocks_for(tokens, group.block_tokens);
      EXPECT_LE(needed, each) << "the test's sequences do not fit the cache";
      std::vector<int32_t>& table = tables.emplace_back();
      for (int32_t i = 0; i < needed; ++i)
        table.push_back(1 + static_cast<int32_t>(sequence) + i * static_cast<int32_t>(specs_.size()));
    }
    return tables;
  }

  void ask(size_t s, StepRow& row) {
    State& state = states_[s];
    row.logits = LogitsWanted::kSampleLast;
    row.sampling = std::make_shared<SamplingParams>(specs_[s].params);
    row.output_position = static_cast<uint32_t>(state.drawn);
    if (specs_[s].forbids) row.forbidden = {3, 17, 40 + state.drawn % 5};
    if (specs_[s].params.penalised()) {
      if (state.prompt == nullptr) {
        state.prompt = std::make_shared<const std::vector<int32_t>>(
            prompt_of(specs_[s].prompt, static_cast<int32_t>(s)));
      }
      row.prompt = state.prompt;
      const size_t known = static_cast<size_t>(state.drawn) - (row.token_from != 0 ? 1 : 0);
      for (size_t i = 0; i < known; ++i) row.output_ids.push_back(state.life.tokens[i].token);
    }
    ++state.drawn;
    state.last_step = static_cast<StepId>(step_);
  }

  /// The next rows of a sequence: one, or two where its prompt's logits come back.
  void add_rows(size_t s, std::vector<StepRow>& outputs, std::vector<StepRow>& prompts) {
    const DrivenSequence& spec = specs_[s];
    State& state = states_[s];
    if (static_cast<int32_t>(step_) <= spec.joins || state.drawn >= spec.outputs) return;
    if (spec.rests > 0 && static_cast<int32_t>(step_) % spec.rests == 0) return;
    StepRow row;
    row.sequence = 100 + s;
    row.first_position = state.computed;
    if (state.computed < spec.prompt) {
      const std::vector<int32_t> ids = prompt_of(spec.prompt, static_cast<int32_t>(s));
      const int32_t end = spec.chunked && state.computed == 0 ? spec.prompt / 2 : spec.prompt;
      row.tokens.assign(ids.begin() + state.computed, ids.begin() + end);
      row.block_table = tables(s, end);
      state.computed = end;
      if (spec.prompt_logits) row.logits = LogitsWanted::kReturnAll;
      if (end == spec.prompt && !spec.prompt_logits) ask(s, row);
      prompts.push_back(std::move(row));
      return;
    }
    row.form = TokenForm::kOutput;
    const bool known = state.drawn == static_cast<int32_t>(state.life.tokens.size());
    const bool there = std::count(last_launched_.begin(), last_launched_.end(), state.last_step) > 0;
    if (!known || (way_.from_device && !spec.by_ids && there)) {
      row.token_from = state.last_step;
    } else {
      row.tokens = {state.life.tokens.back().token};
    }
    row.block_table = tables(s, ++state.computed);
    ask(s, row);
    outputs.push_back(std::move(row));
  }

  StepPlan make_plan() {
    StepPlan plan;
    plan.id = static_cast<StepId>(step_);
    std::vector<StepRow> prompts;
    for (size_t s = 0; s < specs_.size(); ++s) add_rows(s, plan.rows, prompts);
    for (StepRow& row : prompts) plan.rows.push_back(std::move(row));
    for (size_t i = 0, rows = plan.rows.size(); i < rows; ++i) {
      const size_t s = plan.rows[i].sequence - 100;
      if (plan.rows[i].logits != LogitsWanted::kReturnAll || states_[s].computed < specs_[s].prompt) continue;
      StepRow draw;
      draw.sequence = plan.rows[i].sequence;
      draw.draws_from = static_cast<int32_t>(i);
      ask(s, draw);
      plan.rows.push_back(std::move(draw));
    }
    return plan;
  }

  void collect() {
    const Flight flight = std::move(flights_.front());
    flights_.pop_front();
    StatusOr<StepResult> result = runner_.collect(flight.ticket);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->id, flight.plan.id);
    EXPECT_GE(result->device_seconds, 0.0);
    for (RowResult& row : result->rows) {
      Life& life = states_[row.sequence - 100].life;
      life.tokens.insert(life.tokens.end(), row.tokens.begin(), row.tokens.end());
      life.prompt_logits.insert(life.prompt_logits.end(), row.logits.begin(), row.logits.end());
    }
  }

  Runner& runner_;
  const Way way_;
  const std::vector<DrivenSequence> specs_;
  std::vector<State> states_;
  std::deque<Flight> flights_;
  std::array<StepId, 2> last_launched_ = {0, 0};
  StepId step_ = 0;
};

inline void expect_same(const std::vector<StepDriver::Life>& got, const std::vector<StepDriver::Life>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t s = 0; s < want.size(); ++s) {
    EXPECT_TRUE(same_bits(got[s].prompt_logits, want[s].prompt_logits)) << "sequence " << s;
    ASSERT_EQ(got[s].tokens.size(), want[s].tokens.size()) << "sequence " << s;
    for (size_t i = 0; i < want[s].tokens.size(); ++i) {
      const SampledToken &a = got[s].tokens[i], &b = want[s].tokens[i];
      EXPECT_EQ(a.token, b.token) << "sequence " << s << ", token " << i;
      EXPECT_EQ(a.logprob, b.logprob) << "sequence " << s << ", token " << i;
      EXPECT_EQ(a.rank, b.rank) << "sequence " << s << ", token " << i;
      ASSERT_EQ(a.top.size(), b.top.size());
      for (size_t j = 0; j < b.top.size(); ++j) {
        EXPECT_EQ(a.top[j].token, b.top[j].token);
        EXPECT_EQ(a.top[j].logprob, b.top[j].logprob);
      }
    }
  }
}

}  // namespace hadal::testing
