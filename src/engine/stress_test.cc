// Random workloads, replayable by seed: the engine against its slow twin (reference_model.h), step for step:
// who is refused, preempted, admitted with how long a prefix hit, who runs with how many tokens, which blocks
// everyone has, how many every account holds and has cached. Every output is that of the request alone.
// Blocks are poisoned as they are handed out.
//
// HADAL_STRESS_SEED runs one seed, HADAL_STRESS_STEPS sets how many steps are made in all.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/log.h"
#include "engine/stress_run.h"

namespace hadal {
namespace {

using namespace hadal::testing;  // NOLINT

uint64_t number_from(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// A CHECK that fails in the engine ends the process: then this says what to replay.
std::string replay;  // NOLINT
void say_replay(int) { (void)!write(STDERR_FILENO, replay.data(), replay.size()); }

TEST(EngineStress, TheSameAsTheSlowTwinStepForStep) {
  const auto steps = static_cast<int64_t>(number_from("HADAL_STRESS_STEPS", 20000));
  const uint64_t only = number_from("HADAL_STRESS_SEED", 0);
  StressTotals totals;
  const LogLevel level = log_level();
  set_log_level(LogLevel::kOff);  // steps fail by intent
  const auto handler = std::signal(SIGABRT, say_replay);
  for (uint64_t seed = only > 0 ? only : 1; totals.steps < steps && !HasFailure(); ++seed) {
    replay = "replay with HADAL_STRESS_SEED=" + std::to_string(seed) + "\n";
    SCOPED_TRACE(replay);
    StressRun(seed).run(100, &totals);
    if (only > 0) break;
  }
  std::signal(SIGABRT, handler);
  set_log_level(level);
  fmt::print(
      "{} steps: {} requests, {} refused, {} preemptions, {} tokens hit, {} evictions, {} floor claims, {} "
      "failed\n",
      totals.steps, totals.finished, totals.refused, totals.preemptions, totals.hits, totals.evictions,
      totals.claims, totals.failures);
  if (only > 0 || steps < 6000 || HasFailure()) return;  // too short to say whether the workload has it all
  EXPECT_GT(totals.preemptions, 50);
  EXPECT_GT(totals.hits, 1000);
  EXPECT_GT(totals.evictions, 100);
  EXPECT_GT(totals.refused, 5);
  EXPECT_GT(totals.claims, 5);
  EXPECT_GT(totals.failures, 10);
}

}  // namespace
}  // namespace hadal
