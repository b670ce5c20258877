#include "text/jinja/clock_text.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "text/jinja/failure.h"

namespace hadal::jinja {
namespace {

struct Time {
  std::tm fields{};
  int microseconds = 0;
};

bool valid(const std::tm& t) {
  static constexpr std::array<int, 12> kDays = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return t.tm_mon >= 0 && t.tm_mon < 12 && t.tm_mday >= 1 && t.tm_mday <= kDays[static_cast<size_t>(t.tm_mon)] &&
         t.tm_hour >= 0 && t.tm_hour < 24 && t.tm_min >= 0 && t.tm_min < 60 && t.tm_sec >= 0 && t.tm_sec < 60;
}

Time parse_time(const std::string& text) {
  Time time;
  std::tm& t = time.fields;
  char between = 'T';
  int used = 0;
  const int fields = std::sscanf(text.c_str(), "%4d-%2d-%2d%c%2d:%2d:%2d%n", &t.tm_year, &t.tm_mon, &t.tm_mday,
                                 &between, &t.tm_hour, &t.tm_min, &t.tm_sec, &used);
  if (fields < 3 || (fields > 3 && fields < 6) || (between != 'T' && between != ' ')) {
    fail("'{}' is no ISO 8601 time", text);
  }
  t.tm_year -= 1900;
  t.tm_mon -= 1;
  if (!valid(t)) fail("'{}' is no ISO 8601 time", text);
  if (fields == 7 && used > 0 && text[static_cast<size_t>(used)] == '.') {
    int scale = 100000;
    for (size_t i = static_cast<size_t>(used) + 1; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i, scale /= 10) {
      time.microseconds += (text[i] - '0') * scale;
    }
  }
  std::tm normal = t;
  timegm(&normal);  // knows the day of the week and of the year
  t.tm_wday = normal.tm_wday;
  t.tm_yday = normal.tm_yday;
  return time;
}

Time local_time() {
  using namespace std::chrono;
  const auto since_epoch = system_clock::now().time_since_epoch();
  const std::time_t seconds = duration_cast<std::chrono::seconds>(since_epoch).count();
  Time time;
  localtime_r(&seconds, &time.fields);
  time.microseconds = static_cast<int>(duration_cast<std::chrono::microseconds>(since_epoch).count() % 1'000'000);
  return time;
}

}  // namespace

std::string format_time(const std::optional<std::string>& now, std::string_view form) {
  const Time time = now ? parse_time(*now) : local_time();
  std::string prepared;  // %f is Python's own; %z and %Z are empty for a time without a zone
  for (size_t i = 0; i < form.size(); ++i) {
    if (form[i] != '%' || i + 1 == form.size()) {
      prepared += form[i];
      continue;
    }
    const char kind = form[++i];
    if (kind == 'f') {
      prepared += fmt::format("{:06}", time.microseconds);
    } else if (kind != 'z' && kind != 'Z') {
      prepared += '%';
      prepared += kind;
    }
  }
  if (prepared.empty()) return {};
  if (prepared.size() > 10000) fail_limit("strftime_now: the format is too long");
  std::string out(prepared.size() * 50 + 100, '\0');
  out.resize(std::strftime(out.data(), out.size(), prepared.c_str(), &time.fields));
  return out;
}

}  // namespace hadal::jinja
