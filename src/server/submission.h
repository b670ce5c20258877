// What the server does with each endpoint's requests.
#pragma once

#include <memory>

#include "http/server.h"
#include "server/request_origin.h"
#include "server/service.h"
#include "server/work_pool.h"

namespace hadal {

using WriterPtr = std::shared_ptr<http::ResponseWriter>;

/// Run on an io thread; parse, then hand the long part to `pool`.
void handle_chat_completion(const std::shared_ptr<const Service>& service, WorkPool& pool,
                            http::Request request, WriterPtr writer);
void handle_completion(const std::shared_ptr<const Service>& service, WorkPool& pool, http::Request request,
                       WriterPtr writer);

/// Forgets what the prefix cache can find; 403 unless a trusted hop asks.
void handle_reset_prefix_cache(const Service& service, const http::Request& request,
                               http::ResponseWriter& writer);

/// `prompts` to the engine, answers to `writer`. Shared by both.
struct Submission {
  Endpoint endpoint = Endpoint::kChat;
  std::string model;
  openai::CommonRequest fields;
  int32_t logprobs = -1;
  std::vector<std::vector<int32_t>> prompts;
  std::vector<std::string> echo;
  RequestOrigin origin;
  bool split_reasoning = false;
  bool starts_in_reasoning = false;
};
void submit_to_engine(const std::shared_ptr<const Service>& service, Submission submission, WriterPtr writer);

}  // namespace hadal
