#include "server/endpoints.h"

#include <array>
#include <utility>

namespace hadal {
namespace {

constexpr auto kOpen = Access::kOpen;
constexpr auto kApi = Access::kApi;
constexpr auto kAdmin = Access::kAdmin;

constexpr std::array kEndpoints = {
    EndpointRow{"POST", "/v1/chat/completions", kApi, BodyKind::kChat, handle_chat_completion,
                "OpenAI's chat completions: fields in request-fields.md"},
    EndpointRow{"POST", "/v1/completions", kApi, BodyKind::kCompletion, handle_completion,
                "OpenAI's text completions: fields in request-fields.md"},
    EndpointRow{"POST", "/v1/responses", kApi, BodyKind::kResponse, handle_response,
                "OpenAI's responses: text and function calls, whole or as events; nothing is stored"},
    EndpointRow{"POST", "/v1/messages", kApi, BodyKind::kMessage, handle_message,
                "Anthropic's messages: text, thinking and tool use, whole or as events"},
    EndpointRow{"POST", "/v1/messages/count_tokens", kApi, BodyKind::kMessage, handle_count_tokens,
                "how many tokens such a request's prompt has"},
    EndpointRow{"GET", "/v1/models", kApi, BodyKind::kNone, handle_models, "the served names"},
    EndpointRow{"GET", "/v1/models/{model}", kApi, BodyKind::kNone, handle_model, "one of them"},
    EndpointRow{"POST", "/v1/embeddings", kApi, BodyKind::kAny, handle_embeddings,
                "refused: the models served here make text"},
    EndpointRow{"POST", "/tokenize", kApi, BodyKind::kTokenize, handle_tokenize,
                "token ids of a prompt, or of messages through the chat template"},
    EndpointRow{"POST", "/detokenize", kApi, BodyKind::kDetokenize, handle_detokenize,
                "the text of token ids"},
    EndpointRow{
        "GET", "/tokenizer_info", kApi, BodyKind::kNone, handle_tokenizer_info,
        "the tokenizer's special tokens, limit and chat template, for clients that write prompts themselves"},
    EndpointRow{"GET", "/health", kOpen, BodyKind::kNone, handle_health,
                "200 when able to serve; 503 while draining or after the engine's death"},
    EndpointRow{"GET", "/ping", kOpen, BodyKind::kNone, handle_health, "the same"},
    EndpointRow{"POST", "/ping", kOpen, BodyKind::kAny, handle_health, "the same"},
    EndpointRow{"GET", "/load", kOpen, BodyKind::kNone, handle_load, "requests that run or wait"},
    EndpointRow{"GET", "/version", kOpen, BodyKind::kNone, handle_version, "this server's version"},
    EndpointRow{"GET", "/metrics", kOpen, BodyKind::kNone, handle_metrics, "Prometheus figures: metrics.md"},
    EndpointRow{"GET", "/openapi.json", kOpen, BodyKind::kNone, handle_openapi,
                "this table as an OpenAPI document"},
    EndpointRow{"POST", "/reset_prefix_cache", kAdmin, BodyKind::kAny, handle_reset_prefix_cache,
                "forgets what the prefix cache can find; blocks in use stay"},
};

const char* access_name(Access access) {
  switch (access) {
    case Access::kOpen:
      return "everybody";
    case Access::kApi:
      return "API key, where one is set";
    case Access::kAdmin:
      return "trusted hop, or admin key";
  }
  return "";
}

constexpr const char* kIntroduction = R"(# Endpoints

Every route of `hadal serve`, and who may call it. This page is printed from the table in `src/server/endpoints.cc`; a test
holds it to that, and `/openapi.json` comes from the same table.

| route | for | what it does |
| --- | --- | --- |
)";

constexpr const char* kNotes = R"(
**Keys.** `--api-key KEY` (several; else `HADAL_API_KEY` or `VLLM_API_KEY`, several by commas) closes the API to everybody
without one: `Authorization: Bearer KEY`, or `x-api-key: KEY`. Administration needs `--admin-api-key` (`HADAL_ADMIN_API_KEY`),
sent the same way, or a trusted hop: a client on a Unix socket (`--uds`), or the hop's secret. Over TCP with neither it
is answered 403. 401 is a key that is missing or wrong.

**Request ids.** `X-Request-Id` of a request (1 to 128 printable ASCII characters) comes back in the answer and is the id
of the answer behind its prefix (`chatcmpl-...`); without one an id is drawn.

**Streams.** The first token goes out at once, then `--stream-interval` tokens a chunk, at the end what is left. A stream that
has been silent for `--sse-ping-interval` seconds (30; 0: never), in a long prefill or a queue, sends a ping, so that proxies keep it
open: the comment `: ping`, in `/v1/messages` the event `ping`. Clients skip both. Such a stream has begun with status 200;
what goes wrong after it comes as the stream's error.

**Tool calls.** A request's `tools` are written into the prompt by the checkpoint's template or encoder, or, where its
template knows no tools (V3, V3.1 as published), by the words of the model's card. Calls are parsed back in the format
that the template writes; `--tool-call-parser` names another, `none` leaves them in the text, as does
`--no-enable-auto-tool-choice`. Text that is not in the format's form stays content.

**Responses.** `input` (a string or items: messages, function_call, function_call_output), `instructions`, `tools` of type
function, `max_output_tokens`, `temperature`, `top_p`, `stream`, `reasoning.effort`, `tool_choice` none and auto.
`previous_response_id` and `background` are refused, since nothing is stored.

**Messages.** `system`, `messages` (text, thinking, tool_use and tool_result blocks), `tools`, `tool_choice` none and auto,
`thinking` (enabled with `budget_tokens`, or disabled), `max_tokens`, `stop_sequences`, `temperature`, `top_p`, `top_k`,
`stream`. Images and documents are refused by name. Errors have Anthropic's form.
)";

/// Bytes of a request whose template and tokens take some tens of microseconds: what waking a worker costs.
constexpr size_t kShortBody = 2048;

}  // namespace

bool EndpointContext::work(size_t body_bytes, std::function<void()> work) const {
  // a template that a request brings may take any time, however short it is
  if (body_bytes > kShortBody || service->trust_request_templates) return pool.submit(std::move(work));
  work();
  return true;
}

std::vector<std::string> paths_of(const EndpointRow& row, const std::vector<std::string>& model_names) {
  constexpr std::string_view kVariable = "{model}";
  std::string_view path = row.path;
  if (!path.ends_with(kVariable)) return {std::string(path)};
  path.remove_suffix(kVariable.size());
  std::vector<std::string> paths;
  for (const std::string& name : model_names) paths.push_back(std::string(path) + name);
  return paths;
}

ErrorForm error_form(const EndpointRow& row) {
  return row.body == BodyKind::kMessage ? ErrorForm::kAnthropic : ErrorForm::kOpenAi;
}

std::span<const EndpointRow> endpoint_table() { return kEndpoints; }

std::string endpoints_markdown() {
  std::string page = kIntroduction;
  for (const EndpointRow& row : kEndpoints)
    page +=
        fmt::format("| `{} {}` | {} | {} |\n", row.method, row.path, access_name(row.access), row.summary);
  return page + kNotes;
}

}  // namespace hadal
