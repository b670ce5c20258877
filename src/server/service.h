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
#include "server/engine_loader.h"
#include "server/metrics.h"
#include "server/request_origin.h"
#include "text/reasoning_parser.h"

namespace hadal {

struct Service {
  LoadedEngine loaded;
  std::vector<std::string> model_names;
  std::vector<int32_t> eos_ids;  // generation_config's, config's and the tokenizer's
  ReasoningKind reasoning = ReasoningKind::kNone;
  int64_t started_unix = 0;
  std::shared_ptr<ServerMetrics> metrics;
  HopTrust trust;
  std::atomic<bool> draining{false};

  bool serves(std::string_view model) const;  // an empty name means the first
};

/// Request fields with the checkpoint's defaults as engine parameters. `prompt_tokens` bounds max_tokens.
struct EngineParams {
  SamplingParams sampling;
  StopParams stop;
};
enum class Endpoint : uint8_t { kChat, kCompletions };
openai::Result<EngineParams> engine_params(const Service& service, const openai::CommonRequest& fields,
                                           int32_t logprobs, Endpoint endpoint, size_t prompt_tokens);

/// Why nothing was queued, as the `code` of the answer and the label of vllm:admission_rejections.
enum class Refusal : uint8_t { kTenantQueueFull, kQueueFull, kDeadline, kBusy, kDraining, kEngineDead };
/// Counts the refusal. 429 for a tenant's full queue, else 503; Retry-After from the rate at which the queue
/// drains.
openai::ApiError refuse(const Service& service, Refusal refusal);
/// What submit() said: a refusal as above, or what is wrong with the request.
openai::ApiError submit_error(const Service& service, const Status& status);

/// The error as the answer, with Retry-After where it belongs.
void respond_error(http::ResponseWriter& writer, const openai::ApiError& error);

/// A seed for a request that gave none; fits a client's signed 64 bits.
uint64_t draw_seed();

}  // namespace hadal
