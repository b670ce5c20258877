// hadal serve MODEL and hadal up.
#include <sys/resource.h>

#include <algorithm>
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
#include "cli/serve_options.h"
#include "server/api_server.h"
#include "server/serve_loop.h"

namespace hadal {
namespace {

constexpr std::chrono::milliseconds kLastLines{1'000};  // for the log's reader to take what it says

/// Blocks SIGINT and SIGTERM for every thread made from now on, so that wait_for_signal() gets them.
sigset_t block_stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
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

/// A connection is a descriptor, and many systems let a process have 1024 of them unless it asks for what it
/// may have.
void allow_many_descriptors() {
  constexpr rlim_t kEnough = 65536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kEnough) return;
  limit.rlim_cur = std::min(limit.rlim_max, kEnough);
  setrlimit(RLIMIT_NOFILE, &limit);
}

int run_server(const ServeOptions& options) {
  allow_many_descriptors();
  const sigset_t signals = block_stop_signals();
  auto server = ApiServer::start(options);
  if (!server.ok()) return report(server.status());
  announce(**server, options);
  return serve_until_end(**server, signals, std::chrono::seconds(options.shutdown_timeout_s));
}

int serve(ServeCommand command) {
  if (const Status status = check_serve_options(command.options); !status.ok()) {
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
