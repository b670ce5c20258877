#include "cli/serve_options.h"

#include "cli/engine_options.h"

namespace hadal {
namespace {

constexpr double kLongestInterval = 86'400.0;  // seconds

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

void add_stream_options(OptionTable& table, ServeOptions& options) {
  table.option("--enable-force-include-usage,!--no-enable-force-include-usage", &options.force_include_usage,
               "end every stream with its usage, whether stream_options asks for it or not");
  table.option("--return-tokens-as-token-ids,!--no-return-tokens-as-token-ids",
               &options.return_tokens_as_token_ids,
               "log-probabilities name tokens token_id:N, whether a request asks for it or not");
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

/// vLLM takes its origins as one JSON list, '["*"]', of which CLI11 leaves the texts with their quotes.
void unquote(std::vector<std::string>& texts) {
  for (std::string& text : texts) {
    const size_t first = text.find_first_not_of(' '), last = text.find_last_not_of(' ');
    if (first == std::string::npos || first == last || text[first] != '"' || text[last] != '"') continue;
    text = text.substr(first + 1, last - first - 1);
  }
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

}  // namespace

void add_serve_options(OptionTable& table, ServeCommand& command) {
  ServeOptions& options = command.options;
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
               "Jinja file in place of the checkpoint's template, or the template itself in one line");
  table.option("--generation-config", &options.engine.generation_config,
               "defaults of requests: auto (the checkpoint's generation_config.json), vllm (the API's own), or "
               "the folder of another one");
  table.option("--override-generation-config", &options.engine.override_generation_config,
               "JSON object that goes before it: {\"temperature\": 0.6}");
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

Status check_serve_options(ServeOptions& options) {
  RETURN_IF_ERROR(check_ranges(options));
  unquote(options.allowed_origins);
  return read_tls_options(options);
}

}  // namespace hadal
