// hadal bench MODEL: prefill and decode beside the machine's read bandwidth. `hadal bench serve`, `hadal
// bench load`, `hadal bench cache` and `hadal bench simulate` have files of their own.
#include <fmt/core.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/engine_options.h"
#include "lab/engine_speed.h"

namespace hadal {
namespace {

std::string idle_text(const GapSummary& idle) {
  return fmt::format("p50 {:.1f} us, p99 {:.1f} us, max {:.1f} us ({} gaps, {} upper bounds)",
                     1e6 * idle.seconds.p50, 1e6 * idle.seconds.p99, 1e6 * idle.seconds.max,
                     idle.seconds.count, idle.late);
}

void print_table(const BenchReport& report, const BenchOptions& options) {
  std::printf("%s, prompt %d, output %d, sequences %d, %.1f MB read a step\n", report.device.c_str(),
              options.prompt_tokens, options.output_tokens, options.batch,
              static_cast<double>(report.bytes_per_step) / 1e6);
  std::printf("%6s %16s %10s %16s %16s %14s %12s %8s\n", "round", "prefill tok/s", "TTFT ms", "decode tok/s",
              "step p50/p99 ms", "decode GB/s", "probe GB/s", "ratio");
  for (size_t index = 0; index < report.rounds.size(); ++index) {
    const BenchRound& round = report.rounds[index];
    std::printf("%6zu %16.1f %10.2f %16.2f %8.3f/%7.3f %14.2f %12.2f %7.0f%%\n", index + 1,
                round.prefill_tokens_per_s, 1e3 * round.ttft_s, round.decode_tokens_per_s,
                1e3 * round.step_p50_s, 1e3 * round.step_p99_s, round.decode_gb_per_s, round.read_gb_per_s,
                100 * round.decode_gb_per_s / round.read_gb_per_s);
  }
  std::printf("%6s %16.1f %10.2f %16.2f %8.3f/%7.3f %14s %12.2f %7.0f%%\n", "median", report.median_prefill,
              1e3 * report.median_ttft_s, report.median_decode, 1e3 * report.median_step_p50_s,
              1e3 * report.median_step_p99_s, "", report.median_read, 100 * report.median_decode_ratio);
  if (report.touched.experts > 0) {
    std::printf("experts touched a step and layer: %.1f of %d (mean of %llu steps)\n", report.touched.mean,
                report.touched.experts, static_cast<unsigned long long>(report.touched.steps));
  }
  std::printf("device idle between decode steps: %s\n", idle_text(report.idle).c_str());
  if (!report.churn) return;
  const ChurnReport& churn = *report.churn;
  std::printf(
      "churn: %lld steps, %lld requests joined, %lld ended, %lld of them cancelled, %.1f tok/s; device idle: "
      "%s\n",
      static_cast<long long>(churn.steps), static_cast<long long>(churn.joined),
      static_cast<long long>(churn.ended), static_cast<long long>(churn.cancelled), churn.tokens_per_s,
      idle_text(churn.idle).c_str());
}

nlohmann::ordered_json idle_json(const GapSummary& idle) {
  return {{"gaps", idle.seconds.count},    {"late", idle.late},
          {"p50", 1e6 * idle.seconds.p50}, {"p90", 1e6 * idle.seconds.p90},
          {"p99", 1e6 * idle.seconds.p99}, {"max", 1e6 * idle.seconds.max}};
}

nlohmann::ordered_json to_json(const BenchReport& report) {
  nlohmann::ordered_json json;
  json["device"] = report.device;
  json["bytes_per_step"] = report.bytes_per_step;
  json["prefill_tokens_per_s"] = report.median_prefill;
  json["decode_tokens_per_s"] = report.median_decode;
  json["ttft_s"] = report.median_ttft_s;
  json["step_p50_s"] = report.median_step_p50_s;
  json["step_p99_s"] = report.median_step_p99_s;
  json["read_gb_per_s"] = report.median_read;
  json["decode_share_of_read_bandwidth"] = report.median_decode_ratio;
  json["device_idle_us"] = idle_json(report.idle);
  if (report.touched.experts > 0) {
    json["experts_touched"] = {
        {"steps", report.touched.steps}, {"mean", report.touched.mean}, {"of", report.touched.experts}};
  }
  if (report.churn) {
    json["churn"] = {{"steps", report.churn->steps},
                     {"joined", report.churn->joined},
                     {"ended", report.churn->ended},
                     {"cancelled", report.churn->cancelled},
                     {"tokens_per_s", report.churn->tokens_per_s},
                     {"device_idle_us", idle_json(report.churn->idle)}};
  }
  for (const BenchRound& round : report.rounds) {
    json["rounds"].push_back({{"prefill_tokens_per_s", round.prefill_tokens_per_s},
                              {"decode_tokens_per_s", round.decode_tokens_per_s},
                              {"ttft_s", round.ttft_s},
                              {"step_p50_s", round.step_p50_s},
                              {"step_p99_s", round.step_p99_s},
                              {"window_begin_s", round.window_begin_s},
                              {"steps_s", round.steps_s},
                              {"decode_gb_per_s", round.decode_gb_per_s},
                              {"read_gb_per_s", round.read_gb_per_s}});
  }
  return json;
}

int bench_model(const Arguments& arguments) {
  BenchOptions options;
  bool as_json = false;
  options.engine.max_num_seqs = 1;
  OptionTable table(
      "hadal bench",
      "Measures prefill and decode through the engine. Before and after every round the machine's read "
      "bandwidth is probed, so the last column compares like with like. With one sequence it is the share of "
      "that bandwidth at which the weights are read.\n\nOther measurements: `hadal bench serve` (load on a "
      "running server), `hadal bench load` (weights from files to a GPU), `hadal bench cache` (the prefix "
      "cache over a recorded trace), `hadal bench simulate` (the scheduler on a simulated clock); each has "
      "its own --help.");
  add_model_option(table, options.engine);
  table.option("--prompt-tokens", &options.prompt_tokens, "prompt length");
  table.option("--output-tokens", &options.output_tokens, "tokens to generate");
  table.option("--batch", &options.batch, "sequences at once");
  table.option("--rounds", &options.rounds, "measured rounds, after one to warm up");
  table.option(
      "--churn-steps", &options.churn_steps,
      "then at least so many steps in which requests join, end and are cancelled, with penalties; 0: "
      "none");
  table.option("--max-num-batched-tokens", &options.engine.max_num_batched_tokens, "tokens of one step");
  add_device_options(table, options.engine);
  table.option("--json", &as_json, "as one JSON object");
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  const auto found = bench_engine(options);
  if (!found.ok()) return report(found.status());
  if (as_json) {
    std::printf("%s\n", to_json(*found).dump(2).c_str());
  } else {
    print_table(*found, options);
  }
  return kExitOk;
}

}  // namespace

int run_bench(const Arguments& arguments) {
  // A folder of one of these names is still reached as ./serve.
  const std::string first = arguments.empty() ? std::string() : arguments.front();
  if (first == "serve") return run_bench_serve(Arguments(arguments.begin() + 1, arguments.end()));
  if (first == "simulate") return run_bench_simulate(Arguments(arguments.begin() + 1, arguments.end()));
  if (first == "load") return run_bench_load(Arguments(arguments.begin() + 1, arguments.end()));
  if (first == "cache") return run_bench_cache(Arguments(arguments.begin() + 1, arguments.end()));
  return bench_model(arguments);
}

}  // namespace hadal
