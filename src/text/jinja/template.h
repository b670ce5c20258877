// A compiled template: the border of this folder. What is behind it throws; what it answers with is a Status.
//
// Immutable once compiled; any number of threads may render it at once.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "text/jinja/runtime.h"

namespace hadal::jinja {

struct SyntaxTree;

class Template {
 public:
  /// invalid_argument "line N: ..." for a template that does not parse.
  static StatusOr<std::unique_ptr<const Template>> compile(std::string_view source);
  ~Template();

  /// Renders with the members of `variables` (an object) as the template's variables. `now` is what strftime_now
  /// reads (ISO 8601; the machine's time if absent). Errors: failed_precondition with exactly the template's own
  /// words where it called raise_exception; invalid_argument "line N: ..." for a failing operation;
  /// resource_exhausted for a limit.
  StatusOr<std::string> render(const nlohmann::ordered_json& variables, const std::optional<std::string>& now,
                               const Limits& limits = {}) const;

  /// Whether the template reads or sets a variable of that name anywhere.
  bool mentions(std::string_view name) const;

 private:
  explicit Template(std::unique_ptr<const SyntaxTree> tree);
  std::unique_ptr<const SyntaxTree> tree_;
};

}  // namespace hadal::jinja
