// `hadal serve`: one engine behind the OpenAI API.
//
//   ASSIGN_OR_RETURN(auto server, ApiServer::start(options));
//   log_info("{}", server->address());
//   ...
//   server->shut_down(grace);
//
// Threads: http's io threads parse and write; a few workers render and tokenize; the engine's thread makes
// tokens and hands them to http's buffers. start() and shut_down() are called from one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "http/server.h"
#include "server/engine_loader.h"

namespace hadal {

struct ServeOptions {
  EngineConfig engine;
  std::string host = "127.0.0.1";
  int32_t port = 8000;
  std::string uds;                           // a Unix socket in place of TCP
  http::TlsOptions tls;                      // of the TCP port
  int32_t ssl_cert_reqs = 0;                 // tls.client_certificates as vLLM's number
  std::string trusted_hop_secret_file;       // see server/request_origin.h
  std::vector<std::string> api_keys;         // see server/access.h; default: the environment's
  std::string admin_api_key;                 // the same
  std::vector<std::string> allowed_origins;  // CORS; "*": all
  std::string reasoning_parser =
      "auto";  // auto: by the checkpoint; none, or a name of text/reasoning_parser.h
  std::string tool_call_parser =
      "auto";  // auto: by the chat template; none, or a name of text/answer/tool_parser.h
  bool enable_auto_tool_choice = true;          // false: tool calls stay in the text
  std::string default_chat_template_kwargs;     // a JSON object, under a request's own; empty: none
  bool trust_request_chat_template = false;     // a request may bring its own
  std::vector<std::string> served_model_names;  // default: MODEL as given
  bool force_include_usage = false;             // of every stream
  bool return_tokens_as_token_ids = false;      // in log-probabilities, of every answer
  double sse_ping_interval_s = 30.0;            // of a silent stream; 0 or less: no pings
  int32_t stream_interval = 1;                  // tokens in a chunk of a stream, but the first
  bool disable_access_log = false;              // docs/logs.md has the four logs
  std::string quiet_endpoints;                  // paths by commas that the access log leaves out
  bool enable_log_requests = false;
  bool disable_log_stats = false;
  double log_stats_interval_s = 10.0;
  int64_t max_body_bytes = 32 << 20;
  int32_t shutdown_timeout_s = 30;
};

class ApiServer {
 public:
  /// Loads the model and begins to listen.
  static StatusOr<std::unique_ptr<ApiServer>> start(const ServeOptions& options);
  /// The same over an engine that is there already.
  static StatusOr<std::unique_ptr<ApiServer>> start(const ServeOptions& options, LoadedEngine loaded);
  virtual ~ApiServer() = default;

  virtual std::string address() const = 0;
  virtual uint16_t port() const = 0;
  virtual const std::vector<std::string>& model_names() const = 0;

  /// Refuses new requests (health says 503), lets running ones finish for up to `grace`, then stops
  /// everything. True if nothing had to be cut.
  virtual bool shut_down(std::chrono::milliseconds grace) = 0;

  /// Not ok once the engine has died.
  virtual Status engine_health() const = 0;
  /// After the engine's death: sends the errors that it left, for up to `limit`, and stops listening. Nothing
  /// waits for the engine's thread, which may hang: the process must end by _exit() after it.
  virtual void give_up(std::chrono::milliseconds limit) = 0;
};

}  // namespace hadal
