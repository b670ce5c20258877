// What is asked of a server about itself: models, version, health, load, figures. And administration.
#include "base/version.h"
#include "openai/response.h"
#include "server/endpoints.h"

namespace hadal {

namespace {

openai::ModelCard card_of(const Service& service, std::string name) {
  return {.id = std::move(name),
          .created = service.started_unix,
          .root = service.loaded.id,
          .max_model_len = service.loaded.max_model_len};
}

}  // namespace

void handle_model(const EndpointContext& context, http::Request request, WriterPtr writer) {
  constexpr std::string_view kPrefix = "/v1/models/";  // the router knows the served names alone
  respond_json(*writer, 200, openai::model_json(card_of(*context.service, request.path.substr(kPrefix.size()))));
}

void handle_models(const EndpointContext& context, http::Request, WriterPtr writer) {
  std::vector<openai::ModelCard> cards;
  for (const std::string& name : context.service->model_names) cards.push_back(card_of(*context.service, name));
  respond_json(*writer, 200, openai::model_list_json(cards));
}

void handle_version(const EndpointContext&, http::Request, WriterPtr writer) {
  respond_json(*writer, 200, openai::version_json(kVersion));
}

/// 503 while draining or after the engine's death is what load balancers need.
void handle_health(const EndpointContext& context, http::Request, WriterPtr writer) {
  const Status status = context.service->can_serve();
  if (!status.ok()) return respond_error(*writer, openai::error_for_status(503, message_of(status)));
  writer->respond(200, {{"Content-Type", "text/plain"}}, "");
}

void handle_load(const EndpointContext& context, http::Request, WriterPtr writer) {
  const EngineStats stats = context.service->loaded.engine->stats();
  respond_json(*writer, 200, fmt::format("{{\"server_load\":{}}}", stats.running + stats.waiting));
}

void handle_metrics(const EndpointContext& context, http::Request, WriterPtr writer) {
  const Service& service = *context.service;
  const Engine& engine = *service.loaded.engine;
  service.metrics->observe_experts(engine.expert_load());
  writer->respond(200, {{"Content-Type", telemetry::Registry::kContentType}},
                  service.metrics->expose(engine.stats(), service.can_serve().ok()));
}

void handle_reset_prefix_cache(const EndpointContext& context, http::Request, WriterPtr writer) {
  context.service->loaded.engine->reset_prefix_cache();
  writer->respond(200, {{"Content-Type", "text/plain"}}, "");
}

void handle_embeddings(const EndpointContext&, http::Request, WriterPtr writer) {
  openai::ApiError error = openai::invalid_request(
      "The models served here make text, not embeddings. Ask a server of an embedding model.");
  error.code = "not_supported";
  respond_error(*writer, error);
}

}  // namespace hadal
