// hadal eval skills MODEL | --url URL: test sets asked over the OpenAI API.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>

#include "base/files.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/engine_options.h"
#include "cli/progress_bar.h"
#include "lab/skill_report.h"
#include "server/api_server.h"

namespace hadal {
namespace {

struct SkillsOptions {
  SkillEvalOptions eval;
  ServeOptions serve;
  std::string tests, sampling = "both", thinking = "both", json;
  std::vector<std::string> only;
  std::optional<std::string> api_key;
  int32_t limit = 0, examples = 3;
  double timeout_s = 600.0;
};

OptionTable option_table(SkillsOptions& options) {
  OptionTable table(
      "hadal eval skills",
      "Asks the questions of test sets, greedy and at the checkpoint's default temperature, without and "
      "with thinking, and prints what share is right, for each skill and language. A checkpoint is "
      "served in this process; with --url a running server is asked. Exit code 1 if no request succeeds.");
  table.optional_positional("MODEL", &options.serve.engine.model,
                            "checkpoint folder, or hub id (org/name) in the local Hugging Face cache");
  table.option("--url,--base-url", &options.eval.target.url,
               "in place of MODEL: a server, http://host:port or unix:/path");
  table.option("--model", &options.eval.target.model,
               "with --url: model name; the server's first where none is given");
  table.option("--api-key", &options.api_key, "with --url: bearer token; $OPENAI_API_KEY where it is set");
  table.option("--tests", &options.tests, "folder of test sets, or one JSONL file; default: MODEL/skills");
  table.option("--skill", &options.only, "only this skill; may be repeated");
  table.option("--limit", &options.limit, "only so many questions of each skill and language; 0: all");
  table.option("--sampling", &options.sampling, "greedy, or as the checkpoint's generation_config says",
               {"both", "greedy", "default"});
  table.option("--thinking", &options.thinking, "ask without thinking, with it, or both",
               {"both", "off", "on"});
  table.option("--seed", &options.eval.seed, "of sampled answers");
  table.option("--max-concurrency", &options.eval.max_concurrency, "questions under way at once");
  table.option("--examples", &options.examples, "wrong answers to print of each skill");
  table.option(
      "--json", &options.json,
      "write the scores and all wrong answers as JSON to a file; - prints them instead of the table");
  table.option("--timeout", &options.timeout_s, "seconds that a connection may be silent");
  add_device_options(table, options.serve.engine);
  add_capacity_options(table, options.serve.engine);
  return table;
}

std::vector<SkillPass> passes_of(const SkillsOptions& options) {
  std::vector<SkillPass> passes;
  for (const SkillSampling sampling : {SkillSampling::kGreedy, SkillSampling::kDefault}) {
    const bool greedy = sampling == SkillSampling::kGreedy;
    if (options.sampling != "both" && (options.sampling == "greedy") != greedy) continue;
    for (const bool thinking : {false, true}) {
      if (options.thinking == "both" || (options.thinking == "on") == thinking)
        passes.push_back({sampling, thinking});
    }
  }
  return passes;
}

/// The questions that were asked for: of the chosen skills, the first `limit` of each skill and language.
StatusOr<std::vector<SkillQuestion>> chosen_questions(const SkillsOptions& options) {
  const std::string tests = options.tests.empty() ? options.serve.engine.model + "/skills" : options.tests;
  ASSIGN_OR_RETURN(const std::vector<SkillQuestion> all, read_skill_sets(tests));
  for (const std::string& skill : options.only) {
    if (std::none_of(all.begin(), all.end(), [&](const SkillQuestion& q) { return q.skill == skill; }))
      return not_found("{} has no skill '{}'", tests, skill);
  }
  std::vector<SkillQuestion> chosen;
  for (const SkillQuestion& question : all) {
    if (!options.only.empty() && std::count(options.only.begin(), options.only.end(), question.skill) == 0)
      continue;
    const auto same = std::count_if(chosen.begin(), chosen.end(), [&](const SkillQuestion& other) {
      return other.skill == question.skill && other.language == question.language;
    });
    if (options.limit == 0 || same < options.limit) chosen.push_back(question);
  }
  return chosen;
}

Status check(const SkillsOptions& options) {
  if (options.limit < 0 || options.examples < 0)
    return invalid_argument("--limit and --examples must not be negative");
  if (!(options.timeout_s > 0.0 && options.timeout_s <= 1e6))
    return invalid_argument("--timeout must be above 0");
  if (options.api_key && options.api_key->find_first_of("\r\n") != std::string::npos)
    return invalid_argument("a key must not have line breaks");
  return OkStatus();
}

/// Serves MODEL on a port of its own where no URL was given; `server` must live until the last answer.
Status find_server(SkillsOptions& options, std::unique_ptr<ApiServer>* server) {
  LoadTarget& target = options.eval.target;
  target.timeout = std::chrono::milliseconds(static_cast<int64_t>(1e3 * options.timeout_s));
  if (target.url.empty()) {
    options.serve.port = 0;
    ASSIGN_OR_RETURN(*server, ApiServer::start(options.serve));
    target.url = (*server)->address();
    target.model = (*server)->model_names().front();
    return OkStatus();
  }
  const char* from_environment = std::getenv("OPENAI_API_KEY");
  if (!options.api_key && from_environment != nullptr) options.api_key = from_environment;
  if (options.api_key && !options.api_key->empty())
    target.headers.set("Authorization", "Bearer " + *options.api_key);
  ASSIGN_OR_RETURN(const ServedModel served, ask_model(target, target.model));
  target.model = served.name;
  return OkStatus();
}

Status print(const SkillReport& report, const SkillsOptions& options) {
  const std::string json = skill_json(report) + "\n";
  if (options.json == "-") {
    std::fputs(json.c_str(), stdout);
    return OkStatus();
  }
  std::fputs(skill_table(report, options.examples).c_str(), stdout);
  return options.json.empty() ? OkStatus() : write_file(options.json, json);
}

Status run(SkillsOptions& options) {
  RETURN_IF_ERROR(check(options));
  ASSIGN_OR_RETURN(const std::vector<SkillQuestion> questions, chosen_questions(options));
  std::unique_ptr<ApiServer> server;
  RETURN_IF_ERROR(find_server(options, &server));
  options.eval.passes = passes_of(options);
  ASSIGN_OR_RETURN(const std::vector<SkillOutcome> outcomes,
                   run_skill_eval(questions, options.eval, progress_bar()));
  RETURN_IF_ERROR(print(skill_report(questions, options.eval.passes, outcomes), options));
  const auto answered = std::find_if(outcomes.begin(), outcomes.end(),
                                     [](const SkillOutcome& outcome) { return !outcome.failed; });
  if (answered != outcomes.end()) return OkStatus();
  return unavailable("no request succeeded: {}", outcomes.empty() ? "none was sent" : outcomes.front().said);
}

}  // namespace

int run_eval_skills(const Arguments& arguments) {
  SkillsOptions options;
  const OptionTable table = option_table(options);
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  const bool model = !options.serve.engine.model.empty(), url = !options.eval.target.url.empty();
  if (model == url || (url && options.tests.empty())) {
    std::fprintf(
        stderr,
        "hadal eval skills: give MODEL, or --url URL and --tests FOLDER\nTry hadal eval skills --help.\n");
    return kExitUsage;
  }
  if (log_level() < LogLevel::kWarning)
    set_log_level(LogLevel::kWarning);  // a server's log is not wanted here
  return report(run(options));
}

}  // namespace hadal
