// hadal serve MODEL and hadal up.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "base/files.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/engine_options.h"
#include "cli/foreign_options.h"
#include "cli/option_sources.h"
#include "server/api_server.h"
#include "server/serve_loop.h"

namespace hadal {
namespace {

void add_tls_options(OptionTable& table, ServeOptions& options) {
  table.option("--ssl-certfile", &options.tls.certificate_file,
               "PEM file with the server's certificate and its chain: the TCP port then speaks TLS");
  table.option("--ssl-keyfile", &options.tls.key_file,
               "PEM file with its private key; default: in --ssl-certfile");
  table.option("--ssl-ca-certs", &options.tls.client_ca_file,
               "PEM file of authorities that sign clients' certificates");
  table.option("--ssl-cert-reqs", &options.ssl_cert_reqs,
               "certificates of clients: 0 are not asked for, 1 are checked where one comes, 2 are required");
  table.option("--enable-ssl-refresh", &options.tls.refresh,
               "take a new certificate for new connections when the files change");
}

Status read_tls_options(ServeOptions& options) {
  using Wanted = http::TlsOptions::ClientCertificates;
  if (options.ssl_cert_reqs < 0 || options.ssl_cert_reqs > 2) {
    return invalid_argument("--ssl-cert-reqs must be 0, 1 or 2, not {}", options.ssl_cert_reqs);
  }
  options.tls.client_certificates = static_cast<Wanted>(options.ssl_cert_reqs);
  if (options.tls.certificate_file.empty()) {
    if (!options.tls.key_file.empty()) return invalid_argument("--ssl-keyfile needs --ssl-certfile");
    if (!options.tls.client_ca_file.empty() || options.ssl_cert_reqs > 0 || options.tls.refresh) {
      return invalid_argument("--ssl-ca-certs, --ssl-cert-reqs and --enable-ssl-refresh need --ssl-certfile");
    }
    return OkStatus();
  }
  if (!options.uds.empty()) return invalid_argument("--ssl-certfile is for TCP; --uds has no TLS");
  if (options.ssl_cert_reqs > 0 && options.tls.client_ca_file.empty()) {
    return invalid_argument("--ssl-cert-reqs {} needs --ssl-ca-certs", options.ssl_cert_reqs);
  }
  return OkStatus();
}

void add_serve_options(OptionTable& table, ServeOptions& options) {
  table.option("--served-model-name", &options.served_model_names,
               "names that requests may use; default: MODEL as given");
  table.option("--host", &options.host, "address to listen on");
  table.option("--port", &options.port, "TCP port; 0 picks a free one");
  table.option("--uds", &options.uds, "listen on this Unix socket in place of TCP");
  add_tls_options(table, options);
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

/// A connection is a descriptor, and many systems let a process have 1024 of them unless it asks for what it
/// may have.
void allow_many_descriptors() {
  constexpr rlim_t kEnough = 65536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kEnough) return;
  limit.rlim_cur = std::min(limit.rlim_max, kEnough);
  setrlimit(RLIMIT_NOFILE, &limit);
}

int serve(ServeOptions options) {
  if (options.port < 0 || options.port > 65535) {
    std::fprintf(stderr, "hadal: --port must lie between 0 and 65535, not %d\n",
                 static_cast<int>(options.port));
    return kExitUsage;
  }
  if (options.shutdown_timeout_s < 0) {
    std::fprintf(stderr, "hadal: --shutdown-timeout must be 0 or more, not %d\n",
                 static_cast<int>(options.shutdown_timeout_s));
    return kExitUsage;
  }
  if (const Status status = read_tls_options(options); !status.ok()) {
    report(status);
    return kExitUsage;
  }
  allow_many_descriptors();
  const sigset_t signals = block_stop_signals();
  auto server = ApiServer::start(options);
  if (!server.ok()) return report(server.status());
  const std::string& name = (*server)->model_names().front();
  std::fprintf(stderr, "Hadal %s serves %s at %s\n", kVersion, name.c_str(), (*server)->address().c_str());
  if (options.uds.empty()) {
    std::fprintf(stderr,
                 "\n  curl %s/v1/chat/completions -H 'Content-Type: application/json' \\\n"
                 "    -d '{\"model\": \"%s\", \"messages\": [{\"role\": \"user\", \"content\": \"What is 17 "
                 "+ 25?\"}]}'\n\n",
                 (*server)->address().c_str(), name.c_str());
  }
  return serve_until_end(**server, signals, std::chrono::seconds(options.shutdown_timeout_s));
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

}  // namespace

int run_serve(const Arguments& arguments) {
  ServeOptions options;
  ForeignOptions foreign;
  OptionTable table("hadal serve", "Loads a checkpoint and answers the OpenAI API.");
  table.option("--model", &options.engine.model, "the same as MODEL");
  table.optional_positional("MODEL", &options.engine.model,
                            "checkpoint folder, or hub id (org/name) in the local Hugging Face cache");
  add_serve_options(table, options);
  foreign.declare(table);
  if (const auto exit_code = parse_sources(table, arguments)) return *exit_code;
  if (options.engine.model.empty()) {
    std::fprintf(stderr, "hadal serve: MODEL is required\nTry hadal serve --help.\n");
    return kExitUsage;
  }
  if (const Status status = foreign.check(options.engine.model); !status.ok()) {
    report(status);
    return kExitUsage;
  }
  return serve(options);
}

int run_up(const Arguments& arguments) {
  ServeOptions options;
  options.served_model_names = {"demo"};
  OptionTable table("hadal up", "Serves the bundled demo model with defaults that need nothing else.");
  add_serve_options(table, options);
  if (const auto exit_code = parse_sources(table, arguments)) return *exit_code;
  auto model = demo_model();
  if (!model.ok()) return report(model.status());
  options.engine.model = *model;
  return serve(options);
}

}  // namespace hadal
