#include "engine/step_builder.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/check.h"

namespace hadal {
namespace {

SequenceView view_of(const Sequence& sequence) {
  return {.order = sequence.order,
          .tenant = sequence.tenant,
          .prompt = sequence.prompt_size(),
          .known = sequence.plannable(),
          .computed = sequence.next(),
          .charged = sequence.charged,
          .places = sequence.places,
          .preemptions = sequence.preemptions,
          .returns_logits = sequence.wants_prompt_logits,
          .has_run = sequence.has_run,
          .deadline = sequence.deadline,
          .tables = &sequence.blocks.tables,
          .chain = &sequence.chain};
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
  const auto position = static_cast<int32_t>(sequence.output.size()) + (sequence.pending != 0 ? 1 : 0);
  row.output_position = static_cast<uint32_t>(position);
  if (sequence.sampling->penalised()) {
    row.prompt = sequence.prompt;
    row.output_ids = sequence.output;  // the runner adds the pending one
  }
  if (position < sequence.min_tokens) row.forbidden = sequence.stop_ids;
  if (sequence.rules == nullptr) return;
  if (sequence.thinking_ends_at(position)) row.forced = sequence.rules->end_of_thinking;
  sequence.rules->add_forbidden(sequence.output, row.forbidden);  // nothing is pending where it matters
}

StepRow make_row(const Sequence& sequence, TokenForm form, int32_t from, int32_t to) {
  StepRow row;
  row.sequence = sequence.id;
  row.form = form;
  row.first_position = from;
  if (from == sequence.known()) {
    row.token_from = sequence.pending;
  } else {
    row.tokens = tokens_between(sequence, from, to);
  }
  row.block_table = sequence.blocks.tables;
  return row;
}

/// The rows of a step, sorted into the three kinds.
class Rows {
 public:
  explicit Rows(size_t parts) { output_rows_.reserve(parts); }
  void add(const Sequence& sequence, int32_t from, int32_t to) {
    const int32_t prompt = sequence.prompt_size();
    const bool samples = to == sequence.known() + (sequence.pending != 0 ? 1 : 0);
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

/// The decision's sequences; its indices are into the lists as they are now.
struct Named {
  std::vector<Sequence*> refused, preempted, granted;
};

Named name_all(const StepDecision& decision, const SequenceLists& lists) {
  const auto waiting = [&](const WaitingIndex& at) {
    return lists.waiting(at.tenant)[static_cast<size_t>(at.index)];
  };
  const auto running = [&](int32_t index) { return lists.running()[static_cast<size_t>(index)]; };
  Named named;
  named.granted.reserve(decision.grants.size());
  for (const WaitingIndex& at : decision.refused) named.refused.push_back(waiting(at));
  for (const int32_t index : decision.preempted) named.preempted.push_back(running(index));
  for (const Grant& grant : decision.grants)
    named.granted.push_back(grant.admitted ? waiting(grant.waiting) : running(grant.index));
  return named;
}

/// Blocks of a group that the grants take, counted as they will be taken: a copy that was planned is spared
/// when the other holders were preempted afterwards.
int64_t blocks_taken(const StepDecision& decision, const Named& named, const KvCache& cache, size_t g) {
  const int32_t size = cache.groups()[g].block_tokens;
  std::map<BlockId, int32_t> copied;  // holders that a shared block loses
  const auto refs = [&](BlockId block) {
    if (block == kNullBlock) return 0;
    const auto found = copied.find(block);
    return cache.pool(g).refs(block) - (found == copied.end() ? 0 : found->second);
  };
  int64_t sum = 0;
  for (size_t i = 0; i < named.granted.size(); ++i) {
    const Grant& grant = decision.grants[i];
    if (grant.admitted) {
      sum +=
          blocks_to_take(grant.hit.tables[g], size, grant.hit.tokens, grant.hit.tokens + grant.tokens, refs);
      continue;
    }
    const std::vector<BlockId>& table = named.granted[i]->blocks.tables[g];
    const int32_t from = named.granted[i]->next();
    sum += blocks_to_take(table, size, from, from + grant.tokens, refs);
    for (auto at = static_cast<size_t>(from / size); at < table.size(); ++at) {
      if (refs(table[at]) > 1) ++copied[table[at]];
    }
  }
  return sum;
}

Status check_blocks(const StepDecision& decision, const Named& named, const KvCache& cache) {
  for (size_t g = 0; g < cache.groups().size(); ++g) {
    std::set<BlockId> hits;  // cached ones that will be held
    for (const Grant& grant : decision.grants) {
      if (!grant.admitted) continue;
      for (const BlockId block : grant.hit.tables[g]) {
        if (block != kNullBlock && cache.pool(g).refs(block) == 0 && !cache.pool(g).in_flight(block))
          hits.insert(block);
      }
    }
    const int64_t wanted = blocks_taken(decision, named, cache, g);
    const int64_t there = cache.pool(g).free_count() + cache.pool(g).cached_count();
    if (wanted + static_cast<int64_t>(hits.size()) > there) {
      return internal_error(
          "the plan takes {} blocks of cache group {} beside {} hits, {} are free or cached", wanted,
          cache.groups()[g].name, hits.size(), there);
    }
  }
  return OkStatus();
}

void preempt(Sequence& sequence, SequenceLists& lists, KvCache& cache) {
  cache.release(sequence.blocks);
  sequence.computed = 0;
  ++sequence.preemptions;
  lists.wait(&sequence);
}

CommittedStep::Part make_part(Sequence& sequence, const Grant& grant) {
  CommittedStep::Part part;
  part.sequence = sequence.id;
  part.tokens = grant.tokens;
  part.admitted = grant.admitted;
  part.first_time = !sequence.has_run;
  part.hit_tokens = grant.admitted ? grant.hit.tokens : 0;
  part.takes_pending = sequence.next() == sequence.known();
  part.charge = grant.charge;
  const int32_t to = sequence.next() + grant.tokens;
  part.finishes_prompt = to == sequence.prompt_size();
  const int32_t again = std::min({to, sequence.prompt_size(), sequence.charged}) - sequence.next();
  part.recomputed = std::max(0, again);
  return part;
}

}  // namespace

PlanState plan_state(const SequenceLists& lists, const FairClock& clock,
                     const std::vector<TenantLimits>& limits, const KvCache& cache, int32_t max_sequences) {
  PlanState state;
  state.cache = &cache;
  state.running.reserve(lists.running().size());
  int32_t places = 0;
  for (const Sequence* sequence : lists.running()) {
    state.running.push_back(view_of(*sequence));
    places += sequence->places;
  }
  const auto most = static_cast<size_t>(std::max(1, max_sequences - places));
  const auto tenants = static_cast<size_t>(lists.tenants());
  state.waiting.resize(tenants);
  state.tenants.resize(tenants);
  for (size_t t = 0; t < tenants; ++t) {
    const std::vector<Sequence*>& waiting = lists.waiting(static_cast<TenantId>(t));
    const auto id = static_cast<TenantId>(t);
    state.tenants[t] = {.weight = clock.weight(id),
                        .counter = clock.counter(id),
                        .max_running = limits[t].max_running,
                        .active = clock.active(id)};
    size_t count = 0, certain = 0;  // how many are shown; of them those that cannot be refused
    int64_t deadlines = lists.may_be_refused(id);
    for (size_t i = 0; i < waiting.size() && (certain <= most || deadlines > 0); ++i) {
      const bool may_be_refused = waiting[i]->may_be_refused();
      if (may_be_refused || certain <= most) count = i + 1;
      deadlines -= may_be_refused ? 1 : 0;
      certain += may_be_refused ? 0 : 1;
    }
    for (size_t i = 0; i < count; ++i) state.waiting[t].push_back(view_of(*waiting[i]));
  }
  for (size_t g = 0; g < cache.groups().size(); ++g)
    state.groups.push_back({&cache.groups()[g], &cache.pool(g)});
  return state;
}

StatusOr<CommittedStep> commit(const StepDecision& decision, StepId id, SequenceLists& lists,
                               FairClock& clock, KvCache& cache) {
  CommittedStep step;
  step.plan.id = id;
  step.tokens = decision.tokens;
  const Named named = name_all(decision, lists);
  for (const Sequence* sequence : named.refused) step.refused.push_back(sequence->id);
  for (Sequence* sequence : named.preempted) {
    preempt(*sequence, lists, cache);
    step.preempted.push_back(sequence->id);
  }
  RETURN_IF_ERROR(check_blocks(decision, named, cache));

  // hits before takes: a take may evict what nobody holds
  for (size_t i = 0; i < named.granted.size(); ++i) {
    if (!decision.grants[i].admitted) continue;
    Sequence& sequence = *named.granted[i];
    cache.take_prefix(sequence.blocks, decision.grants[i].hit);
    sequence.computed = decision.grants[i].hit.tokens;
  }
  std::vector<CacheCopy> copies;
  Rows rows(named.granted.size());
  step.parts.reserve(named.granted.size());
  for (size_t i = 0; i < named.granted.size(); ++i) {
    Sequence& sequence = *named.granted[i];
    const Grant& grant = decision.grants[i];
    const int32_t from = sequence.next();
    const int32_t to = from + grant.tokens;
    CHECK_MSG(cache.extend(sequence.blocks, from, to, id, &copies), "blocks were counted before");
    step.parts.push_back(make_part(sequence, grant));
    if (sequence.state != SequenceState::kRunning) lists.run(&sequence);
    rows.add(sequence, from, to);
    const bool draws = to == sequence.known() + (sequence.pending != 0 ? 1 : 0);
    sequence.pending = draws ? id : 0;
    sequence.launched += grant.tokens;
    clock.charge(sequence.tenant, grant.charge);
    sequence.charged = std::max(sequence.charged, to);
    sequence.has_run = true;
  }
  for (const CacheCopy& copy : copies) step.plan.copies.push_back({copy.group, copy.from, copy.to});
  step.plan.rows = rows.take();
  step.results.reserve(step.plan.rows.size());
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
