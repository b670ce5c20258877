#include "lab/simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "lab/scenario_parts.h"
#include "lab/step_cost.h"

namespace hadal {
namespace {

TEST(StepCost, FitsWhatWasMeasured) {
  for (const CardCost& card : card_costs()) {
    for (const MeasuredStep& step : card.measured) {
      const double ms = 1e3 * card.cost.seconds(step.shape);
      EXPECT_NEAR(ms / step.ms, 1.0, 0.065) << card.name << ": " << step.what << ", " << ms << " ms";
    }
  }
}

TEST(StepCost, IsFoundByNameOrGivenAsFourNumbers) {
  EXPECT_EQ(find_card_cost("v2-lite-h200")->kv_bytes_per_token, 31104);
  EXPECT_EQ(find_card_cost("abacus").status().code(), absl::StatusCode::kNotFound);
  const StatusOr<StepCost> cost = parse_step_cost("5000,10,20.5,30");
  ASSERT_TRUE(cost.ok()) << cost.status();
  // 5,000 us + 2 rows of 10 + 1,000 tokens of 20.5 ns + 4 prompt tokens of 30
  EXPECT_DOUBLE_EQ(cost->seconds({.decode_rows = 2, .prompt_tokens = 4, .kv_tokens = 1000}), 5160.5e-6);
  for (const char* wrong :
       {"", "1", "1,2,3", "1,2,3,4,5", "0,1,1,1", "5,-1,1,1", "5,1,1,x", "5,1,,1", "nan,1,1,1"})
    EXPECT_FALSE(parse_step_cost(wrong).ok()) << wrong;
}

SimulationOptions small_house() {
  SimulationOptions options;
  options.cost = *parse_step_cost("1000,10,1,5");
  options.block_tokens = 16;
  options.num_blocks = 32;  // too few for all: some are preempted
  options.engine.max_num_seqs = 16;
  options.engine.max_num_batched_tokens = 64;
  return options;
}

/// Two tenants in closed loops for two seconds.
std::unique_ptr<Simulation> busy_run(SimulationOptions options, uint64_t seed) {
  options.seed = seed;
  auto simulation = std::move(Simulation::create(options)).value();
  Clients clients(simulation.get(), seed);
  clients.start(
      {.tenant = "a", .clients = 12, .prompt_low = 5, .prompt_high = 90, .output_low = 1, .output_high = 80});
  clients.start({.tenant = "b",
                 .clients = 2,
                 .prompt_low = 100,
                 .prompt_high = 300,
                 .output_low = 1,
                 .output_high = 9,
                 .pause_s = 0.01});
  EXPECT_TRUE(simulation->run(2.0).ok());
  simulation->on_end = nullptr;
  EXPECT_TRUE(simulation->run().ok());  // those that are under way
  return simulation;
}

std::vector<double> times_of(const Simulation& simulation) {
  std::vector<double> times;
  for (const SimOutcome& one : simulation.outcomes()) {
    times.push_back(one.arrival_s);
    times.push_back(one.first_token_s);
    times.push_back(one.finish_s);
  }
  return times;
}

TEST(Simulation, IsTheSameBySeed) {
  const auto first = busy_run(small_house(), 7), again = busy_run(small_house(), 7),
             other = busy_run(small_house(), 8);
  EXPECT_GT(first->outcomes().size(), 100u);
  EXPECT_EQ(times_of(*first), times_of(*again));
  EXPECT_NE(times_of(*first), times_of(*other));
}

TEST(Simulation, ServesEveryTokenOnce) {
  for (const SchedulingPolicy policy :
       {SchedulingPolicy::kFair, SchedulingPolicy::kFcfs, SchedulingPolicy::kStatic}) {
    SimulationOptions options = small_house();
    options.engine.policy = policy;
    const auto simulation = busy_run(options, 3);
    if (policy != SchedulingPolicy::kStatic) {
      EXPECT_GT(simulation->stats().preemptions, 0) << "the test is about recomputing, too";
    }
    std::vector<double> wanted(2), charged(2);
    int64_t generated = 0;
    for (const SimOutcome& one : simulation->outcomes()) {
      EXPECT_EQ(one.finish, FinishReason::kLength);
      EXPECT_EQ(one.delivered, one.output_tokens);
      EXPECT_LE(one.arrival_s, one.due_s);
      EXPECT_LE(one.due_s, one.scheduled_s);
      EXPECT_LT(one.scheduled_s, one.first_token_s);
      EXPECT_LE(one.first_token_s, one.finish_s);
      // the last token that is drawn is not computed; prompts share nothing
      wanted[static_cast<size_t>(one.tenant)] += one.prompt_tokens + 2.0 * (one.output_tokens - 1);
      generated += one.output_tokens;
    }
    double seconds = 0;
    for (const SimStep& step : simulation->steps()) {
      seconds += step.seconds;
      for (size_t t = 0; t < step.charges.size(); ++t) charged[t] += step.charges[t];
      EXPECT_LE(step.shape.decode_rows + step.shape.prompt_tokens, 64);
      EXPECT_LE(step.used_places, step.held_places);
    }
    EXPECT_EQ(charged, wanted);
    EXPECT_EQ(simulation->stats().generation_tokens, generated);
    EXPECT_LE(seconds, simulation->now_s() + 1e-6);
  }
}

/// What the simulator counts from the steps' rows is what the scheduler charges.
TEST(Simulation, CountsWhatTheSchedulerCharges) {
  const auto simulation = std::move(Simulation::create(small_house())).value();
  for (int i = 0; i < 30; ++i)
    simulation->submit({.prompt_tokens = 20 + 3 * i, .output_tokens = 10 + i, .tenant = "a"});
  ASSERT_TRUE(simulation->run().ok());
  double charged = 0;
  for (const SimStep& step : simulation->steps()) charged += step.charges[0];
  for (const TenantStats& tenant : simulation->stats().tenants) {
    EXPECT_DOUBLE_EQ(tenant.counter, tenant.name == "a" ? charged : 0.0);
  }
}

TEST(Simulation, EqualTextIsComputedOnce) {
  SimulationOptions options = small_house();
  options.num_blocks = 1000;
  options.engine.max_num_batched_tokens = 2048;
  const auto simulation = std::move(Simulation::create(options)).value();
  simulation->submit({.prompt_tokens = 1024, .output_tokens = 2, .hash_ids = {5, 6}});
  simulation->submit({.arrival_s = 1.0, .prompt_tokens = 1024, .output_tokens = 2, .hash_ids = {5, 9}});
  ASSERT_TRUE(simulation->run().ok());
  EXPECT_EQ(simulation->stats().prompt_tokens_cached, 512);
}

TEST(Simulation, TimeIsTheStepsAndTheGaps) {
  SimulationOptions options = small_house();
  const auto simulation = std::move(Simulation::create(options)).value();
  simulation->submit({.arrival_s = 0.5, .prompt_tokens = 10, .output_tokens = 3});
  ASSERT_TRUE(simulation->run().ok());
  const SimOutcome& one = simulation->outcomes()[0];
  // 1 ms + 10 prompt tokens of 5 us + 10 tokens of context of 1 ns; then a row of 10 us with 11, with 12
  EXPECT_NEAR(one.first_token_s - one.arrival_s, 1050.010e-6, 2e-9);
  EXPECT_NEAR(one.finish_s - one.first_token_s, 1010.011e-6 + 1010.012e-6, 2e-9);
}

TEST(Simulation, ARequestThatCannotBeServedIsAnError) {
  const auto simulation = std::move(Simulation::create(small_house())).value();
  simulation->submit({.prompt_tokens = 5000, .output_tokens = 1});
  EXPECT_FALSE(simulation->run().ok());
}

TEST(Scenarios, ThatNeedNoTraceAreMetInAShortRun) {
  ScenarioOptions options;
  const CardCost card = *find_card_cost("v2-lite-h200");
  options.cost = card.cost;
  options.kv_tokens = card.kv_tokens;
  options.seconds = 20.0;
  for (const auto run : {simulate_shares, simulate_polite}) {
    const StatusOr<ScenarioReport> report = run(options);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_FALSE(report->requirements.empty());
    for (const Requirement& one : report->requirements) EXPECT_TRUE(one.met()) << to_text(*report);
  }
}

TEST(Scenarios, PagingIsArithmeticOnATraceOfEqualRequests) {
  ScenarioOptions options;
  options.cost = *parse_step_cost("1000,10,1,5");
  options.kv_tokens = 1 << 20;
  options.num_blocks = 1024;  // 65,536 places
  options.trace = std::vector<TraceRequest>(400, {.input_tokens = 640, .output_tokens = 64});
  const StatusOr<ScenarioReport> report = simulate_paging(options);
  ASSERT_TRUE(report.ok()) << report.status();
  // each of the 64 steps has 641 to 704 tokens, which are 11 blocks
  EXPECT_DOUBLE_EQ(*report->rows[0][1].value, 704.0);
  EXPECT_DOUBLE_EQ(*report->rows[1][1].value, 1640.0);
  EXPECT_DOUBLE_EQ(*report->rows[2][3].value, 16.0) << "65,536 places hold 16 of 4,096";
}

}  // namespace
}  // namespace hadal
