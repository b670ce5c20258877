// hadal bench serve: load on a running OpenAI-compatible server.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/clock.h"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/progress_bar.h"
#include "lab/load_generator.h"
#include "lab/load_report.h"
#include "lab/traces.h"
#include "lab/workload.h"

namespace hadal {
namespace {

// The tenant's header that gateways of the Kubernetes Inference Extension send too.
constexpr const char* kTenantHeader = "x-llm-d-inference-fairness-id";

struct ServeBenchOptions {
  LoadOptions load;
  WorkloadOptions work;
  std::string trace, arrivals = "auto", json;
  std::optional<std::string> request_rate;
  std::optional<int64_t> num_prompts;
  std::optional<std::string> tenant, api_key;
  std::vector<std::string> headers, goodput;
  double timeout_s = 600.0;
  int32_t warmup = 0;
};

OptionTable option_table(ServeBenchOptions& options) {
  OptionTable table("hadal bench serve",
                    "Sends requests to a running OpenAI-compatible server (Hadal's or another), at random or "
                    "as a trace recorded them, and "
                    "prints rates and latencies. Options and figures are those of `vllm bench serve`. Exit "
                    "code 1 if no request "
                    "succeeds.");
  table.option("--url,--base-url", &options.load.target.url, "the server: http://host:port or unix:/path");
  table.option("--endpoint", &options.load.target.endpoint,
               "path: /v1/completions (prompts are token ids) or /v1/chat/completions (prompts are words)");
  table.option("--model", &options.load.target.model, "model name; the server's first where none is given");
  table.option("--num-prompts", &options.num_prompts, "requests; all of a trace, otherwise 100");
  table.option("--request-rate", &options.request_rate,
               "requests a second, or inf for all at once; without it a trace's own times, otherwise inf");
  table.option("--arrivals", &options.arrivals,
               "auto: recorded for a trace without --request-rate, otherwise poisson",
               {"auto", "poisson", "fixed", "recorded"});
  table.option("--burstiness", &options.work.arrivals.burstiness,
               "shape of the gaps (gamma): 1 is Poisson, below comes in bursts, above more evenly");
  table.option("--max-concurrency", &options.load.max_concurrency, "requests at once; 0: no limit but 1024");
  table.option("--seed", &options.work.tokens.seed, "of arrivals, lengths and tokens");
  table.option("--random-input-len", &options.work.random.input, "prompt tokens");
  table.option("--random-output-len", &options.work.random.output, "tokens to generate");
  table.option("--random-range-ratio", &options.work.random.range_ratio,
               "lengths are even over n(1-r) to n(1+r)");
  table.option("--trace", &options.trace,
               "recorded traffic: Azure's CSV or Mooncake's JSONL (prefixes shared by its hash_ids)");
  table.option("--time-scale", &options.work.time_scale,
               "recorded times are multiplied by this; 0.5 is twice the traffic");
  table.option("--length-scale", &options.work.tokens.length_scale,
               "recorded lengths are multiplied by this");
  table.option("--max-input-len", &options.work.limits.max_input, "longer prompts are cut; 0: not");
  table.option("--max-output-len", &options.work.limits.max_output, "longer answers are cut; 0: not");
  table.option("--max-model-len", &options.work.limits.max_model_len,
               "prompts are cut to fit with their answers; 0: as /v1/models says");
  table.option("--vocab-size", &options.work.tokens.vocab, "prompt tokens are drawn from 3 up to this");
  table.option("--ignore-eos", &options.load.ignore_eos, "generate the full length");
  table.option("--temperature", &options.load.temperature, "sampling temperature");
  table.option("--goodput", &options.goodput, "objectives in ms, any of ttft:MS tpot:MS e2el:MS");
  table.option("--tenant", &options.tenant, "send requests as this tenant");
  table.option("--header", &options.headers, "header KEY:VALUE to send; may be repeated");
  table.option("--api-key", &options.api_key, "bearer token; $OPENAI_API_KEY where it is set");
  table.option("--warmup", &options.warmup, "requests before the measured ones");
  table.option("--timeout", &options.timeout_s, "seconds that a connection may be silent");
  table.option("--json", &options.json,
               "write the figures as JSON to a file; - prints them instead of the table");
  return table;
}

Status set_headers(ServeBenchOptions& options) {
  http::Headers& headers = options.load.target.headers;
  for (const std::string& text : options.headers) {
    const size_t colon = text.find(':');
    if (colon == 0 || colon == std::string::npos || text.find_first_of("\r\n") != std::string::npos) {
      return invalid_argument("--header takes KEY:VALUE, not '{}'", text);
    }
    const size_t value = text.find_first_not_of(' ', colon + 1);
    headers.add(text.substr(0, colon), value == std::string::npos ? "" : text.substr(value));
  }
  const char* from_environment = std::getenv("OPENAI_API_KEY");
  if (!options.api_key && from_environment != nullptr) options.api_key = from_environment;
  for (const auto* text : {&options.tenant, &options.api_key}) {
    if (*text && (*text)->find_first_of("\r\n") != std::string::npos) {
      return invalid_argument("a tenant or key must not have line breaks");
    }
  }
  if (options.tenant) headers.set(kTenantHeader, *options.tenant);
  if (options.api_key && !options.api_key->empty())
    headers.set("Authorization", "Bearer " + *options.api_key);
  return OkStatus();
}

Status set_arrivals(ServeBenchOptions& options) {
  ArrivalOptions& arrivals = options.work.arrivals;
  arrivals.seed = options.work.tokens.seed;
  if (options.request_rate && *options.request_rate != "inf") {
    const std::string& text = *options.request_rate;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), arrivals.rate);
    if (error != std::errc{} || end != text.data() + text.size() || !(arrivals.rate > 0.0)) {
      return invalid_argument("--request-rate takes a number above 0, or inf, not '{}'", text);
    }
  }
  const bool as_recorded = options.arrivals == "recorded" ||
                           (options.arrivals == "auto" && !options.trace.empty() && !options.request_rate);
  if (as_recorded && options.request_rate)
    return invalid_argument("recorded arrivals have their own rate; see --time-scale");
  if (as_recorded && options.trace.empty()) return invalid_argument("recorded arrivals need a --trace");
  arrivals.kind = as_recorded                   ? ArrivalKind::kRecorded
                  : options.arrivals == "fixed" ? ArrivalKind::kFixed
                                                : ArrivalKind::kPoisson;
  return OkStatus();
}

Status check(const ServeBenchOptions& options) {
  if (options.load.target.endpoint.empty() || options.load.target.endpoint[0] != '/') {
    return invalid_argument("--endpoint must begin with /");
  }
  if (options.warmup < 0 || options.num_prompts.value_or(1) < 1) {
    return invalid_argument("--num-prompts must be at least 1, and --warmup must not be negative");
  }
  if (!(options.timeout_s > 0.0 && options.timeout_s <= 1e6))
    return invalid_argument("--timeout must be above 0");
  return OkStatus();
}

/// Model name and limits that were not given, from the server. A server without /v1/models will do where a
/// model is named.
Status ask_server(ServeBenchOptions& options) {
  LoadTarget& target = options.load.target;
  const auto served = ask_model(target, target.model);
  if (!served.ok()) {
    if (target.model.empty()) return served.status();
    std::fprintf(stderr, "note: %s\n", std::string(message_of(served.status())).c_str());
    return OkStatus();
  }
  target.model = served->name;
  if (options.work.limits.max_model_len == 0) options.work.limits.max_model_len = served->max_model_len;
  return OkStatus();
}

StatusOr<Workload> make_workload(const ServeBenchOptions& options) {
  WorkloadOptions work = options.work;
  work.num_prompts = options.num_prompts.value_or(options.trace.empty() ? 100 : 0);
  if (options.trace.empty()) return random_workload(work);
  ASSIGN_OR_RETURN(const Trace trace, read_trace(options.trace));
  return trace_workload(trace, work);
}

/// Requests of the workload's shapes whose tokens are not the measured ones, so that no measured prefix is
/// cached by them.
Status warm_up(const Workload& workload, const ServeBenchOptions& options) {
  if (options.warmup == 0) return OkStatus();
  Workload warm{.tokens = workload.tokens};
  for (int32_t i = 0; i < options.warmup; ++i) {
    PlannedRequest request = workload.requests[static_cast<size_t>(i) % workload.requests.size()];
    request.arrival_s = 0.0;
    request.hash_ids.clear();
    request.number = std::numeric_limits<uint64_t>::max() - static_cast<uint64_t>(i);
    warm.requests.push_back(std::move(request));
  }
  ASSIGN_OR_RETURN(const LoadRun run, run_load(warm, options.load, nullptr));
  for (const RequestOutcome& outcome : run.outcomes) {
    if (!outcome.error_kind.empty()) {
      return unavailable("a request to warm up failed: {}: {}", outcome.error_kind, outcome.error_text);
    }
  }
  return OkStatus();
}

Status print(const LoadReport& report, const Objectives& objectives, const std::string& json_path) {
  const std::string json = load_json(report, objectives) + "\n";
  if (json_path == "-") {
    std::fputs(json.c_str(), stdout);
    return OkStatus();
  }
  std::fputs(load_table(report, objectives).c_str(), stdout);
  return json_path.empty() ? OkStatus() : write_file(json_path, json);
}

Status run(ServeBenchOptions& options) {
  RETURN_IF_ERROR(check(options));
  RETURN_IF_ERROR(set_headers(options));
  RETURN_IF_ERROR(set_arrivals(options));
  options.load.target.timeout = std::chrono::milliseconds(static_cast<int64_t>(1e3 * options.timeout_s));
  ASSIGN_OR_RETURN(const Objectives objectives, parse_objectives(options.goodput));
  RETURN_IF_ERROR(ask_server(options));
  ASSIGN_OR_RETURN(const Workload workload, make_workload(options));
  if (workload.shortened > 0) {
    std::fprintf(stderr, "note: %lld of %zu requests are shortened to fit the limits\n",
                 static_cast<long long>(workload.shortened), workload.requests.size());
  }
  RETURN_IF_ERROR(warm_up(workload, options));
  ASSIGN_OR_RETURN(const LoadRun run, run_load(workload, options.load, progress_bar()));
  const LoadReport figures = report_of(run, objectives);
  RETURN_IF_ERROR(print(figures, objectives, options.json));
  return figures.completed > 0 ? OkStatus() : unavailable("no request succeeded");
}

}  // namespace

int run_bench_serve(const Arguments& arguments) {
  ServeBenchOptions options;
  const OptionTable table = option_table(options);
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  if (options.load.target.url.empty()) {
    std::fprintf(stderr, "hadal bench serve: --url is needed\nTry hadal bench serve --help.\n");
    return kExitUsage;
  }
  return report(run(options));
}

}  // namespace hadal
