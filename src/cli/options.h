// A command's options as one table: parsing, --help and the hint after a typing error come from it.
//
//   ServeOptions options;
//   OptionTable table("hadal serve", "Load a checkpoint and answer the OpenAI API.");
//   table.positional("MODEL", &options.model, "checkpoint folder, or hub id in the local cache");
//   table.option("--port", &options.port, "TCP port; 0 picks a free one");
//   if (auto exit_code = table.parse(arguments)) return *exit_code;
//
// CLI11 does the parsing and is known to options.cc alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace hadal {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;  // understood, and could not be done
inline constexpr int kExitUsage = 2;    // not understood

using OptionTarget =
    std::variant<bool*, int32_t*, int64_t*, uint64_t*, double*, std::string*, std::vector<std::string>*,
                 std::optional<std::string>*, std::optional<int32_t>*, std::optional<int64_t>*,
                 std::optional<double>*, std::optional<uint64_t>*>;

struct OptionRow {
  std::string names;  // "--port" or "--tensor-parallel-size,-tp"
  OptionTarget target;
  std::string help;
  std::vector<std::string> choices;  // empty: any value
  bool positional = false;
  bool required = false;
  bool hidden = false;  // not in --help
};

/// The row's names, "--enable-x,!--no-enable-x,-x" in its parts with the marks taken off; the main one first.
std::vector<std::string> names_of(const OptionRow& row);

class OptionTable {
 public:
  OptionTable(std::string program, std::string summary)
      : program_(std::move(program)), summary_(std::move(summary)) {}

  void option(std::string names, OptionTarget target, std::string help,
              std::vector<std::string> choices = {}) {
    rows_.push_back({std::move(names), target, std::move(help), std::move(choices), false, false});
  }
  void hidden_option(std::string names, OptionTarget target) {
    rows_.push_back({std::move(names), target, "", {}, false, false, true});
  }
  void positional(std::string name, OptionTarget target, std::string help) {
    rows_.push_back({std::move(name), target, std::move(help), {}, true, true});
  }
  void optional_positional(std::string name, OptionTarget target, std::string help) {
    rows_.push_back({std::move(name), target, std::move(help), {}, true, false});
  }

  /// Fills the targets. A value is returned where the program should end with it: 0 after --help, 2 after a
  /// mistake (which is explained on standard error).
  std::optional<int> parse(const std::vector<std::string>& arguments) const;

  std::string help() const;
  const std::vector<OptionRow>& rows() const { return rows_; }

 private:
  std::string program_, summary_;
  std::vector<OptionRow> rows_;
};

/// The candidate that is fewest edits away from `typed`, if it is near enough to be meant.
std::optional<std::string> nearest_name(std::string_view typed, const std::vector<std::string>& candidates);

}  // namespace hadal
