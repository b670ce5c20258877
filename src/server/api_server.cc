#include "server/api_server.h"

#include <algorithm>
#include <thread>

#include "base/log.h"
#include "base/version.h"
#include "http/router.h"
#include "openai/error.h"
#include "openai/response.h"
#include "server/handlers.h"
#include "server/work_pool.h"

namespace hadal {
namespace {

constexpr int kWorkers = 2;
constexpr size_t kWorkQueue = 4096;
constexpr std::chrono::milliseconds kIdlePoll{20};

void respond_json(http::ResponseWriter& writer, int status, std::string body) {
  writer.respond(status, {{"Content-Type", "application/json"}}, std::move(body));
}

http::ErrorBody json_error(int status, std::string_view message) {
  return {"application/json", openai::error_for_status(status, message).body()};
}

/// How this checkpoint marks reasoning, read off its vocabulary and template: templates with a `thinking`
/// switch (V3.1 on) open it in the prompt where it is wanted; R1's always reason.
ReasoningKind reasoning_kind_of(const LoadedEngine& loaded) {
  if (!loaded.tokenizer || !loaded.chat_template || !loaded.tokenizer->token_to_id("</think>"))
    return ReasoningKind::kNone;
  if (loaded.chat_template->mentions("thinking")) return ReasoningKind::kDeepSeekV3;
  const bool reasons = loaded.chat_template->source().find("think>") != std::string::npos;
  return reasons ? ReasoningKind::kDeepSeekR1 : ReasoningKind::kNone;
}

class ApiServerImpl final : public ApiServer {
 public:
  explicit ApiServerImpl(const ServeOptions& options)
      : options_(options),
        service_(std::make_shared<Service>()),
        router_(json_error),
        pool_(std::make_unique<WorkPool>(kWorkers, kWorkQueue)) {}
  ~ApiServerImpl() override {
    shut_down(std::chrono::milliseconds(0));
    http_.reset();
    pool_.reset();  // what is queued there is still submitted
    // The engine goes before what its requests hold: a sink that its thread drops last would else take the
    // service with it, and a thread cannot join itself. Sinks may ask the engine until it is gone.
    std::unique_ptr<Engine>& engine = service_->loaded.engine;
    engine.get_deleter()(engine.get());
    (void)engine.release();
  }

  Status load() {
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
    service_->reasoning = reasoning_kind_of(loaded);
    service_->started_unix = static_cast<int64_t>(Clock::real().unix_seconds());
    service_->metrics->describe(loaded.engine->runner_info(), loaded.options);
    service_->metrics->describe_experts(loaded.engine->expert_load(), loaded.options.expert_load_metrics);
    service_->metrics->watch_device(loaded.device);
    return OkStatus();
  }

  Status listen() {
    add_routes();
    http::ServerOptions http;
    http.host = options_.uds.empty() ? options_.host : "";
    http.port = static_cast<uint16_t>(options_.port);
    http.unix_path = options_.uds;
    http.max_body_bytes = static_cast<size_t>(options_.max_body_bytes);
    http.error_body = json_error;
    http.observer = [this](const http::Exchanged& exchanged) {
      service_->metrics->on_http(exchanged, router_.knows(exchanged.path));
    };
    ASSIGN_OR_RETURN(http_,
                     http::Server::create(std::move(http), [this](http::Request request, WriterPtr writer) {
                       router_.handle(std::move(request), std::move(writer));
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

  void add_routes() {
    const std::shared_ptr<const Service> service = service_;
    router_.add("POST", "/v1/chat/completions", [this, service](http::Request request, WriterPtr writer) {
      handle_chat_completion(service, *pool_, std::move(request), std::move(writer));
    });
    router_.add("POST", "/v1/completions", [this, service](http::Request request, WriterPtr writer) {
      handle_completion(service, *pool_, std::move(request), std::move(writer));
    });
    router_.add("POST", "/reset_prefix_cache", [service](http::Request request, WriterPtr writer) {
      handle_reset_prefix_cache(*service, request, *writer);
    });
    router_.add("GET", "/v1/models",
                [this](http::Request, WriterPtr writer) { respond_json(*writer, 200, models()); });
    router_.add("GET", "/health", [this](http::Request, WriterPtr writer) { health(*writer); });
    router_.add("GET", "/ping", [this](http::Request, WriterPtr writer) { health(*writer); });
    router_.add("GET", "/version", [](http::Request, WriterPtr writer) {
      respond_json(*writer, 200, openai::version_json(kVersion));
    });
    router_.add("GET", "/metrics", [this](http::Request, WriterPtr writer) {
      writer->respond(200, {{"Content-Type", telemetry::Registry::kContentType}}, metrics_page());
    });
  }

  std::string metrics_page() const {
    const Engine& engine = *service_->loaded.engine;
    service_->metrics->observe_experts(engine.expert_load());
    return service_->metrics->expose(engine.stats(), can_serve().ok());
  }

  std::string models() const {
    std::vector<openai::ModelCard> cards;
    for (const std::string& name : service_->model_names) {
      cards.push_back({.id = name,
                       .created = service_->started_unix,
                       .root = service_->loaded.id,
                       .max_model_len = service_->loaded.max_model_len});
    }
    return openai::model_list_json(cards);
  }

  Status can_serve() const {
    if (service_->draining.load()) return unavailable("The server is shutting down.");
    return service_->loaded.engine->health();
  }

  /// 200 when able to serve; 503 while draining or after the engine's death, which is what load balancers
  /// need.
  void health(http::ResponseWriter& writer) const {
    const Status status = can_serve();
    if (status.ok()) {
      writer.respond(200, {{"Content-Type", "text/plain"}}, "");
    } else {
      respond_json(writer, 503, openai::error_for_status(503, message_of(status)).body());
    }
  }

  const ServeOptions options_;
  std::shared_ptr<Service> service_;
  http::Router router_;
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
