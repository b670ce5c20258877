// Carries out the rule of docs/contracts/scheduler.md for one step. The numbers in the comments are the
// rule's.
//
// Threads: none of its own; made for one plan.
#pragma once

#include <optional>
#include <vector>

#include "engine/group_ledger.h"
#include "engine/scheduler.h"

namespace hadal {

class Planner {
 public:
  Planner(const PlanState& state, const StepBudget& budget, MonotonicTime now);
  StepDecision run();

 private:
  enum class VictimKind : uint8_t { kLeader, kAnybody, kDecode, kFloor };
  /// Why a tenant's turn is over (rule 4).
  enum class Turn : uint8_t { kOpen, kOver, kNoPlaces };

  struct Tenant {
    double counter = 0.0;          // with this step's charges
    int32_t running_places = 0;    // preempted ones left out, admitted ones counted
    std::vector<int32_t> prompts;  // running prompts in order, indices into running
    size_t next_prompt = 0;
    size_t next_waiting = 0;
    Turn turn = Turn::kOpen;
    bool ran = false;                 // has a grant in this step
    bool entitled = false;            // its head may be admitted although the step preempted
    bool entitled_to_blocks = false;  // and what it needs is set aside for it
  };

  // the rule, planner.cc
  void refuse_late();
  void serve_leader();
  void claim();
  void serve_generating();
  void serve_prompts();

  // claims and victims, planner_claims.cc
  void claim_for(TenantId tenant);
  bool claim_places(TenantId tenant, const SequenceView& head);
  bool claim_blocks(TenantId tenant, size_t head);
  bool has_floor(TenantId tenant) const;
  bool over_ceiling(TenantId tenant, size_t head);
  int64_t need_of(TenantId tenant, size_t index, size_t group);
  std::optional<int32_t> places_victim(TenantId tenant, const std::vector<int32_t>& fair,
                                       const std::vector<int32_t>& places,
                                       const std::vector<int32_t>& chosen) const;
  std::vector<int32_t> fair_places() const;
  bool preempt_victim(VictimKind kind, const SequenceView& sequence, size_t group);
  bool is_candidate(VictimKind kind, const SequenceView& victim, const SequenceView& sequence,
                    size_t group) const;
  bool any_candidate_over_floor(const SequenceView& sequence, size_t group) const;
  void preempt(int32_t index);

  // admissions, planner_admission.cc
  TenantId next_tenant() const;
  bool serve_next_prompt(TenantId tenant);
  Turn admit_next(TenantId tenant);
  bool whole_length_fits(const SequenceView& next, const PrefixHit& hit) const;
  void blocks_still_needed(size_t group, TenantId tenant, int64_t* all, int64_t* own) const;
  std::optional<double> allowance(TenantId tenant) const;
  int32_t tokens_within(const SequenceView& sequence, double charge) const;
  const PrefixHit& hit_of(TenantId tenant, size_t index);

  // grants, planner.cc
  const SequenceView& running(size_t index) const { return state_.running[index]; }
  Tenant& tenant_of(const SequenceView& sequence) { return tenants_[static_cast<size_t>(sequence.tenant)]; }
  bool free_to_preempt(size_t index) const {
    return gone_[index] == 0 && granted_[index] == 0 && static_cast<int32_t>(index) != leader_;
  }
  int32_t piece_of(const SequenceView& sequence) const;
  int32_t fitting(const SequenceView& sequence, int32_t want) const;
  /// The first group that has no block for one more token of the sequence; none if all have.
  std::optional<size_t> lacking_group(const SequenceView& sequence, int32_t tokens) const;
  int32_t rows_for(const SequenceView& sequence, int32_t tokens) const;
  Grant make_grant(const SequenceView& sequence, int32_t tokens, int32_t least);
  void grant_running(size_t index, int32_t tokens, int32_t least);
  void extend_leader(int32_t tokens);
  void charge(const SequenceView& sequence, int32_t from, int32_t to, Grant* grant);
  int64_t whole_need(const SequenceView& sequence, size_t group) const;
  int32_t total_places() const;
  size_t tenants() const { return tenants_.size(); }

  const PlanState& state_;
  const StepBudget& budget_;
  const MonotonicTime now_;
  std::vector<GroupLedger> ledgers_;
  std::vector<Tenant> tenants_;
  std::vector<std::vector<uint8_t>> refused_;                // by tenant and waiting index
  std::vector<std::vector<std::optional<PrefixHit>>> hits_;  // asked for so far
  std::vector<int32_t> granted_;                             // tokens, per running sequence
  std::vector<uint8_t> gone_;                                // preempted, per running sequence
  std::vector<SequenceView> admitted_;
  int32_t leader_ = -1;        // index into running
  int32_t leader_grant_ = -1;  // index into the decision's grants
  int32_t tokens_left_ = 0;
  int32_t rows_left_ = 0;
  int32_t reserved_places_ = 0;  // for entitled heads that are not admitted yet
  StepDecision decision_;
};

}  // namespace hadal
