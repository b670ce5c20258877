// The server's routes as one table. A new endpoint is one file in endpoints/ and one row of endpoints.cc:
// router, access control, /openapi.json and docs/endpoints.md read the table.
//
// Threads: handlers run on http's io threads and must not block; what may take long goes through
// context.work().
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "http/server.h"
#include "server/access.h"
#include "server/service.h"
#include "server/submission.h"
#include "server/work_pool.h"

namespace hadal {

struct EndpointContext {
  std::shared_ptr<const Service> service;
  WorkPool& pool;

  /// Does `work` for a request of so many bytes: on a worker, or at once where that takes less than to wake a
  /// worker would. False: too much work is queued, nothing was or will be done.
  [[nodiscard]] bool work(size_t body_bytes, std::function<void()> work) const;
};

using EndpointHandler = void (*)(const EndpointContext& context, http::Request request, WriterPtr writer);

/// What a request's body is, for /openapi.json (server/endpoints/openapi.cc).
enum class BodyKind : uint8_t {
  kNone,
  kChat,
  kCompletion,
  kTokenize,
  kDetokenize,
  kResponse,
  kMessage,
  kAny
};

struct EndpointRow {
  const char* method;
  const char* path;
  Access access;
  BodyKind body;
  EndpointHandler handler;
  const char* summary;
};

std::span<const EndpointRow> endpoint_table();
/// Where a row is found: its path, or one for each model where it ends with "{model}".
std::vector<std::string> paths_of(const EndpointRow& row, const std::vector<std::string>& model_names);
/// The table as an OpenAPI document.
std::string openapi_document(const std::vector<std::string>& model_names);
/// In which form the row's errors are answered.
ErrorForm error_form(const EndpointRow& row);
/// The table as a Markdown page (docs/endpoints.md).
std::string endpoints_markdown();

// The handlers, one file each.
void handle_chat_completion(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_completion(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_response(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_message(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_count_tokens(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_tokenize(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_detokenize(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_tokenizer_info(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_models(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_model(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_version(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_health(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_load(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_metrics(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_reset_prefix_cache(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_embeddings(const EndpointContext& context, http::Request request, WriterPtr writer);
void handle_openapi(const EndpointContext& context, http::Request request, WriterPtr writer);

}  // namespace hadal
