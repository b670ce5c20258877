// What the scheduler is held against, as simulations that anybody can repeat: each gives a table that says
// what is compared, and the requirements with what was measured (docs/performance.md quotes them).
//
// Threads: one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "lab/simulation.h"
#include "lab/traces.h"

namespace hadal {

/// What the command line may set; each scenario has its own defaults for what is not set.
struct ScenarioOptions {
  StepCost cost;
  std::string cost_name;
  int64_t kv_tokens = 0;  // that the card has room for
  std::optional<int32_t> num_blocks;
  int32_t block_tokens = 64;
  std::optional<SchedulingPolicy> policy;
  std::optional<int32_t> max_num_seqs, max_num_batched_tokens;
  std::optional<int32_t> num_requests;  // of the trace; 0: all
  std::optional<double> seconds;        // simulated time that is measured
  uint64_t seed = 0;
  std::vector<TraceRequest> trace;  // may be empty

  // the plain run ("load"), without a trace or with one
  int32_t prompt_tokens = 1024, output_tokens = 128;
  bool recorded_arrivals = false;  // else all at time 0
  double time_scale = 1.0;         // of recorded arrivals: 2 is twice as fast
  int32_t concurrency = 0;         // > 0: so many requests in flight, the next when one ends
};

/// A cell of a table: as text for people, as a number for programs.
struct Cell {
  Cell(std::string word) : text(std::move(word)) {}  // NOLINT: cells are written in lists
  Cell(const char* word) : text(word) {}             // NOLINT
  Cell(double number, int decimals, const char* unit = "");
  std::string text;
  std::optional<double> value;
};

struct Requirement {
  std::string what;
  double value = 0.0, limit = 0.0;
  enum class Sense : uint8_t { kAtLeast, kAtMost } sense = Sense::kAtLeast;
  bool met() const { return sense == Sense::kAtLeast ? value >= limit : value <= limit; }
};

struct ScenarioReport {
  std::string name, title;
  std::vector<std::string> notes;
  std::vector<std::string> columns;
  std::vector<std::vector<Cell>> rows;
  std::vector<Requirement> requirements;
};

struct Scenario {
  const char* name;
  const char* summary;
  bool needs_trace;
  StatusOr<ScenarioReport> (*run)(const ScenarioOptions& options);
};

/// All of them; the first is the plain run.
const std::vector<Scenario>& scenarios();

StatusOr<ScenarioReport> simulate_load(const ScenarioOptions& options);
StatusOr<ScenarioReport> simulate_static(const ScenarioOptions& options);
StatusOr<ScenarioReport> simulate_paging(const ScenarioOptions& options);
StatusOr<ScenarioReport> simulate_polite(const ScenarioOptions& options);
StatusOr<ScenarioReport> simulate_shares(const ScenarioOptions& options);
StatusOr<ScenarioReport> simulate_floors(const ScenarioOptions& options);

std::string to_text(const ScenarioReport& report);

}  // namespace hadal
