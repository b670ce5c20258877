// For tests: what the slow twin of the engine knows (see reference_model.h): sequences, tenants, limits,
// blocks.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "engine/reference_cache.h"

namespace hadal::testing {

struct RefLimits {
  int tokens = 0, rows = 0, places = 0, chunk = 0, threshold = 0;
  double output_cost = 2.0;
  bool only_when_idle = false;  // static batching
};

struct RefTenant {
  double weight = 1.0;
  int max_running = 0;
  double counter = 0.0;
  int requests = 0;  // running or waiting
};

struct RefSequence {
  RefText text;
  int tenant = 0, priority = 0;
  int computed = 0, charged = 0;
  int places = 1;  // choices that come of it once its prompt is done
  int preemptions = 0;
  bool returns_logits = false, has_run = false, runs = false, born = false;
  std::optional<double> deadline;  // seconds

  int known() const { return static_cast<int>(text.tokens.size()); }
  int remaining() const { return known() - computed; }
  bool generates() const { return remaining() == 1 && computed >= text.prompt; }
};

struct RefState {
  RefLimits limits;
  std::vector<RefTenant> tenants;
  std::map<RefKey, RefSequence> sequences;
  ReferenceCache cache;

  const RefSequence& at(const RefKey& key) const { return sequences.at(key); }
  static int account_of(int tenant) { return tenant + 1; }
  int account(const RefKey& key) const { return account_of(at(key).tenant); }

  /// Sequences that run (or wait), first in order first.
  std::vector<RefKey> in_order(bool running) const {
    std::vector<RefKey> out;
    for (const auto& [key, sequence] : sequences) {
      if (sequence.runs == running) out.push_back(key);
    }
    std::sort(out.begin(), out.end(), [this](const RefKey& a, const RefKey& b) { return before(a, b); });
    return out;
  }
  bool before(const RefKey& a, const RefKey& b) const {
    return std::tie(at(a).priority, a) < std::tie(at(b).priority, b);
  }
};

/// What the rule says about one step.
struct RefStep {
  std::vector<RefKey> refused, preempted;  // in order
  std::vector<RefKey> order;               // who runs, in the order of the commit
  std::map<RefKey, int> tokens;            // with how many
  std::map<RefKey, int> hits;              // of those admitted: tokens of the prefix hit
  std::vector<RefKey> floor_claims;        // heads whose claim to blocks within a floor was met

  int total() const {
    int sum = 0;
    for (const auto& [key, count] : tokens) sum += count;
    return sum;
  }
};

}  // namespace hadal::testing
