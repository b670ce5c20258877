#include "lab/traces.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

#include "base/files.h"
#include "tensor/printable.h"

namespace hadal {
namespace {

using Json = nlohmann::json;

constexpr double kMaxMilliseconds = 1e13;  // three hundred years
constexpr int64_t kNanosPerSecond = 1'000'000'000;

/// Lines one after the other, without their ends ("\n" or "\r\n"), counted from 1.
class Lines {
 public:
  explicit Lines(std::string_view bytes) : rest_(bytes) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (rest_.substr(0, 3) == kByteOrderMark) rest_.remove_prefix(3);
  }
  /// The next line that is not blank.
  std::optional<std::string_view> next() {
    while (!rest_.empty()) {
      const size_t end = std::min(rest_.find('\n'), rest_.size());
      std::string_view line = rest_.substr(0, end);
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      ++number_;
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      if (line.find_first_not_of(" \t") != std::string_view::npos) return line;
    }
    return std::nullopt;
  }
  int64_t number() const { return number_; }

 private:
  std::string_view rest_;
  int64_t number_ = 0;
};

Status at_line(int64_t number, const Status& status) {
  return annotate(status, fmt::format("line {}", number));
}

StatusOr<int32_t> checked_length(std::string_view name, int64_t value, int32_t least) {
  if (value < least || value > kMaxTraceTokens) {
    return invalid_argument("{} is {}; it must be {} to {}", name, value, least, kMaxTraceTokens);
  }
  return static_cast<int32_t>(value);
}

/// Arrivals count from the first request.
void finish(Trace& trace) {
  auto& requests = trace.requests;
  std::stable_sort(requests.begin(), requests.end(),
                   [](const TraceRequest& a, const TraceRequest& b) { return a.arrival_s < b.arrival_s; });
  const double first = requests.front().arrival_s;
  for (TraceRequest& request : requests) request.arrival_s -= first;
}

// ---- times ----

/// Exactly `digits` digits off the front of `text`, as a number in [low, high].
bool take_number(std::string_view& text, size_t digits, int low, int high, int* out) {
  if (text.size() < digits) return false;
  int value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  *out = value;
  return value >= low && value <= high;
}

bool take_char(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text[0]) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

bool is_leap(int year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

/// Days from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
int64_t days_from_civil(int year, int month, int day) {
  const int64_t y = month <= 2 ? year - 1 : year;
  const int64_t era = y / 400;
  const int64_t year_of_era = y - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

bool take_date(std::string_view& text, int64_t* days) {
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  int year = 0, month = 0, day = 0;
  if (!take_number(text, 4, 1970, 2200, &year) || !take_char(text, "-") ||
      !take_number(text, 2, 1, 12, &month) || !take_char(text, "-") || !take_number(text, 2, 1, 31, &day)) {
    return false;
  }
  const int most = kDays[static_cast<size_t>(month - 1)] + (month == 2 && is_leap(year) ? 1 : 0);
  *days = days_from_civil(year, month, day);
  return day <= most;
}

/// ".9799600": up to nanoseconds; further digits are dropped.
bool take_fraction(std::string_view& text, int64_t* nanos) {
  *nanos = 0;
  if (!take_char(text, ".")) return true;
  int64_t unit = kNanosPerSecond / 10;
  size_t count = 0;
  for (; !text.empty() && text[0] >= '0' && text[0] <= '9'; text.remove_prefix(1), unit /= 10, ++count) {
    *nanos += (text[0] - '0') * unit;
  }
  return count > 0;
}

/// Nothing, "Z" or "+hh:mm".
bool take_offset(std::string_view& text, int64_t* seconds) {
  *seconds = 0;
  if (text.empty() || take_char(text, "Zz")) return true;
  const bool east = text[0] == '+';
  int hours = 0, minutes = 0;
  if (!take_char(text, "+-") || !take_number(text, 2, 0, 23, &hours) || !take_char(text, ":") ||
      !take_number(text, 2, 0, 59, &minutes)) {
    return false;
  }
  *seconds = (east ? 1 : -1) * (hours * 3600 + minutes * 60);
  return true;
}

// ---- Azure ----

struct Columns {
  size_t time = 0, input = 0, output = 0, count = 0;
};

StatusOr<Columns> azure_columns(std::string_view line) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, split_csv_line(line));
  const auto find = [&](std::string_view name) -> StatusOr<size_t> {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end() || std::count(names.begin(), names.end(), name) > 1) {
      return invalid_argument(
          "neither a JSON object (Mooncake) nor a CSV header that names TIMESTAMP, ContextTokens and "
          "GeneratedTokens once each (Azure)");
    }
    return static_cast<size_t>(found - names.begin());
  };
  Columns columns{.count = names.size()};
  ASSIGN_OR_RETURN(columns.time, find("TIMESTAMP"));
  ASSIGN_OR_RETURN(columns.input, find("ContextTokens"));
  ASSIGN_OR_RETURN(columns.output, find("GeneratedTokens"));
  return columns;
}

StatusOr<int32_t> parse_length(std::string_view name, const std::string& text, int32_t least) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc{} || stopped != end) {
    return invalid_argument("{} is {}, which is no whole number from {} to {}", name, printable(text), least,
                            kMaxTraceTokens);
  }
  return checked_length(name, value, least);
}

StatusOr<TraceRequest> parse_azure_line(std::string_view line, const Columns& columns, int64_t* nanos) {
  ASSIGN_OR_RETURN(const std::vector<std::string> fields, split_csv_line(line));
  if (fields.size() != columns.count) {
    return invalid_argument("{} fields where the header has {}", fields.size(), columns.count);
  }
  TraceRequest request;
  ASSIGN_OR_RETURN(*nanos, parse_trace_time(fields[columns.time]));
  ASSIGN_OR_RETURN(request.input_tokens, parse_length("ContextTokens", fields[columns.input], 1));
  ASSIGN_OR_RETURN(request.output_tokens, parse_length("GeneratedTokens", fields[columns.output], 0));
  return request;
}

StatusOr<Trace> parse_azure(std::string_view header, Lines& lines) {
  StatusOr<Columns> columns = azure_columns(header);
  if (!columns.ok()) return at_line(lines.number(), columns.status());
  Trace trace{.format = TraceFormat::kAzure};
  int64_t first = 0;
  while (const auto line = lines.next()) {
    int64_t nanos = 0;
    StatusOr<TraceRequest> request = parse_azure_line(*line, *columns, &nanos);
    if (!request.ok()) return at_line(lines.number(), request.status());
    if (trace.requests.empty()) first = nanos;
    request->arrival_s =
        static_cast<double>(nanos - first) / kNanosPerSecond;  // a difference loses no digits
    trace.requests.push_back(*std::move(request));
  }
  return trace;
}

// ---- Mooncake ----

StatusOr<const Json*> member(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return invalid_argument("'{}' is missing", name);
  return &*found;
}

StatusOr<int32_t> json_length(const Json& object, const char* name, int32_t least) {
  ASSIGN_OR_RETURN(const Json* value, member(object, name));
  if (!value->is_number_integer()) return invalid_argument("'{}' is no whole number", name);
  // an unsigned number beyond int64_t would turn negative, and is refused as that
  if (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(kMaxTraceTokens)) {
    return invalid_argument("'{}' is {}; it must be {} to {}", name, value->get<uint64_t>(), least,
                            kMaxTraceTokens);
  }
  return checked_length(name, value->get<int64_t>(), least);
}

StatusOr<std::vector<int64_t>> json_hash_ids(const Json& object, int32_t input_tokens) {
  std::vector<int64_t> ids;
  const auto found = object.find("hash_ids");
  if (found == object.end()) return ids;
  if (!found->is_array()) return invalid_argument("'hash_ids' is no list");
  const auto most = static_cast<size_t>((input_tokens + kMooncakeBlockTokens - 1) / kMooncakeBlockTokens);
  if (found->size() > most) {
    return invalid_argument("{} hash ids for {} tokens, which are {} blocks of {}", found->size(),
                            input_tokens, most, kMooncakeBlockTokens);
  }
  std::unordered_set<int64_t> seen;
  for (const Json& id : *found) {
    const bool fits = id.is_number_unsigned() &&
                      id.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    if (!fits) return invalid_argument("a hash id is no whole number from 0 to 2^63 - 1");
    ids.push_back(id.get<int64_t>());
    // equal ids are equal text after equal text, so none can come twice in one prompt
    if (!seen.insert(ids.back()).second) return invalid_argument("hash id {} comes twice", ids.back());
  }
  return ids;
}

StatusOr<TraceRequest> parse_mooncake_line(std::string_view line) {
  const Json object = Json::parse(line, nullptr, false);
  if (!object.is_object()) return invalid_argument("no JSON object");
  TraceRequest request;
  ASSIGN_OR_RETURN(const Json* time, member(object, "timestamp"));
  const double milliseconds = time->is_number() ? time->get<double>() : -1.0;
  if (!(milliseconds >= 0.0 && milliseconds <= kMaxMilliseconds)) {
    return invalid_argument("'timestamp' is no number of milliseconds from 0 to {}", kMaxMilliseconds);
  }
  request.arrival_s = milliseconds / 1000.0;
  ASSIGN_OR_RETURN(request.input_tokens, json_length(object, "input_length", 1));
  ASSIGN_OR_RETURN(request.output_tokens, json_length(object, "output_length", 0));
  ASSIGN_OR_RETURN(request.hash_ids, json_hash_ids(object, request.input_tokens));
  return request;
}

StatusOr<Trace> parse_mooncake(std::string_view first_line, Lines& lines) {
  Trace trace{.format = TraceFormat::kMooncake};
  for (std::optional<std::string_view> line = first_line; line; line = lines.next()) {
    StatusOr<TraceRequest> request = parse_mooncake_line(*line);
    if (!request.ok()) return at_line(lines.number(), request.status());
    trace.requests.push_back(*std::move(request));
  }
  return trace;
}

}  // namespace

StatusOr<std::vector<std::string>> split_csv_line(std::string_view line) {
  std::vector<std::string> fields(1);
  size_t at = 0;
  while (at < line.size()) {
    if (line[at] == '"') {  // only at the beginning of a field, see below
      size_t end = at + 1;
      for (;; ++end) {
        end = line.find('"', end);
        if (end == std::string_view::npos) return invalid_argument("a quoted field does not end");
        fields.back() += line.substr(at + 1, end - at - 1);
        if (end + 1 >= line.size() || line[end + 1] != '"') break;
        fields.back() += '"';
        at = ++end;
      }
      at = end + 1;
      if (at < line.size() && line[at] != ',') return invalid_argument("text after a quoted field");
    } else {
      const size_t end = std::min(line.find(',', at), line.size());
      const std::string_view plain = line.substr(at, end - at);
      if (plain.find('"') != std::string_view::npos)
        return invalid_argument("a quote inside a field that is not quoted");
      fields.back() = std::string(plain);
      at = end;
    }
    if (at < line.size()) {  // a comma: one more field, which may be empty
      fields.emplace_back();
      ++at;
    }
  }
  return fields;
}

StatusOr<int64_t> parse_trace_time(std::string_view text) {
  std::string_view rest = text;
  int64_t days = 0, nanos = 0, offset = 0;
  int hours = 0, minutes = 0, seconds = 0;
  if (!take_date(rest, &days) || !take_char(rest, " T") || !take_number(rest, 2, 0, 23, &hours) ||
      !take_char(rest, ":") || !take_number(rest, 2, 0, 59, &minutes) || !take_char(rest, ":") ||
      !take_number(rest, 2, 0, 60, &seconds) || !take_fraction(rest, &nanos) || !take_offset(rest, &offset) ||
      !rest.empty()) {
    return invalid_argument("{} is no time such as 2023-11-16 18:17:03.9799600", printable(text));
  }
  return (days * 86'400 + hours * 3600 + minutes * 60 + seconds - offset) * kNanosPerSecond + nanos;
}

StatusOr<Trace> parse_trace(std::string_view bytes) {
  Lines lines(bytes);
  const auto first = lines.next();
  if (!first) return invalid_argument("the trace is empty");
  const bool is_json = (*first)[first->find_first_not_of(" \t")] == '{';
  ASSIGN_OR_RETURN(Trace trace, is_json ? parse_mooncake(*first, lines) : parse_azure(*first, lines));
  if (trace.requests.empty()) return invalid_argument("the trace has a header and no requests");
  finish(trace);
  return trace;
}

StatusOr<Trace> read_trace(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, read_file(path));
  StatusOr<Trace> trace = parse_trace(bytes);
  if (!trace.ok()) return annotate(trace.status(), path);
  return trace;
}

}  // namespace hadal
