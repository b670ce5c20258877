// What the handlers of one server share: the loaded model, its names, and the facts that requests are
// completed with.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "http/server.h"
#include "openai/request.h"
#include "server/access.h"
#include "server/engine_loader.h"
#include "server/metrics.h"
#include "server/request_origin.h"
#include "server/timers.h"
#include "text/answer/tool_parser.h"
#include "text/reasoning_parser.h"

namespace hadal {

struct Service {
  LoadedEngine loaded;
  std::vector<std::string> model_names;
  std::vector<int32_t> eos_ids;  // generation_config's, config's and the tokenizer's
  ReasoningKind reasoning = ReasoningKind::kNone;
  const ToolFormat* tools = nullptr;        // null: tool calls stay in the text
  openai::JsonPtr default_template_kwargs;  // an object, or null
  bool trust_request_templates = false;     // may a request bring its own chat template?
  int64_t started_unix = 0;
  std::string openapi;      // /openapi.json
  std::string fingerprint;  // system_fingerprint of the answers
  std::shared_ptr<ServerMetrics> metrics;
  HopTrust trust;
  AccessControl access;
  std::atomic<bool> draining{false};
  int32_t stream_interval = 1;                // tokens in a chunk
  Duration ping_interval = Duration::zero();  // of silent streams; 0: no pings
  bool force_include_usage = false;
  bool tokens_as_token_ids = false;
  bool log_requests = false;
  std::shared_ptr<Timers> timers;  // stopped before the engine goes

  bool serves(std::string_view model) const;  // an empty name means the first
  /// Not ok while draining or after the engine's death.
  Status can_serve() const;
};

/// Request fields with the checkpoint's defaults as engine parameters. `prompt_tokens` bounds max_tokens.
struct EngineParams {
  SamplingParams sampling;
  StopParams stop;
};
/// max_tokens where neither the request nor the checkpoint says.
enum class DefaultLength : uint8_t {
  kContext,
  kSixteen
};  // what is left of the context; OpenAI's completions
openai::Result<EngineParams> engine_params(const Service& service, const openai::CommonRequest& fields,
                                           int32_t logprobs, DefaultLength length, size_t prompt_tokens);

/// Why nothing was queued, as the `code` of the answer and the label of vllm:admission_rejections.
enum class Refusal : uint8_t { kTenantQueueFull, kQueueFull, kDeadline, kBusy, kDraining, kEngineDead };
/// Counts the refusal. 429 for a tenant's full queue, else 503; Retry-After from the rate at which the queue
/// drains.
openai::ApiError refuse(const Service& service, Refusal refusal);
/// What submit() said: a refusal as above, or what is wrong with the request.
openai::ApiError submit_error(const Service& service, const Status& status);

/// Whose clients read the error.
enum class ErrorForm : uint8_t { kOpenAi, kAnthropic };
/// The error as the answer, with Retry-After where it belongs.
void respond_error(http::ResponseWriter& writer, const openai::ApiError& error,
                   ErrorForm form = ErrorForm::kOpenAi);
void respond_json(http::ResponseWriter& writer, int status, std::string body);

/// A seed for a request that gave none; fits a client's signed 64 bits.
uint64_t draw_seed();

}  // namespace hadal
