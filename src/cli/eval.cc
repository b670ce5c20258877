// hadal eval logits DIR --against expected.safetensors; hadal eval skills is in eval_skills.cc
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/engine_options.h"
#include "lab/logits_eval.h"

namespace hadal {
namespace {

int run_eval_logits(const Arguments& arguments) {
  EngineConfig config;
  std::string against;
  OptionTable table(
      "hadal eval logits",
      "Runs recorded prompts through the engine and prints one JSON line: max_error_in_std, greedy_equal, "
      "greedy_total, kernels. Exit code 1 if a logit is NaN.");
  add_model_option(table, config);
  table.option("--against", &against,
               "expected.safetensors: input_ids, logits, greedy and optionally comparable");
  add_device_options(table, config);
  table.option("--chunk", &config.chunk, "prefill in pieces of this many tokens; 0: in one piece");
  table.option("--block-size", &config.block_size, "tokens in a block of the KV cache");
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  if (against.empty()) {
    std::fprintf(stderr, "hadal eval logits: --against FILE is required\nTry hadal eval logits --help.\n");
    return kExitUsage;
  }
  const auto found = evaluate_logits(config, against);
  if (!found.ok()) return report(found.status());
  const bool finite = std::isfinite(found->max_error_in_std);
  nlohmann::ordered_json line;
  line["max_error_in_std"] =
      finite ? nlohmann::ordered_json(found->max_error_in_std) : nlohmann::ordered_json(nullptr);
  line["greedy_equal"] = found->greedy_equal;
  line["greedy_total"] = found->greedy_total;
  line["kernels"] = found->kernels;
  std::printf("%s\n", line.dump().c_str());
  return finite ? kExitOk : report(data_loss("a logit is not a number"));
}

}  // namespace

int run_eval(const Arguments& arguments) {
  if (!arguments.empty() && arguments.front() == "logits") {
    return run_eval_logits(Arguments(arguments.begin() + 1, arguments.end()));
  }
  if (!arguments.empty() && arguments.front() == "skills") {
    return run_eval_skills(Arguments(arguments.begin() + 1, arguments.end()));
  }
  const bool help = !arguments.empty() && (arguments.front() == "--help" || arguments.front() == "-h");
  std::fprintf(help ? stdout : stderr,
               "Usage: hadal eval logits DIR --against expected.safetensors [options]\n"
               "       hadal eval skills MODEL [options]\n"
               "Try hadal eval logits --help, hadal eval skills --help.\n");
  return help ? kExitOk : kExitUsage;
}

}  // namespace hadal
