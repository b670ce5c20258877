#include "openai/error.h"

#include "openai/json_writer.h"

namespace hadal::openai {
namespace {

const char* type_of(int status) {
  switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 408:
    case 504: return "timeout_error";
    case 429: return "rate_limit_error";
    case 503: return "service_unavailable_error";
    default: return status >= 500 ? "internal_error" : "invalid_request_error";
  }
}

void append_or_null(const std::optional<std::string>& text, std::string* out) {
  if (text) {
    append_json_string(*text, out);
  } else {
    *out += "null";
  }
}

}  // namespace

std::string ApiError::body() const {
  std::string out = "{\"error\":{\"message\":";
  append_json_string(message, &out);
  out += ",\"type\":";
  append_json_string(type, &out);
  out += ",\"param\":";
  append_or_null(param, &out);
  out += ",\"code\":";
  append_or_null(code, &out);
  out += "}}";
  return out;
}

ApiError invalid_request(std::string message, std::optional<std::string> param, std::optional<std::string> code) {
  return {.status = 400, .message = std::move(message), .type = "invalid_request_error", .param = std::move(param),
          .code = std::move(code)};
}

ApiError model_not_found(std::string_view model) {
  return {.status = 404, .message = fmt::format("The model `{}` does not exist.", model),
          .type = "invalid_request_error", .param = "model", .code = "model_not_found"};
}

ApiError context_length_exceeded(int64_t context, int64_t prompt_tokens, int64_t max_tokens) {
  return invalid_request(
      fmt::format("This model's maximum context length is {} tokens, but the request has {} tokens of prompt and asks "
                  "for {} more. Shorten the prompt or lower max_tokens.",
                  context, prompt_tokens, max_tokens),
      std::nullopt, "context_length_exceeded");
}

ApiError error_for_status(int http_status, std::string_view message) {
  ApiError error{.status = http_status, .message = std::string(message), .type = type_of(http_status)};
  if (http_status == 429 || http_status == 503) error.retry_after_seconds = 1;
  return error;
}

ApiError error_from_status(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented: return error_for_status(400, message_of(status));
    case absl::StatusCode::kNotFound: return error_for_status(404, message_of(status));
    case absl::StatusCode::kResourceExhausted: return error_for_status(429, message_of(status));
    case absl::StatusCode::kUnavailable: return error_for_status(503, message_of(status));
    case absl::StatusCode::kDeadlineExceeded: return error_for_status(504, message_of(status));
    default: return error_for_status(500, "The server had an error while processing the request.");
  }
}

}  // namespace hadal::openai
