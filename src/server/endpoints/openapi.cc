// GET /openapi.json: the endpoint table as an OpenAPI document. Bodies of chat and completions come from the
// table of request fields, so the document cannot say what the parser does not do.
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/version.h"
#include "openai/request_fields.h"
#include "server/endpoints.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

Json object_schema(Json properties, std::initializer_list<const char*> required) {
  Json names = Json::array();
  for (const char* name : required) names.push_back(name);
  return Json::object(
      {{"type", "object"}, {"required", std::move(names)}, {"properties", std::move(properties)}});
}

Json string_schema() { return Json::object({{"type", "string"}}); }
Json ids_schema() {
  return Json::object({{"type", "array"}, {"items", Json::object({{"type", "integer"}, {"minimum", 0}})}});
}

/// A string, or parts of one type that have a text.
Json texts_schema(const char* type) {
  Json part = object_schema(
      Json::object({{"type", Json::object({{"const", type}})}, {"text", string_schema()}}), {"type", "text"});
  return Json::object(
      {{"anyOf",
        Json::array({string_schema(), Json::object({{"type", "array"}, {"items", std::move(part)}})})}});
}

Json messages_schema(std::initializer_list<const char*> roles, const char* part_type) {
  Json message = object_schema(
      Json::object({{"role", Json::object({{"enum", Json::array()}})}, {"content", texts_schema(part_type)}}),
      {"role", "content"});
  for (const char* role : roles) message["properties"]["role"]["enum"].push_back(role);
  return Json::object({{"type", "array"}, {"minItems", 1}, {"items", std::move(message)}});
}

/// A prompt, or a chat's messages with what goes into their template.
Json tokenize_schema() {
  Json prompt = object_schema(Json::object({{"model", string_schema()},
                                            {"prompt", string_schema()},
                                            {"add_special_tokens", Json::object({{"type", "boolean"}})},
                                            {"return_token_strs", Json::object({{"type", "boolean"}})}}),
                              {"prompt"});
  Json chat = object_schema(openai::field_schemas(openai::Endpoint::kChat), {"messages"});
  return Json::object({{"anyOf", Json::array({std::move(prompt), std::move(chat)})}});
}

/// A string, or messages. Calls, their outputs and reasoning may stand among these (docs/endpoints.md).
Json input_schema() {
  return Json::object(
      {{"anyOf", Json::array({string_schema(), messages_schema({"user", "assistant", "system", "developer"},
                                                               "input_text")})}});
}

Json body_schema(BodyKind kind) {
  using openai::Endpoint;
  switch (kind) {
    case BodyKind::kChat:
      return object_schema(openai::field_schemas(Endpoint::kChat), {"messages"});
    case BodyKind::kCompletion:
      return object_schema(openai::field_schemas(Endpoint::kCompletions), {"prompt"});
    case BodyKind::kTokenize:
      return tokenize_schema();
    case BodyKind::kDetokenize:
      return object_schema(Json::object({{"model", string_schema()}, {"tokens", ids_schema()}}), {"tokens"});
    case BodyKind::kResponse:
      return object_schema(
          Json::object({{"model", string_schema()},
                        {"input", input_schema()},
                        {"instructions", string_schema()},
                        {"max_output_tokens", Json::object({{"type", "integer"}, {"minimum", 1}})},
                        {"stream", Json::object({{"type", "boolean"}})}}),
          {"input"});
    case BodyKind::kMessage:
      return object_schema(Json::object({{"model", string_schema()},
                                         {"messages", messages_schema({"user", "assistant"}, "text")},
                                         {"system", texts_schema("text")},
                                         {"max_tokens", Json::object({{"type", "integer"}, {"minimum", 1}})},
                                         {"stream", Json::object({{"type", "boolean"}})}}),
                           {"messages", "max_tokens"});
    case BodyKind::kNone:
    case BodyKind::kAny:
      break;
  }
  return Json::object();
}

Json response(const char* description) { return Json::object({{"description", description}}); }

/// Every status that the route can answer with.
Json responses_of(const EndpointRow& row) {
  Json responses = Json::object();
  const bool refused = row.handler == handle_embeddings;
  if (!refused) responses["200"] = response("the answer");
  const bool takes_body = row.body != BodyKind::kNone && row.body != BodyKind::kAny;
  // of every route: a header that is no HTTP is answered before any is looked for
  responses["400"] =
      response(takes_body || refused ? "the request is wrong, or asks for what is not supported"
                                     : "the request is no HTTP");
  if (row.access != Access::kOpen) responses["401"] = response("a key is missing or wrong");
  if (row.access == Access::kAdmin) responses["403"] = response("administration is closed here");
  if (takes_body) {
    responses["404"] = response("no such model");
    responses["413"] = response("the body is too long");
    responses["429"] = response("this tenant's queue is full");
    responses["500"] = response("the engine failed");
  }
  if (takes_body || row.handler == handle_health)
    responses["503"] = response("full, draining or dead; see Retry-After");
  return responses;
}

Json operation_of(const EndpointRow& row) {
  Json operation = Json::object({{"summary", row.summary}, {"responses", responses_of(row)}});
  if (row.access != Access::kOpen)
    operation["security"] = Json::array({Json::object({{"bearer", Json::array()}}), Json::object()});
  if (row.body != BodyKind::kNone && row.body != BodyKind::kAny) {
    const Json content =
        Json::object({{"application/json", Json::object({{"schema", body_schema(row.body)}})}});
    operation["requestBody"] = Json::object({{"required", true}, {"content", content}});
  }
  return operation;
}

}  // namespace

std::string openapi_document(const std::vector<std::string>& model_names) {
  Json paths = Json::object();
  for (const EndpointRow& row : endpoint_table()) {
    std::string method = row.method;
    for (char& c : method) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    for (const std::string& path : paths_of(row, model_names)) paths[path][method] = operation_of(row);
  }
  const Json scheme = Json::object({{"type", "http"}, {"scheme", "bearer"}});
  return Json::object(
             {{"openapi", "3.1.0"},
              {"info", Json::object({{"title", "Hadal"}, {"version", kVersion}})},
              {"paths", std::move(paths)},
              {"components", Json::object({{"securitySchemes", Json::object({{"bearer", scheme}})}})}})
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

void handle_openapi(const EndpointContext& context, http::Request, WriterPtr writer) {
  respond_json(*writer, 200, context.service->openapi);
}

}  // namespace hadal
