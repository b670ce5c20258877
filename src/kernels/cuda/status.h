// Errors as values inside the module, with the words of base/status.h. It has its own, since Debian's Abseil
// archives cannot be linked into a shared object (thread-local storage built for executables), and only a
// message and a code cross the backend's C interface anyway.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace hadal::cuda {

enum class StatusCode : uint8_t {
  kOk,
  kInvalidArgument,
  kFailedPrecondition,
  kUnimplemented,
  kResourceExhausted,
  kInternal,
  kDeviceLost
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}
  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  std::string_view message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status OkStatus() { return {}; }

template <typename T>
class [[nodiscard]] StatusOr {
 public:
  StatusOr(Status status) : status_(std::move(status)) {}  // NOLINT: implicit as absl's
  StatusOr(T value) : value_(std::move(value)) {}          // NOLINT
  bool ok() const { return value_.has_value(); }
  const Status& status() const& { return status_; }
  Status status() && { return std::move(status_); }
  T& value() & { return *value_; }
  T&& value() && { return *std::move(value_); }
  T& operator*() { return *value_; }
  T* operator->() { return &*value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

#define HADAL_CUDA_STATUS_MAKER(name, code)                                      \
  template <typename... Args>                                                    \
  Status name(fmt::format_string<Args...> format, Args&&... args) {              \
    return {StatusCode::code, fmt::format(format, std::forward<Args>(args)...)}; \
  }
HADAL_CUDA_STATUS_MAKER(invalid_argument, kInvalidArgument)
HADAL_CUDA_STATUS_MAKER(failed_precondition, kFailedPrecondition)
HADAL_CUDA_STATUS_MAKER(unimplemented, kUnimplemented)
HADAL_CUDA_STATUS_MAKER(resource_exhausted, kResourceExhausted)
HADAL_CUDA_STATUS_MAKER(internal_error, kInternal)
HADAL_CUDA_STATUS_MAKER(device_lost, kDeviceLost)
#undef HADAL_CUDA_STATUS_MAKER

}  // namespace hadal::cuda

#define HADAL_CUDA_CONCAT_INNER(a, b) a##b
#define HADAL_CUDA_CONCAT(a, b) HADAL_CUDA_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression)                                                                    \
  do {                                                                                                 \
    if (::hadal::cuda::Status hadal_status_ = (expression); !hadal_status_.ok()) return hadal_status_; \
  } while (false)

#define ASSIGN_OR_RETURN(target, expression) \
  HADAL_CUDA_ASSIGN_OR_RETURN_INNER(HADAL_CUDA_CONCAT(hadal_or_, __LINE__), target, expression)
#define HADAL_CUDA_ASSIGN_OR_RETURN_INNER(temporary, target, expression) \
  auto temporary = (expression);                                         \
  if (!temporary.ok()) return std::move(temporary).status();             \
  target = std::move(temporary).value()
