// One JSON object of a config file, read key by key with every value held to a type and a range. The first
// thing that is wrong is kept and the rest answers with fallbacks, so that a parser reads as a list of
// fields:
//
//   ConfigReader in(object, "config.json");
//   config.hidden = in.integer("hidden_size", {1, 1 << 20});
//   RETURN_IF_ERROR(in.finish(kHarmless));
//
// A key that nobody asked for is an error in finish(), unless it is in the harmless table or its value is
// neutral (config.h tells the rule). Private to this room.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal {

class ConfigReader {
 public:
  struct Range {
    int64_t min;
    int64_t max;
  };
  struct NumberRange {
    double min;  // inclusive
    double max;
  };

  /// `where` begins every message. The object must outlive the reader.
  ConfigReader(const nlohmann::json& object, std::string where);

  // Required: missing or null is an error.
  int32_t integer(std::string_view key, Range range);
  double number(std::string_view key, NumberRange range);
  bool boolean(std::string_view key);
  std::string text(std::string_view key);

  // Optional: missing or null gives the fallback.
  int32_t integer_or(std::string_view key, Range range, int32_t fallback);
  double number_or(std::string_view key, NumberRange range, double fallback);
  bool boolean_or(std::string_view key, bool fallback);
  std::string text_or(std::string_view key, std::string_view fallback);
  std::vector<std::string> texts_or_empty(std::string_view key);
  /// One integer or a list of them (eos_token_id).
  std::vector<int32_t> integers_or_empty(std::string_view key, Range range);

  /// The key is there, whatever its value (null too).
  bool has(std::string_view key) const;
  /// The value, or null if it is missing or null. Counts as asked for.
  const nlohmann::json* value(std::string_view key);
  /// The same, and an error if it is there and no object.
  const nlohmann::json* object(std::string_view key);

  /// Refuses a switch by name unless it is missing, null or has the value that changes nothing.
  void only(std::string_view key, bool neutral);
  void only(std::string_view key, double neutral);
  void only(std::string_view key, std::string_view neutral);

  /// Keeps `status` if it is the first error. Messages get the "where: " prefix.
  void fail(const Status& status);
  void invalid(std::string_view key, std::string_view what);  // "config.json: key what"
  void unsupported(std::string_view key, std::string_view what);
  const Status& status() const { return status_; }

  /// The first key, printable, that nobody asked for and that is neither harmless nor neutral.
  std::optional<std::string> unknown_key(std::span<const std::string_view> harmless) const;
  /// The first error; else an error about the first key that nobody asked for.
  Status finish(std::span<const std::string_view> harmless);

 private:
  const nlohmann::json* required(std::string_view key);
  int32_t checked_integer(std::string_view key, const nlohmann::json& value, Range range, int32_t fallback);

  const nlohmann::json& object_;
  std::string where_;
  Status status_;
  std::set<std::string, std::less<>> asked_;
};

/// Parses a file's text into a JSON object. Errors begin with `where`.
StatusOr<nlohmann::json> parse_config_object(std::string_view text, std::string_view where);

}  // namespace hadal
