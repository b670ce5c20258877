// Errors as OpenAI's clients expect them: {"error":{"message":...,"type":...,"param":...,"code":...}} with an HTTP status.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/status.h"

namespace hadal::openai {

struct ApiError {
  int status = 500;                       // HTTP
  std::string message;                    // for the caller of the API; says what to do
  std::string type = "internal_error";    // e.g. invalid_request_error
  std::optional<std::string> param;       // the field that is wrong: "messages[0].content"
  std::optional<std::string> code;        // e.g. model_not_found
  std::optional<int> retry_after_seconds;  // 429, 503: for the Retry-After field

  /// {"error":{...}} in one line.
  std::string body() const;
};

/// Empty when all is well.
using MaybeError = std::optional<ApiError>;

/// A value or the error to answer with.
template <typename T>
class Result {
 public:
  Result(T value) : state_(std::move(value)) {}           // NOLINT: as StatusOr
  Result(ApiError error) : state_(std::move(error)) {}    // NOLINT
  bool ok() const { return state_.index() == 0; }
  T& operator*() { return value(); }
  const T& operator*() const { return const_cast<Result*>(this)->value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &**this; }
  const ApiError& error() const {
    CHECK(!ok());
    return std::get<1>(state_);
  }

 private:
  T& value() {
    CHECK(ok());
    return std::get<0>(state_);
  }
  std::variant<T, ApiError> state_;
};

ApiError invalid_request(std::string message, std::optional<std::string> param = std::nullopt,
                         std::optional<std::string> code = std::nullopt);
/// 404 model_not_found.
ApiError model_not_found(std::string_view model);
/// 400 context_length_exceeded.
ApiError context_length_exceeded(int64_t context, int64_t prompt_tokens, int64_t max_tokens);

/// The type that belongs to a status, for errors that the HTTP server finds (404, 405, 408, 413, 431 ...).
ApiError error_for_status(int http_status, std::string_view message);
/// An error of the engine or the text room: invalid_argument, failed_precondition and unimplemented 400; not_found 404;
/// resource_exhausted 429; unavailable 503; deadline 504; others 500 without the message (which is for the log).
ApiError error_from_status(const Status& status);

}  // namespace hadal::openai
