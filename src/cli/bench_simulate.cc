// hadal bench simulate: the engine's scheduler and cache on a clock that nobody waits for.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/options.h"
#include "lab/scenarios.h"
#include "lab/step_cost.h"
#include "lab/traces.h"

namespace hadal {
namespace {

struct SimulateArguments {
  std::string scenario = "load";
  std::string trace, policy, cost = "v2-lite-h200", arrivals = "saturated";
  std::optional<std::string> step_cost;
  std::optional<int64_t> kv_memory_bytes;
  int32_t kv_bytes_per_token = 0;
  bool as_json = false;
  ScenarioOptions options;
};

nlohmann::ordered_json to_json(const ScenarioReport& report) {
  nlohmann::ordered_json json;
  json["scenario"] = report.name;
  json["title"] = report.title;
  json["notes"] = report.notes;
  for (const std::vector<Cell>& row : report.rows) {
    nlohmann::ordered_json one;
    for (size_t i = 0; i < row.size(); ++i) {
      if (row[i].value) {
        one[report.columns[i]] = *row[i].value;
      } else {
        one[report.columns[i]] = row[i].text;
      }
    }
    json["rows"].push_back(std::move(one));
  }
  json["requirements"] = nlohmann::ordered_json::array();
  for (const Requirement& one : report.requirements) {
    json["requirements"].push_back(
        {{"what", one.what},
         {"value", one.value},
         {one.sense == Requirement::Sense::kAtLeast ? "at_least" : "at_most", one.limit},
         {"met", one.met()}});
  }
  return json;
}

/// Step cost and room for the cache.
Status set_card(const SimulateArguments& arguments, ScenarioOptions* options) {
  ASSIGN_OR_RETURN(const CardCost card, find_card_cost(arguments.cost));
  options->cost = card.cost;
  options->cost_name = fmt::format("{} ({})", card.name, card.source);
  options->kv_tokens = card.kv_tokens;
  if (arguments.step_cost) {
    ASSIGN_OR_RETURN(options->cost, parse_step_cost(*arguments.step_cost));
    options->cost_name = "a step cost of " + *arguments.step_cost;
  }
  if (!arguments.kv_memory_bytes) return OkStatus();
  const int32_t bytes =
      arguments.kv_bytes_per_token > 0 ? arguments.kv_bytes_per_token : card.kv_bytes_per_token;
  options->num_blocks = static_cast<int32_t>(
      std::min<int64_t>(*arguments.kv_memory_bytes / bytes / options->block_tokens, 1 << 28));
  return OkStatus();
}

Status check(const SimulateArguments& arguments) {
  const ScenarioOptions& options = arguments.options;
  if (options.block_tokens < 1) return invalid_argument("--block-size must be at least 1");
  for (const auto& [name, value] : {std::pair("--max-num-seqs", options.max_num_seqs),
                                    {"--num-blocks", options.num_blocks},
                                    {"--max-num-batched-tokens", options.max_num_batched_tokens}}) {
    if (value && *value < 1) return invalid_argument("{} must be at least 1", name);
  }
  if (options.num_requests.value_or(1) < 0 || options.concurrency < 0)
    return invalid_argument("--num-requests and --concurrency must not be negative");
  if (!(options.time_scale > 0)) return invalid_argument("--time-scale must be above 0");
  if (!(options.seconds.value_or(1) > 0)) return invalid_argument("--seconds must be above 0");
  if (options.prompt_tokens < 1 || options.output_tokens < 1)
    return invalid_argument("--prompt-tokens and --output-tokens must be at least 1");
  return OkStatus();
}

Status run(SimulateArguments* arguments) {
  ScenarioOptions& options = arguments->options;
  RETURN_IF_ERROR(check(*arguments));
  RETURN_IF_ERROR(set_card(*arguments, &options));
  if (arguments->policy == "fair") options.policy = SchedulingPolicy::kFair;
  if (arguments->policy == "fcfs") options.policy = SchedulingPolicy::kFcfs;
  if (arguments->policy == "static") options.policy = SchedulingPolicy::kStatic;
  options.recorded_arrivals = arguments->arrivals == "recorded";
  const Scenario* chosen = nullptr;
  for (const Scenario& one : scenarios()) {
    if (arguments->scenario == one.name) chosen = &one;
  }
  if (chosen->needs_trace && arguments->trace.empty())
    return invalid_argument("the scenario '{}' needs --trace FILE", chosen->name);
  if (!arguments->trace.empty()) {
    ASSIGN_OR_RETURN(Trace trace, read_trace(arguments->trace));
    options.trace = std::move(trace.requests);
  } else if (options.recorded_arrivals) {
    return invalid_argument("--arrivals recorded needs --trace FILE");
  }
  ASSIGN_OR_RETURN(const ScenarioReport report, chosen->run(options));
  std::printf("%s", arguments->as_json ? (to_json(report).dump(2) + "\n").c_str() : to_text(report).c_str());
  return OkStatus();
}

}  // namespace

int run_bench_simulate(const Arguments& arguments) {
  SimulateArguments made;
  ScenarioOptions& options = made.options;
  std::vector<std::string> names, costs;
  std::string summary =
      "Runs the engine (scheduler, paged cache, tenants) without a model: a step takes the time that it was "
      "measured to take on a card, on a clock that nobody waits for. The same options give the same run.\n\n"
      "Scenarios:";
  for (const Scenario& one : scenarios()) {
    names.emplace_back(one.name);
    summary += fmt::format("\n  {:<8} {}", one.name, one.summary);
  }
  for (const CardCost& one : card_costs()) costs.emplace_back(one.name);
  OptionTable table("hadal bench simulate", summary);
  table.option("--scenario", &made.scenario, "what is compared", names);
  table.option("--trace", &made.trace, "recorded lengths: Azure's CSV or Mooncake's JSONL");
  table.option("--num-requests", &options.num_requests, "the first requests of the trace; 0: all");
  table.option("--prompt-tokens", &options.prompt_tokens, "load without a trace: prompt length");
  table.option("--output-tokens", &options.output_tokens, "load without a trace: output length");
  table.option("--arrivals", &made.arrivals, "all at time 0, or as the trace says",
               {"saturated", "recorded"});
  table.option("--time-scale", &options.time_scale, "recorded arrivals so many times as fast");
  table.option("--concurrency", &options.concurrency, "load: so many requests in flight; 0: no limit");
  table.option("--seconds", &options.seconds, "tenants' scenarios: simulated seconds that are measured");
  table.option("--policy", &made.policy, "of the scheduler, where the scenario leaves it open",
               {"fair", "fcfs", "static"});
  table.option("--max-num-seqs", &options.max_num_seqs, "sequences that run together");
  table.option("--max-num-batched-tokens", &options.max_num_batched_tokens, "tokens of one step");
  table.option("--cost", &made.cost, "measured step cost and cache size", costs);
  table.option("--step-cost", &made.step_cost,
               "base_us,per_decode_us,per_kv_token_ns,per_prompt_token_us, instead of a measured one");
  table.option("--block-size", &options.block_tokens, "tokens of a cache block");
  table.option("--num-blocks", &options.num_blocks, "cache blocks; by default what the card has room for");
  table.option("--kv-cache-memory-bytes", &made.kv_memory_bytes, "cache size, instead of --num-blocks");
  table.option("--kv-bytes-per-token", &made.kv_bytes_per_token, "for it; by default the measured model's");
  table.option("--seed", &options.seed, "of lengths, pauses and prompts");
  table.option("--json", &made.as_json, "as one JSON object");
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  return report(run(&made));
}

}  // namespace hadal
