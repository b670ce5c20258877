// Rule 4: prompts and admissions, tenant by tenant.
#include <algorithm>
#include <cmath>

#include "engine/planner.h"

namespace hadal {

void Planner::serve_prompts() {
  for (size_t i = 0; i < state_.running.size(); ++i) {
    const SequenceView& one = running(i);
    const bool leader = static_cast<int32_t>(i) == leader_;
    const bool extends = leader && budget_.chunk == 0 && granted_[i] > 0 && granted_[i] < one.remaining();
    if (gone_[i] == 0 && ((granted_[i] == 0 && !one.generates() && !leader) || extends))
      tenant_of(one).prompts.push_back(static_cast<int32_t>(i));
  }
  while (tokens_left_ > 0 && rows_left_ >= 0) {
    const TenantId tenant = next_tenant();
    if (tenant < 0) return;
    if (serve_next_prompt(tenant)) continue;
    Tenant& one = tenants_[static_cast<size_t>(tenant)];
    const Turn turn = admit_next(tenant);
    if (turn != Turn::kOpen) one.turn = turn;
  }
}

/// The lowest counter among those whose turn is not over; equal: fewer running places, then lower number.
TenantId Planner::next_tenant() const {
  TenantId best = -1;
  for (size_t t = 0; t < tenants(); ++t) {
    const Tenant& one = tenants_[t];
    const bool has_work = one.next_prompt < one.prompts.size() || one.next_waiting < state_.waiting[t].size();
    if (one.turn != Turn::kOpen || !has_work) continue;
    if (best < 0) {
      best = static_cast<TenantId>(t);
      continue;
    }
    const Tenant& other = tenants_[static_cast<size_t>(best)];
    if (std::pair(one.counter, one.running_places) < std::pair(other.counter, other.running_places))
      best = static_cast<TenantId>(t);
  }
  return best;
}

/// False if the tenant has no running prompt left.
bool Planner::serve_next_prompt(TenantId tenant) {
  Tenant& one = tenants_[static_cast<size_t>(tenant)];
  if (one.next_prompt >= one.prompts.size()) return false;
  const auto index = static_cast<size_t>(one.prompts[one.next_prompt++]);
  SequenceView sequence = running(index);
  const bool leader = static_cast<int32_t>(index) == leader_;
  int32_t want = piece_of(sequence);
  if (leader) want -= granted_[index];
  want = std::min(want, tokens_left_);
  if (leader) sequence.computed += granted_[index];
  if (const auto most = allowance(tenant)) want = std::min(want, tokens_within(sequence, *most));
  if (!leader) {
    if (rows_left_ > 0)
      grant_running(index, fitting(sequence, want), budget_.chunk > 0 ? piece_of(sequence) : 1);
    return true;
  }
  for (size_t g = 0; g < ledgers_.size() && want > 0; ++g) {
    // blocks that the first token took are the grant's already: as if they were in the table
    std::vector<BlockId> table = (*sequence.tables)[g];
    const auto has = static_cast<size_t>(blocks_for(sequence.computed, ledgers_[g].spec().block_tokens));
    if (table.size() < has) table.resize(has, kNullBlock);
    want = ledgers_[g].fitting(account_of_tenant(tenant), table, sequence.computed, want);
  }
  if (want > 0) extend_leader(want);
  return true;
}

const PrefixHit& Planner::hit_of(TenantId tenant, size_t index) {
  std::optional<PrefixHit>& hit = hits_[static_cast<size_t>(tenant)][index];
  if (!hit) {
    const SequenceView& sequence = state_.waiting[static_cast<size_t>(tenant)][index];
    if (sequence.chain != nullptr && !sequence.returns_logits) {
      hit = state_.cache->find_prefix(*sequence.chain, sequence.known - 1);
    } else {
      hit.emplace();
      hit->tables.resize(ledgers_.size());
    }
  }
  return *hit;
}

/// Admits the tenant's next waiting sequence, or says why its turn is over.
Planner::Turn Planner::admit_next(TenantId tenant) {
  const auto t = static_cast<size_t>(tenant);
  Tenant& one = tenants_[t];
  while (one.next_waiting < state_.waiting[t].size() && refused_[t][one.next_waiting] != 0)
    ++one.next_waiting;
  if (one.next_waiting >= state_.waiting[t].size()) return Turn::kOver;
  const SequenceView& next = state_.waiting[t][one.next_waiting];
  const int32_t limit = state_.tenants[t].max_running;
  const bool entitled = one.entitled;
  if (rows_left_ < 1) return Turn::kOver;
  if (limit > 0 && one.running_places + next.places > limit) return Turn::kOver;
  const int32_t others_reserved = reserved_places_ - (entitled ? next.places : 0);
  if (total_places() + others_reserved + next.places > budget_.max_sequences) return Turn::kNoPlaces;
  if (budget_.policy == SchedulingPolicy::kStatic && !state_.running.empty()) return Turn::kOver;
  if (!decision_.preempted.empty() && !entitled) return Turn::kOver;

  const PrefixHit& hit = hit_of(tenant, one.next_waiting);
  const bool alone = state_.running.empty() && decision_.grants.empty();
  const bool claimed = one.entitled_to_blocks;  // then its hit is held and its blocks are set aside
  size_t held = 0;
  while (!claimed && held < ledgers_.size() && ledgers_[held].hold(hit.tables[held])) ++held;
  const auto undo = [&] {
    while (held > 0) ledgers_[--held].drop_last_hold();
  };
  for (size_t g = 0; claimed && g < ledgers_.size(); ++g) ledgers_[g].end_aside(account_of_tenant(tenant));
  SequenceView sequence = next;
  sequence.computed = hit.tokens;
  sequence.charged = std::max(sequence.charged, hit.tokens);
  sequence.tables = &hit.tables;
  const bool fits = claimed || (held == ledgers_.size() && (alone || whole_length_fits(sequence, hit)));
  if (!fits) {
    undo();
    return Turn::kOver;
  }
  int32_t want = std::min(piece_of(sequence), tokens_left_);
  // who was preempted for, runs
  if (const auto most = allowance(tenant))
    want = std::min(want, std::max(tokens_within(sequence, *most), entitled ? 1 : 0));
  Grant grant = make_grant(sequence, fitting(sequence, want), budget_.chunk > 0 ? piece_of(sequence) : 1);
  if (grant.tokens == 0) {
    undo();
    return Turn::kOver;
  }
  grant.admitted = true;
  grant.waiting = {tenant, static_cast<int32_t>(one.next_waiting)};
  grant.hit = hit;
  one.running_places += next.places;
  if (entitled) reserved_places_ -= next.places;
  one.entitled = one.entitled_to_blocks = false;
  ++one.next_waiting;
  sequence.computed += grant.tokens;  // as it stands after this step, for those who come next
  admitted_.push_back(sequence);
  decision_.grants.push_back(std::move(grant));
  return Turn::kOpen;
}

/// Blocks that running and admitted sequences will still take for the tokens they already have, beyond this
/// step: of all tenants, and of `tenant` alone.
void Planner::blocks_still_needed(size_t g, TenantId tenant, int64_t* all, int64_t* own) const {
  const auto add = [&](const SequenceView& sequence, int32_t to) {
    const std::vector<BlockId>& table = (*sequence.tables)[g];
    const int32_t held = blocks_in(table) + std::max(0, blocks_for(to, ledgers_[g].spec().block_tokens) -
                                                            static_cast<int32_t>(table.size()));
    const int64_t more = std::max<int64_t>(0, whole_need(sequence, g) - held);
    *all += more;
    if (sequence.tenant == tenant) *own += more;
  };
  for (size_t i = 0; i < state_.running.size(); ++i) {
    if (gone_[i] == 0 && granted_[i] < running(i).remaining())
      add(running(i), running(i).computed + granted_[i]);
  }
  for (const SequenceView& one : admitted_) {
    if (one.remaining() > 0) add(one, one.computed);
  }
}

bool Planner::whole_length_fits(const SequenceView& next, const PrefixHit& hit) const {
  const AccountId account = account_of_tenant(next.tenant);
  for (size_t g = 0; g < ledgers_.size(); ++g) {
    int64_t all = 0, own = 0;
    blocks_still_needed(g, next.tenant, &all, &own);
    const int64_t need = std::max<int64_t>(0, whole_need(next, g) - blocks_in(hit.tables[g]));
    if (need + all > ledgers_[g].available_without_ceiling(account)) return false;
    if (ledgers_[g].held(account) + need + own > ledgers_[g].ceiling(account)) return false;
  }
  return true;
}

/// How much the tenant may be charged in what is left of this step; none: no limit.
std::optional<double> Planner::allowance(TenantId tenant) const {
  if (budget_.chunk > 0 || budget_.policy != SchedulingPolicy::kFair) return std::nullopt;
  const Tenant& own = tenants_[static_cast<size_t>(tenant)];
  std::optional<double> lowest;
  for (size_t t = 0; t < tenants(); ++t) {
    const Tenant& other = tenants_[t];
    if (t == static_cast<size_t>(tenant) || !other.ran || other.turn != Turn::kNoPlaces) continue;
    if (other.counter < own.counter && (!lowest || other.counter < *lowest)) lowest = other.counter;
  }
  if (!lowest) return std::nullopt;
  return std::max(0.0, *lowest + budget_.max_tokens / 8.0 - own.counter);
}

/// How many tokens of the sequence cost its tenant at most `most`.
int32_t Planner::tokens_within(const SequenceView& sequence, double most) const {
  const double weight = state_.tenants[static_cast<size_t>(sequence.tenant)].weight;
  int32_t low = 0, high = sequence.remaining();
  while (low < high) {
    const int32_t middle = low + (high - low + 1) / 2;
    const double cost =
        step_charge(sequence, sequence.computed, sequence.computed + middle, budget_.output_token_cost);
    if (cost <= most * weight) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace hadal
