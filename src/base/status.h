// Errors of the world (files, requests, peers) as values.
//
// `Status` and `StatusOr<T>` are Abseil's. The makers below format with fmt and keep Abseil's string_view
// (which Debian builds as a type of its own) out of the house:
//
//   StatusOr<int> parse(std::string_view text) {
//     if (text.empty()) return invalid_argument("empty number in {}", where);
//     ASSIGN_OR_RETURN(int value, parse_digits(text));
//     RETURN_IF_ERROR(check_range(value));
//     return value;
//   }
//
// Which code when: invalid_argument: the input is wrong whatever the state; not_found: a named thing is
// missing; failed_precondition: right input, wrong state; unimplemented: understood and not supported (names
// the thing); resource_exhausted: a limit or memory; unavailable: try again; deadline_exceeded: too late;
// data_loss: a damaged file; internal: our bug.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hadal {

using absl::OkStatus;
using absl::Status;
using absl::StatusOr;

inline std::string_view message_of(const Status& status) {
  return {status.message().data(), status.message().size()};
}

inline Status make_status(absl::StatusCode code, std::string_view message) {
  return Status(code, absl::string_view(message.data(), message.size()));
}

/// The same code with `context` put before the message: "config.json: unknown dtype".
Status annotate(const Status& status, std::string_view context);

#define HADAL_STATUS_MAKER(name, code)                                          \
  template <typename... Args>                                                   \
  Status name(fmt::format_string<Args...> format, Args&&... args) {             \
    return make_status(code, fmt::format(format, std::forward<Args>(args)...)); \
  }
HADAL_STATUS_MAKER(invalid_argument, absl::StatusCode::kInvalidArgument)
HADAL_STATUS_MAKER(not_found, absl::StatusCode::kNotFound)
HADAL_STATUS_MAKER(failed_precondition, absl::StatusCode::kFailedPrecondition)
HADAL_STATUS_MAKER(unimplemented, absl::StatusCode::kUnimplemented)
HADAL_STATUS_MAKER(resource_exhausted, absl::StatusCode::kResourceExhausted)
HADAL_STATUS_MAKER(unavailable, absl::StatusCode::kUnavailable)
HADAL_STATUS_MAKER(data_loss, absl::StatusCode::kDataLoss)
HADAL_STATUS_MAKER(cancelled, absl::StatusCode::kCancelled)
HADAL_STATUS_MAKER(deadline_exceeded, absl::StatusCode::kDeadlineExceeded)
HADAL_STATUS_MAKER(internal_error, absl::StatusCode::kInternal)
/// An accelerator that will not work again in this process: whoever sees it ends, a supervisor starts anew.
HADAL_STATUS_MAKER(device_lost, absl::StatusCode::kAborted)
#undef HADAL_STATUS_MAKER

}  // namespace hadal

#define HADAL_CONCAT_INNER(a, b) a##b
#define HADAL_CONCAT(a, b) HADAL_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression)                                                             \
  do {                                                                                          \
    if (::absl::Status hadal_status_ = (expression); !hadal_status_.ok()) return hadal_status_; \
  } while (false)

#define ASSIGN_OR_RETURN(target, expression) \
  HADAL_ASSIGN_OR_RETURN_INNER(HADAL_CONCAT(hadal_or_, __LINE__), target, expression)
#define HADAL_ASSIGN_OR_RETURN_INNER(temporary, target, expression) \
  auto temporary = (expression);                                    \
  if (!temporary.ok()) return std::move(temporary).status();        \
  target = std::move(temporary).value()
