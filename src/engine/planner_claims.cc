// Rule 2, and who is preempted for whom.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/planner.h"

namespace hadal {

void Planner::claim() {
  if (budget_.policy != SchedulingPolicy::kFair) return;
  std::vector<TenantId> order;
  for (size_t t = 0; t < tenants(); ++t) {
    if (!state_.waiting[t].empty()) order.push_back(static_cast<TenantId>(t));
  }
  std::stable_sort(order.begin(), order.end(), [this](TenantId a, TenantId b) {
    return tenants_[static_cast<size_t>(a)].counter < tenants_[static_cast<size_t>(b)].counter;
  });
  for (const TenantId tenant : order) claim_for(tenant);
}

void Planner::claim_for(TenantId tenant) {
  const auto t = static_cast<size_t>(tenant);
  size_t head = 0;
  while (head < state_.waiting[t].size() && refused_[t][head] != 0) ++head;
  if (head == state_.waiting[t].size()) return;
  const SequenceView& next = state_.waiting[t][head];
  const int32_t limit = state_.tenants[t].max_running;
  if (limit > 0 && tenants_[t].running_places + next.places > limit) return;
  const bool lacks_places = total_places() + reserved_places_ + next.places > budget_.max_sequences;
  if (lacks_places ? tenants_[t].running_places + next.places > fair_places()[t] : !has_floor(tenant)) return;
  if (over_ceiling(tenant, head)) return;
  if (lacks_places && !claim_places(tenant, next)) return;
  const bool blocks = claim_blocks(tenant, head);
  if (!lacks_places && !blocks) return;
  tenants_[t].entitled = true;
  tenants_[t].entitled_to_blocks = blocks;
  reserved_places_ += next.places;
}

/// New blocks for the whole known length of a waiting sequence, beyond its hit.
int64_t Planner::need_of(TenantId tenant, size_t index, size_t group) {
  const SequenceView& next = state_.waiting[static_cast<size_t>(tenant)][index];
  return std::max<int64_t>(0, whole_need(next, group) - blocks_in(hit_of(tenant, index).tables[group]));
}

bool Planner::has_floor(TenantId tenant) const {
  return std::any_of(ledgers_.begin(), ledgers_.end(), [tenant](const GroupLedger& ledger) {
    return ledger.floor(account_of_tenant(tenant)) > 0;
  });
}

/// With what its tenant's running sequences still need: would the head not be admitted?
bool Planner::over_ceiling(TenantId tenant, size_t head) {
  const AccountId account = account_of_tenant(tenant);
  for (size_t g = 0; g < ledgers_.size(); ++g) {
    int64_t all = 0, own = 0;
    blocks_still_needed(g, tenant, &all, &own);
    if (ledgers_[g].held(account) + need_of(tenant, head, g) + own > ledgers_[g].ceiling(account))
      return true;
  }
  return false;
}

std::vector<int32_t> Planner::fair_places() const {
  double sum = 0.0;
  for (const TenantView& one : state_.tenants) sum += one.active ? one.weight : 0.0;
  std::vector<int32_t> fair;
  for (const TenantView& one : state_.tenants) {
    const double share = sum > 0 ? budget_.max_sequences * one.weight / sum : 0.0;
    fair.push_back(std::max(1, static_cast<int32_t>(std::floor(share))));
  }
  return fair;
}

/// Preempts until there is a place for the head, which is within its tenant's fair ones, if that can be.
bool Planner::claim_places(TenantId tenant, const SequenceView& head) {
  const std::vector<int32_t> fair = fair_places();
  std::vector<int32_t> places, chosen;
  for (const Tenant& one : tenants_) places.push_back(one.running_places);
  int32_t lacking = total_places() + reserved_places_ + head.places - budget_.max_sequences;
  while (lacking > 0) {
    const auto victim = places_victim(tenant, fair, places, chosen);
    if (!victim) return false;
    chosen.push_back(*victim);
    const SequenceView& one = running(static_cast<size_t>(*victim));
    places[static_cast<size_t>(one.tenant)] -= one.places;
    lacking -= one.places;
  }
  for (const int32_t victim : chosen) preempt(victim);
  return true;
}

std::optional<int32_t> Planner::places_victim(TenantId tenant, const std::vector<int32_t>& fair,
                                              const std::vector<int32_t>& places,
                                              const std::vector<int32_t>& chosen) const {
  int32_t from = -1;
  for (size_t t = 0; t < tenants(); ++t) {
    if (t == static_cast<size_t>(tenant) || places[t] <= fair[t]) continue;
    const auto most = static_cast<size_t>(from);
    if (from < 0 || places[t] - fair[t] >= places[most] - fair[most]) from = static_cast<int32_t>(t);
  }
  for (size_t i = state_.running.size(); from >= 0 && i-- > 0;) {
    const bool taken = std::find(chosen.begin(), chosen.end(), static_cast<int32_t>(i)) != chosen.end();
    if (running(i).tenant == from && free_to_preempt(i) && !taken && running(i).preemptions < kMaxPreemptions)
      return static_cast<int32_t>(i);
  }
  return std::nullopt;
}

/// Preempts until the head's need, which lies within its tenant's floor, is available in every group, and
/// sets it aside.
bool Planner::claim_blocks(TenantId tenant, size_t head) {
  const auto t = static_cast<size_t>(tenant);
  const AccountId account = account_of_tenant(tenant);
  if (!has_floor(tenant)) return false;
  const SequenceView& next = state_.waiting[t][head];
  const PrefixHit& hit = hit_of(tenant, head);
  std::vector<int64_t> need(ledgers_.size());
  for (size_t g = 0; g < ledgers_.size(); ++g) {
    need[g] = need_of(tenant, head, g);
    int64_t all = 0, own = 0;
    blocks_still_needed(g, tenant, &all, &own);
    // cached blocks do not count: they make way for the head, which the tenant wants more than them
    if (ledgers_[g].held_with(account, hit.tables[g]) + need[g] + own > ledgers_[g].floor(account))
      return false;
  }
  for (size_t g = 0; g < ledgers_.size(); ++g) {
    while (true) {
      const bool holds = ledgers_[g].hold(hit.tables[g]);
      const bool enough = holds && ledgers_[g].available_to(account) >= need[g];
      if (holds) ledgers_[g].drop_last_hold();
      if (enough) break;
      if (!preempt_victim(VictimKind::kFloor, next, g)) return false;
    }
  }
  for (size_t g = 0; g < ledgers_.size(); ++g) {
    CHECK(ledgers_[g].hold(hit.tables[g]));
    ledgers_[g].set_aside(account, static_cast<int32_t>(need[g]));
  }
  return true;
}

bool Planner::any_candidate_over_floor(const SequenceView& sequence, size_t group) const {
  for (size_t i = 0; i < state_.running.size(); ++i) {
    const SequenceView& one = running(i);
    if (free_to_preempt(i) && one.tenant != sequence.tenant &&
        ledgers_[group].over_floor(account_of_tenant(one.tenant)))
      return true;
  }
  return false;
}

bool Planner::is_candidate(VictimKind kind, const SequenceView& victim, const SequenceView& sequence,
                           size_t group) const {
  const bool own = victim.tenant == sequence.tenant;
  const bool over = ledgers_[group].over_floor(account_of_tenant(victim.tenant));
  const bool later = victim.order > sequence.order;
  switch (kind) {
    case VictimKind::kLeader:
      return own || over;
    case VictimKind::kAnybody:
      return true;
    case VictimKind::kFloor:
      return !own && over;
    case VictimKind::kDecode:
      break;
  }
  if (ledgers_[group].below_floor(account_of_tenant(sequence.tenant)) > 0)
    return any_candidate_over_floor(sequence, group) ? !own && over : own && later;
  return later && (own || over) && victim.preemptions < kMaxPreemptions;
}

bool Planner::preempt_victim(VictimKind kind, const SequenceView& sequence, size_t group) {
  int32_t found = -1;
  for (size_t i = state_.running.size(); i-- > 0;) {  // the latest first
    if (!free_to_preempt(i) || &running(i) == &sequence || !is_candidate(kind, running(i), sequence, group))
      continue;
    const bool spared = running(i).preemptions >= kMaxPreemptions;
    if (found < 0) found = static_cast<int32_t>(i);
    if (spared) continue;
    found = static_cast<int32_t>(i);
    break;
  }
  // what is over a floor may be held by sequences of tenants that are not: hits on another account's blocks
  if (found < 0 && kind == VictimKind::kLeader) return preempt_victim(VictimKind::kAnybody, sequence, group);
  if (found < 0) return false;
  preempt(found);
  return true;
}

void Planner::preempt(int32_t index) {
  const SequenceView& victim = running(static_cast<size_t>(index));
  gone_[static_cast<size_t>(index)] = 1;
  tenant_of(victim).running_places -= victim.places;
  for (size_t g = 0; g < ledgers_.size(); ++g) ledgers_[g].give_back((*victim.tables)[g]);
  decision_.preempted.push_back(index);
}

}  // namespace hadal
