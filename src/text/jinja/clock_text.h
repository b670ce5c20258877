// The time as a template prints it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hadal::jinja {

/// datetime.strftime(form) of `now`, an ISO 8601 time such as 2025-01-05T08:09:10 (local, no zone); of the
/// machine's local time where `now` is absent. Throws Failure for a time that does not parse.
std::string format_time(const std::optional<std::string>& now, std::string_view form);

}  // namespace hadal::jinja
