#include "server/api_server.h"

#include <algorithm>
#include <optional>
#include <thread>

#include "base/log.h"
#include "base/version.h"
#include "http/router.h"
#include "openai/error.h"
#include "server/access_log.h"
#include "server/answer_choice.h"
#include "server/endpoints.h"
#include "server/response_headers.h"
#include "server/stats_log.h"
#include "server/work_pool.h"

namespace hadal {
namespace {

constexpr int kWorkers = 2;
constexpr size_t kWorkQueue = 4096;
constexpr std::chrono::milliseconds kIdlePoll{20};

Duration as_duration(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

http::ErrorBody json_error(int status, std::string_view message) {
  return {"application/json", openai::error_for_status(status, message).body()};
}

/// hadal-VERSION-HASH, the hash of what answers depend on: the model, how it computes, on what.
std::string fingerprint_of(const LoadedEngine& loaded) {
  const std::string facts = fmt::format("{} {} {} {} {} {}", loaded.id, loaded.device ? loaded.device->facts().name : "", loaded.options.dtype,
                                        loaded.options.kv_cache_dtype, loaded.options.batch_invariant, loaded.max_model_len);
  uint32_t hash = 2166136261u;  // FNV-1a: the same on every machine
  for (const char c : facts) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return fmt::format("hadal-{}-{:08x}", kVersion, hash);
}

class ApiServerImpl final : public ApiServer {
 public:
  explicit ApiServerImpl(const ServeOptions& options)
      : options_(options),
        service_(std::make_shared<Service>()),
        router_(json_error),
        cors_(options.allowed_origins),
        access_log_(options.quiet_endpoints),
        pool_(std::make_unique<WorkPool>(kWorkers, kWorkQueue)) {
    service_->stream_interval = options.stream_interval;
    service_->ping_interval = as_duration(options.sse_ping_interval_s);
    service_->force_include_usage = options.force_include_usage;
    service_->tokens_as_token_ids = options.return_tokens_as_token_ids;
    service_->log_requests = options.enable_log_requests;
    service_->timers = std::make_shared<Timers>();
  }
  ~ApiServerImpl() override {
    shut_down(std::chrono::milliseconds(0));
    http_.reset();
    pool_.reset();  // what is queued there is still submitted
    service_->timers->stop();
    // The engine goes before what its requests hold: a sink that its thread drops last would else take the
    // service with it, and a thread cannot join itself. Sinks may ask the engine until it is gone.
    std::unique_ptr<Engine>& engine = service_->loaded.engine;
    engine.get_deleter()(engine.get());
    (void)engine.release();
  }

  Status load() {
    RETURN_IF_ERROR(http::check_tls(options_.tls));  // a wrong file should not cost a model's loading
    name_models();
    ASSIGN_OR_RETURN(service_->loaded, load_engine(options_.engine, [this](const LoadedEngine& loaded) {
                       make_metrics(loaded);
                       return service_->metrics;
                     }));
    return describe();
  }

  Status adopt(LoadedEngine loaded) {
    name_models();
    service_->loaded = std::move(loaded);
    make_metrics(service_->loaded);
    return describe();
  }

  Status describe() {
    const LoadedEngine& loaded = service_->loaded;
    ASSIGN_OR_RETURN(std::string secret, read_hop_secret(options_.trusted_hop_secret_file));
    service_->trust = HopTrust(std::move(secret));
    service_->eos_ids = loaded.config.eos;
    if (loaded.tokenizer && loaded.tokenizer->eos_id())
      service_->eos_ids.push_back(*loaded.tokenizer->eos_id());
    ASSIGN_OR_RETURN(const AnswerParsers parsers, choose_parsers(options_, loaded));
    service_->reasoning = parsers.reasoning;
    service_->tools = parsers.tools;
    ASSIGN_OR_RETURN(service_->default_template_kwargs,
                     read_template_kwargs(options_.default_chat_template_kwargs));
    service_->trust_request_templates = options_.trust_request_chat_template;
    ASSIGN_OR_RETURN(service_->access, read_access(options_));
    service_->openapi = openapi_document(service_->model_names);
    service_->fingerprint = fingerprint_of(loaded);
    service_->started_unix = static_cast<int64_t>(Clock::real().unix_seconds());
    service_->metrics->describe(loaded.engine->runner_info(), loaded.options);
    service_->metrics->describe_experts(loaded.engine->expert_load(), loaded.options.expert_load_metrics);
    service_->metrics->watch_device(loaded.device);
    return OkStatus();
  }

  Status listen() {
    add_routes();
    if (!options_.disable_log_stats) begin_stats();
    http::ServerOptions http;
    http.host = options_.uds.empty() ? options_.host : "";
    http.port = static_cast<uint16_t>(options_.port);
    http.unix_path = options_.uds;
    http.tls = options_.tls;
    http.max_body_bytes = static_cast<size_t>(options_.max_body_bytes);
    http.error_body = json_error;
    http.observer = [this](const http::Exchanged& exchanged) {
      service_->metrics->on_http(exchanged, router_.knows(exchanged.path));
      if (!options_.disable_access_log) access_log_.on_http(exchanged);
    };
    ASSIGN_OR_RETURN(http_,
                     http::Server::create(std::move(http), [this](http::Request request, WriterPtr writer) {
                       serve(std::move(request), std::move(writer));
                     }));
    return OkStatus();
  }

  std::string address() const override { return http_->address(); }
  uint16_t port() const override { return http_->port(); }
  const std::vector<std::string>& model_names() const override { return service_->model_names; }

  bool shut_down(std::chrono::milliseconds grace) override {
    if (http_ == nullptr) return true;
    service_->draining.store(true);
    Engine& engine = *service_->loaded.engine;
    engine.stop_admission();
    const MonotonicTime deadline = Clock::real().now() + grace;
    while (!engine.idle() && engine.health().ok() && Clock::real().now() < deadline)
      std::this_thread::sleep_for(kIdlePoll);
    if (!engine.health().ok()) return false;  // give_up() comes next
    const bool finished = engine.idle();
    const auto rest =
        std::max(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::real().now()),
                 std::chrono::milliseconds(finished ? 1000 : 0));
    const bool drained = http_->stop(rest);
    http_.reset();
    return finished && drained;
  }

  Status engine_health() const override { return service_->loaded.engine->health(); }

  void give_up(std::chrono::milliseconds limit) override {
    if (http_ != nullptr) http_->stop(limit);
  }

 private:
  void name_models() {
    service_->model_names = options_.served_model_names;
    if (service_->model_names.empty()) service_->model_names.push_back(options_.engine.model);
  }

  void make_metrics(const LoadedEngine& loaded) {
    service_->metrics = std::make_shared<ServerMetrics>(
        service_->model_names.front(), MetricSizes{loaded.max_model_len, options_.engine.kv_cache_metrics});
  }

  void begin_stats() {
    stats_log_.emplace(service_->loaded.engine->stats(), Clock::real().now());
    service_->timers->at(Clock::real().now() + as_duration(options_.log_stats_interval_s),
                         [this] { say_stats(); });
  }

  /// On the timers' thread, which is stopped before this goes.
  void say_stats() {
    const MonotonicTime now = Clock::real().now();
    if (const auto line = stats_log_->next(service_->loaded.engine->stats(), now)) log_stats(*line);
    service_->timers->at(now + as_duration(options_.log_stats_interval_s), [this] { say_stats(); });
  }

  void add_routes() {
    for (const EndpointRow& row : endpoint_table()) {
      for (const std::string& path : paths_of(row, service_->model_names)) {
        router_.add(row.method, path, [this, &row](http::Request request, WriterPtr writer) {
          if (const auto error = service_->access.check(request, row.access, service_->trust))
            return respond_error(*writer, *error, error_form(row));
          row.handler({service_, *pool_}, std::move(request), std::move(writer));
        });
      }
    }
  }

  /// Every request, on an io thread.
  void serve(http::Request request, WriterPtr writer) const {
    http::Headers fields{{"X-Request-Id", request_id_of(request)}};
    request.headers.set("X-Request-Id", fields.fields().front().second);
    if (request.path.starts_with("/v1/messages"))  // Anthropic's name for it
      fields.add("request-id", fields.fields().front().second);
    writer->set_label(fields.fields().front().second);
    cors_.add_headers(request, fields);
    writer = with_headers(std::move(writer), std::move(fields));
    if (cors_.answer_preflight(request, *writer)) return;
    router_.handle(std::move(request), std::move(writer));
  }

  const ServeOptions options_;
  std::shared_ptr<Service> service_;
  http::Router router_;
  const Cors cors_;
  const AccessLog access_log_;
  std::optional<StatsLog> stats_log_;  // the timers' thread's, once that has its first call
  std::unique_ptr<WorkPool> pool_;
  std::unique_ptr<http::Server> http_;
};

}  // namespace

StatusOr<std::unique_ptr<ApiServer>> ApiServer::start(const ServeOptions& options) {
  auto server = std::make_unique<ApiServerImpl>(options);
  RETURN_IF_ERROR(server->load());
  RETURN_IF_ERROR(server->listen());
  return std::unique_ptr<ApiServer>(std::move(server));
}

StatusOr<std::unique_ptr<ApiServer>> ApiServer::start(const ServeOptions& options, LoadedEngine loaded) {
  auto server = std::make_unique<ApiServerImpl>(options);
  RETURN_IF_ERROR(server->adopt(std::move(loaded)));
  RETURN_IF_ERROR(server->listen());
  return std::unique_ptr<ApiServer>(std::move(server));
}

}  // namespace hadal
