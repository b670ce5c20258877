#include "engine/step_builder.h"

#include "base/check.h"

namespace hadal {
namespace {

SequenceView view_of(const Sequence& sequence) {
  return {.order = sequence.order,
          .prompt = sequence.prompt_size(),
          .known = sequence.known(),
          .computed = sequence.computed,
          .places = sequence.places,
          .returns_logits = sequence.wants_prompt_logits,
          .tables = &sequence.blocks.tables};
}

/// Tokens [from, to) of prompt and output together.
std::vector<int32_t> tokens_between(const Sequence& sequence, int32_t from, int32_t to) {
  std::vector<int32_t> tokens;
  tokens.reserve(static_cast<size_t>(to - from));
  const int32_t prompt = sequence.prompt_size();
  for (int32_t i = from; i < to; ++i) {
    tokens.push_back(i < prompt ? (*sequence.prompt)[static_cast<size_t>(i)]
                                : sequence.output[static_cast<size_t>(i - prompt)]);
  }
  return tokens;
}

void ask_for_sample(const Sequence& sequence, StepRow& row) {
  row.logits = LogitsWanted::kSampleLast;
  row.sampling = sequence.sampling;
  row.output_position = static_cast<uint32_t>(sequence.output.size());
  if (sequence.sampling->penalised()) {
    row.prompt_ids = *sequence.prompt;
    row.output_ids = sequence.output;
  }
  if (static_cast<int32_t>(sequence.output.size()) < sequence.min_tokens) row.forbidden = sequence.stop_ids;
}

StepRow make_row(const Sequence& sequence, TokenForm form, int32_t from, int32_t to) {
  StepRow row;
  row.sequence = sequence.id;
  row.form = form;
  row.first_position = from;
  row.tokens = tokens_between(sequence, from, to);
  row.block_table = sequence.blocks.tables;
  return row;
}

/// The rows of a step, sorted into the three kinds.
class Rows {
 public:
  void add(const Sequence& sequence, int32_t from, int32_t to) {
    const int32_t prompt = sequence.prompt_size();
    const bool samples = to == sequence.known();
    if (from < prompt) {
      StepRow row = make_row(sequence, TokenForm::kPrompt, from, std::min(to, prompt));
      if (sequence.wants_prompt_logits) row.logits = LogitsWanted::kReturnAll;
      const size_t index = prompt_rows_.size();
      if (samples && to == prompt) {
        if (sequence.wants_prompt_logits) {
          add_draw(sequence, index);
        } else {
          ask_for_sample(sequence, row);
        }
        for (const Sequence* choice : sequence.choices) add_draw(*choice, index);
      }
      prompt_rows_.push_back(std::move(row));
    }
    if (to > prompt) {
      StepRow row = make_row(sequence, TokenForm::kOutput, std::max(from, prompt), to);
      if (samples) ask_for_sample(sequence, row);
      output_rows_.push_back(std::move(row));
    }
  }

  std::vector<StepRow> take() {
    std::vector<StepRow> rows = std::move(output_rows_);
    const size_t prompts_at = rows.size();
    for (StepRow& row : prompt_rows_) rows.push_back(std::move(row));
    for (StepRow& row : draw_rows_) {
      row.draws_from += static_cast<int32_t>(prompts_at);
      rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  void add_draw(const Sequence& sequence, size_t prompt_row) {
    StepRow row;
    row.sequence = sequence.id;
    row.first_position = sequence.prompt_size();
    row.draws_from = static_cast<int32_t>(prompt_row);
    ask_for_sample(sequence, row);
    draw_rows_.push_back(std::move(row));
  }

  std::vector<StepRow> output_rows_, prompt_rows_, draw_rows_;
};

Status check_blocks(const StepDecision& decision, const KvCache& cache) {
  for (size_t g = 0; g < cache.groups().size(); ++g) {
    int64_t wanted = 0;
    for (const Grant& grant : decision.grants) wanted += grant.new_blocks[g];
    if (wanted > cache.pool(g).free_count()) {
      return internal_error("the plan takes {} blocks of cache group {}, {} are free", wanted,
                            cache.groups()[g].name, cache.pool(g).free_count());
    }
  }
  return OkStatus();
}

}  // namespace

PlanState plan_state(const SequenceLists& lists, const KvCache& cache, int32_t max_waiting) {
  PlanState state;
  state.running.reserve(lists.running().size());
  for (const Sequence* sequence : lists.running()) state.running.push_back(view_of(*sequence));
  const size_t waiting = std::min(lists.waiting().size(), static_cast<size_t>(max_waiting));
  state.waiting.reserve(waiting);
  for (size_t i = 0; i < waiting; ++i) state.waiting.push_back(view_of(*lists.waiting()[i]));
  for (size_t g = 0; g < cache.groups().size(); ++g) {
    state.groups.push_back({&cache.groups()[g], cache.pool(g).free_count(), &cache.pool(g).all_refs()});
  }
  return state;
}

StatusOr<CommittedStep> commit(const StepDecision& decision, StepId id, SequenceLists& lists,
                               KvCache& cache) {
  CommittedStep step;
  step.plan.id = id;
  step.tokens = decision.tokens;
  std::vector<Sequence*> preempted, granted;  // the decision's indices are into the lists as they are now
  for (const int32_t index : decision.preempted)
    preempted.push_back(lists.running()[static_cast<size_t>(index)]);
  for (const Grant& grant : decision.grants) {
    granted.push_back((grant.admitted ? lists.waiting() : lists.running())[static_cast<size_t>(grant.index)]);
  }
  for (Sequence* sequence : preempted) {
    cache.release(sequence->blocks);
    sequence->computed = 0;
    lists.wait(sequence);
    step.preempted.push_back(sequence->id);
  }
  RETURN_IF_ERROR(check_blocks(decision, cache));

  std::vector<CacheCopy> copies;
  Rows rows;
  for (size_t i = 0; i < granted.size(); ++i) {
    Sequence& sequence = *granted[i];
    const int32_t to = sequence.computed + decision.grants[i].tokens;
    CHECK_MSG(cache.extend(sequence.blocks, sequence.computed, to, id, &copies),
              "blocks were counted before");
    if (sequence.state != SequenceState::kRunning) lists.run(&sequence);
    rows.add(sequence, sequence.computed, to);
    step.parts.push_back({sequence.id, decision.grants[i].tokens, to == sequence.prompt_size()});
  }
  for (const CacheCopy& copy : copies) step.plan.copies.push_back({copy.group, copy.from, copy.to});
  step.plan.rows = rows.take();
  for (size_t i = 0; i < step.plan.rows.size(); ++i) {
    const StepRow& row = step.plan.rows[i];
    if (row.logits == LogitsWanted::kNone) continue;
    const bool samples = row.logits == LogitsWanted::kSampleLast;
    step.results.push_back({row.sequence,
                            samples ? ExpectedResult::Kind::kSample : ExpectedResult::Kind::kPromptLogits,
                            static_cast<int32_t>(i)});
  }
  return step;
}

}  // namespace hadal
