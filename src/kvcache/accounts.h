// Who the blocks of a pool are charged to, and how many each may still take.
//
// Why counts are enough for a plan. For viewer t let P(a) = min(cached(a), max(0, floor(a) - held(a))) be
// what account a has protected, and X = free + sum over a of (cached(a) - P(a)). Then t can take X + P(t)
// blocks. Whatever unprotected cached block the order of eviction picks, X + P(v) of every viewer v changes
// by the same: a pick from a lowers cached(a) and leaves P(a) alone, since cached(a) > floor(a) - held(a)
// when u(a) > floor(a). And no take raises what another can take. So if the counts fit at the end of a plan,
// every single take of the commit fits. P(a) = max(0, floor - held) - max(0, floor - usage), and the second
// term is 0 as soon as usage has reached the floor, however many of its cached blocks are then picked: a plan
// can follow P without knowing the picks.
//
// Threads: one (the engine's).
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace hadal {

/// Index of an account: kSharedAccount, or tenant + 1.
using AccountId = int32_t;
inline constexpr AccountId kSharedAccount = 0;
inline constexpr AccountId account_of_tenant(int32_t tenant) { return tenant + 1; }

/// Blocks of one pool. floor <= ceiling; the floors of all accounts together are at most the pool's blocks.
struct AccountLimits {
  int32_t floor = 0;
  int32_t ceiling = std::numeric_limits<int32_t>::max();
};

struct AccountCounts {
  int32_t held = 0;    // held by sequences, or waiting for a launched step
  int32_t cached = 0;  // held by nobody, findable, evictable
  AccountLimits limits;

  int32_t usage() const { return held + cached; }
  int32_t protected_blocks() const { return std::min(cached, std::max(0, limits.floor - held)); }
};

}  // namespace hadal
