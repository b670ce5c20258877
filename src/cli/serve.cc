// hadal serve MODEL and hadal up.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "base/files.h"
#include "base/log.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/engine_options.h"
#include "cli/foreign_options.h"
#include "cli/option_sources.h"
#include "server/api_server.h"
#include "server/serve_loop.h"

namespace hadal {
namespace {

constexpr double kLongestInterval = 86'400.0;           // seconds
constexpr std::chrono::milliseconds kLastLines{1'000};  // for the log's reader to take what it says

/// What `hadal serve` needs beside the server's own options.
struct ServeCommand {
  ServeOptions options;
  std::string log_format = "text";
};

void add_stream_options(OptionTable& table, ServeOptions& options) {
  table.option("--stream-interval", &options.stream_interval,
               "tokens in a chunk of a stream; the first is sent at once, the end sends what is left");
  table.option(
      "--sse-ping-interval", &options.sse_ping_interval_s,
      "seconds after which a silent stream sends a ping, which keeps proxies from closing it; 0: never");
}

void add_log_options(OptionTable& table, ServeCommand& command) {
  ServeOptions& options = command.options;
  table.option("--log-format", &command.log_format, "form of the log: text, or one JSON object a line",
               {"text", "json"});
  table.option("--disable-uvicorn-access-log,--disable-access-log,!--no-disable-uvicorn-access-log",
               &options.disable_access_log, "log no line for each request");
  table.option("--disable-access-log-for-endpoints", &options.quiet_endpoints,
               "paths by commas that the access log leaves out: /health,/metrics");
  table.option("--enable-log-requests,!--no-enable-log-requests", &options.enable_log_requests,
               "log each request's id, parameters and counts of tokens; never texts or token ids");
  table.option("--disable-log-stats,!--no-disable-log-stats", &options.disable_log_stats,
               "log no line of figures");
  table.option("--log-stats-interval", &options.log_stats_interval_s,
               "seconds between lines of figures; an idle server is silent");
}

void add_serve_options(OptionTable& table, ServeCommand& command) {
  ServeOptions& options = command.options;
  table.option("--served-model-name", &options.served_model_names,
               "names that requests may use; default: MODEL as given");
  table.option("--host", &options.host, "address to listen on");
  table.option("--port", &options.port, "TCP port; 0 picks a free one");
  table.option("--uds", &options.uds, "listen on this Unix socket in place of TCP");
  table.option(
      "--trusted-hop-secret-file", &options.trusted_hop_secret_file,
      "file with the secret that a gateway sends as x-hadal-hop-secret, so that it may name tenants; "
      "default: HADAL_TRUSTED_HOP_SECRET. Over --uds everybody may");
  table.option(
      "--api-key", &options.api_keys,
      "keys of which clients need one (several); default: HADAL_API_KEY, VLLM_API_KEY, else none is needed");
  table.option("--admin-api-key", &options.admin_api_key,
               "key for administrative routes over TCP; default: HADAL_ADMIN_API_KEY, else they are closed");
  table.option("--allowed-origins", &options.allowed_origins,
               "origins of web pages that may read answers (CORS), or *; default: none");
  table.option(
      "--reasoning-parser", &options.reasoning_parser,
      "how answers mark reasoning: auto (by the checkpoint), none, deepseek_r1, deepseek_v3, deepseek_v31, "
      "deepseek_v32, deepseek_v4");
  table.option("--tool-call-parser", &options.tool_call_parser,
               "form of tool calls in answers: auto (the chat template's), none, deepseek_v3, deepseek_v31, "
               "deepseek_v32, "
               "deepseek_v4");
  table.option("--enable-auto-tool-choice,!--no-enable-auto-tool-choice", &options.enable_auto_tool_choice,
               "parse tool calls of requests that bring tools (on)");
  table.option("--default-chat-template-kwargs", &options.default_chat_template_kwargs,
               "JSON object of variables for the chat template, where a request does not set them");
  table.option("--trust-request-chat-template", &options.trust_request_chat_template,
               "let a request bring its own chat template");
  table.option("--chat-template", &options.engine.chat_template_file,
               "Jinja file in place of the checkpoint's template");
  table.option("--skip-tokenizer-init", &options.engine.skip_tokenizer,
               "serve a checkpoint without a tokenizer, by token ids");
  add_device_options(table, options.engine);
  add_capacity_options(table, options.engine);
  add_sharing_options(table, options.engine);
  add_stream_options(table, options);
  add_log_options(table, command);
  table.option("--max-body-bytes", &options.max_body_bytes, "longest request body");
  table.option("--shutdown-timeout", &options.shutdown_timeout_s,
               "seconds that running requests get after SIGTERM");
}

/// Blocks SIGINT and SIGTERM for every thread made from now on, so that wait_for_signal() gets them.
sigset_t block_stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

Status check_ranges(const ServeOptions& options) {
  if (options.port < 0 || options.port > 65535)
    return invalid_argument("--port must lie between 0 and 65535, not {}", options.port);
  if (options.shutdown_timeout_s < 0)
    return invalid_argument("--shutdown-timeout must be 0 or more, not {}", options.shutdown_timeout_s);
  if (options.stream_interval < 1)
    return invalid_argument("--stream-interval must be 1 or more, not {}", options.stream_interval);
  if (!(options.sse_ping_interval_s <= kLongestInterval))
    return invalid_argument("--sse-ping-interval must be at most {:.0f} s, not {}", kLongestInterval,
                            options.sse_ping_interval_s);
  if (!(options.log_stats_interval_s >= 0.001 && options.log_stats_interval_s <= kLongestInterval))
    return invalid_argument("--log-stats-interval must lie between 0.001 and {:.0f} s, not {}",
                            kLongestInterval, options.log_stats_interval_s);
  return OkStatus();
}

/// Where the server is. What was logged before it stands before it.
void announce(const ApiServer& server, const ServeOptions& options) {
  const std::string& name = server.model_names().front();
  if (log_format() == LogFormat::kJson) {
    log_event(LogLevel::kInfo, "listening",
              fmt::format("Hadal {} serves {} at {}", kVersion, name, server.address()),
              {{"version", kVersion}, {"model", name}, {"address", server.address()}});
    return;
  }
  std::string greeting = fmt::format("Hadal {} serves {} at {}\n", kVersion, name, server.address());
  if (options.uds.empty()) {
    greeting += fmt::format(
        "\n  curl {}/v1/chat/completions -H 'Content-Type: application/json' \\\n"
        "    -d '{{\"model\": \"{}\", \"messages\": [{{\"role\": \"user\", \"content\": \"What is 17 "
        "+ 25?\"}}]}}'\n\n",
        server.address(), name);
  }
  log_verbatim(greeting);
}

int run_server(const ServeOptions& options) {
  const sigset_t signals = block_stop_signals();
  auto server = ApiServer::start(options);
  if (!server.ok()) return report(server.status());
  announce(**server, options);
  return serve_until_end(**server, signals, std::chrono::seconds(options.shutdown_timeout_s));
}

int serve(const ServeCommand& command) {
  if (const Status status = check_ranges(command.options); !status.ok()) {
    report(status);
    return kExitUsage;
  }
  start_log_thread();
  const int exit_code = run_server(command.options);
  flush_log(kLastLines);
  return exit_code;
}

/// The bundled demo model: beside the source tree that the binary was built in, or under the install prefix.
StatusOr<std::string> demo_model() {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path binary = fs::read_symlink("/proc/self/exe", error);
  for (fs::path folder = binary.parent_path(); !error && !folder.empty(); folder = folder.parent_path()) {
    for (const char* place : {"models/demo", "share/hadal/models/demo"}) {
      if (file_exists((folder / place / "config.json").string())) return (folder / place).string();
    }
    if (folder == folder.parent_path()) break;
  }
  return not_found("the demo model (models/demo) is not beside this binary; name one: hadal serve MODEL");
}

/// Fills the table's targets from the command line, the environment and a configuration file. A value is
/// returned where the program should end with it.
std::optional<int> parse_sources(OptionTable& table, const Arguments& arguments) {
  std::string config;
  bool show = false;
  table.option("--config", &config,
               "JSON or YAML file of options; what the environment or the command line says goes before it");
  table.option("--show-config", &show, "print what is in force and where it comes from, and end");
  const auto merged = merge_sources(table, arguments);
  if (!merged.ok()) {
    std::fprintf(stderr, "hadal: %s\n", std::string(message_of(merged.status())).c_str());
    return kExitUsage;
  }
  if (const auto exit_code = table.parse(merged->arguments)) return exit_code;
  if (!show) return std::nullopt;
  std::fputs(show_config(table, *merged).c_str(), stdout);
  return kExitOk;
}

/// parse_sources() into `command`, and all that is said from then on in the form that it asks for.
std::optional<int> parse_command(OptionTable& table, const Arguments& arguments,
                                 const ServeCommand& command) {
  const auto exit_code = parse_sources(table, arguments);
  set_log_format(command.log_format == "json" ? LogFormat::kJson : LogFormat::kText);
  return exit_code;
}

}  // namespace

int run_serve(const Arguments& arguments) {
  ServeCommand command;
  ServeOptions& options = command.options;
  ForeignOptions foreign;
  OptionTable table("hadal serve", "Loads a checkpoint and answers the OpenAI API.");
  table.option("--model", &options.engine.model, "the same as MODEL");
  table.optional_positional("MODEL", &options.engine.model,
                            "checkpoint folder, or hub id (org/name) in the local Hugging Face cache");
  add_serve_options(table, command);
  foreign.declare(table);
  if (const auto exit_code = parse_command(table, arguments, command)) return *exit_code;
  if (options.engine.model.empty()) {
    std::fprintf(stderr, "hadal serve: MODEL is required\nTry hadal serve --help.\n");
    return kExitUsage;
  }
  if (const Status status = foreign.check(options.engine.model); !status.ok()) {
    report(status);
    return kExitUsage;
  }
  return serve(command);
}

int run_up(const Arguments& arguments) {
  ServeCommand command;
  command.options.served_model_names = {"demo"};
  OptionTable table("hadal up", "Serves the bundled demo model with defaults that need nothing else.");
  add_serve_options(table, command);
  if (const auto exit_code = parse_command(table, arguments, command)) return *exit_code;
  auto model = demo_model();
  if (!model.ok()) return report(model.status());
  command.options.engine.model = *model;
  return serve(command);
}

}  // namespace hadal
