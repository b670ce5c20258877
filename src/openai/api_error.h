// Errors as OpenAI's clients expect them: {"error": {"message", "type", "param", "code"}} with the HTTP status.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"

namespace hadal::openai {

struct ApiError {
  int status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::string param;  // empty: null
  std::string code;   // empty: null
};

/// A value or the error that the client gets.
template <typename T>
using OrApiError = std::variant<T, ApiError>;

/// The body.
std::string to_json(const ApiError& error);
/// The body of an answer that http/ gives by itself (malformed request, 404, 413, ...).
std::string error_body(int http_status, std::string_view message);

/// An engine's or template's status as a client's error: invalid_argument 400, not_found 404, resource_exhausted 429,
/// unavailable 503, cancelled 499, the rest 500.
ApiError from_status(const Status& status);

ApiError invalid(std::string param, std::string message);
ApiError model_not_found(std::string_view model);

}  // namespace hadal::openai
