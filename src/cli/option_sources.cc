#include "cli/option_sources.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>

#include "cli/config_file.h"
#include "cli/vllm_spelling.h"

namespace hadal {
namespace {

constexpr const char* kCommandLine = "command line";

std::string main_name(const OptionRow& row) { return names_of(row).front(); }
bool is_list(const OptionRow& row) { return std::holds_alternative<std::vector<std::string>*>(row.target); }

/// The option that a key of a file means, and by which of its names: "no-enable-x" switches x off.
struct Meant {
  const OptionRow* row = nullptr;
  std::string name;
};

Meant option_of_key(const OptionTable& table, const std::string& key) {
  for (const OptionRow& row : table.rows()) {
    if (row.positional) continue;
    for (std::string& name : names_of(row)) {
      if (name == "--" + key) return {&row, std::move(name)};
    }
  }
  return {};
}

/// Kubernetes gives each pod HADAL_PORT=tcp://ADDRESS:PORT where a service is called "hadal".
bool is_service_link(std::string_view value) { return value.starts_with("tcp://") || value.starts_with("udp://"); }

std::set<std::string> given_on_command_line(const OptionTable& table,
                                            const std::vector<std::string>& arguments) {
  std::set<std::string> given;
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    const std::string name = argument.substr(0, argument.find('='));
    for (const OptionRow& row : table.rows()) {
      const std::vector<std::string> names = names_of(row);
      if (std::find(names.begin(), names.end(), name) != names.end()) given.insert(names.front());
    }
  }
  return given;
}

std::string variable_of(const OptionRow& row) {
  std::string variable = "HADAL_";
  for (const char c : main_name(row).substr(2))
    variable += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return variable;
}

std::vector<std::string> split_by_commas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    if (comma > start) parts.push_back(text.substr(start, comma - start));
    start = comma + 1;
  }
  return parts;
}

/// The value that follows `--config` on the command line, or what the environment names.
std::string config_path(const std::vector<std::string>& arguments) {
  for (size_t i = 0; i < arguments.size() && arguments[i] != "--"; ++i) {
    if (arguments[i] == "--config" && i + 1 < arguments.size()) return arguments[i + 1];
    if (arguments[i].rfind("--config=", 0) == 0) return arguments[i].substr(9);
  }
  for (const char* variable : {"HADAL_CONFIG", "VLLM_CONFIG"}) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

class Merger {
 public:
  Merger(const OptionTable& table, const std::vector<std::string>& arguments) : table_(table) {
    merged_.arguments = arguments;
    for (const std::string& name : given_on_command_line(table, arguments))
      merged_.sources[name] = kCommandLine;
  }

  void add_environment() {
    for (const OptionRow& row : table_.rows()) {
      const char* value = row.positional ? nullptr : std::getenv(variable_of(row).c_str());
      if (value == nullptr || *value == '\0' || is_service_link(value)) continue;
      add(row, main_name(row), is_list(row) ? split_by_commas(value) : std::vector<std::string>{value}, variable_of(row));
    }
  }

  Status add_file(const std::string& path) {
    if (path.empty()) return OkStatus();
    ASSIGN_OR_RETURN(const std::vector<ConfigValue> config, read_config(path));
    for (const ConfigValue& value : config) {
      const Meant meant = option_of_key(table_, value.key);
      if (meant.row == nullptr) return unknown_key(path, value.key);
      if (value.is_null) continue;
      if (!is_list(*meant.row) && value.values.size() != 1)
        return invalid_argument("{}: {} takes one value, not a list", path, value.key);
      add(*meant.row, meant.name, value.values, path);
    }
    return OkStatus();
  }

  MergedArguments take() {
    // behind what was typed, so that a list at its end does not take a positional; before a lone "--"
    const auto end = std::find(merged_.arguments.begin(), merged_.arguments.end(), "--");
    merged_.arguments.insert(end, added_.begin(), added_.end());
    return std::move(merged_);
  }

 private:
  void add(const OptionRow& row, const std::string& name, const std::vector<std::string>& values,
           const std::string& source) {
    if (!merged_.sources.emplace(main_name(row), source).second) return;  // somebody before says it
    for (const std::string& value : values) added_.push_back(name + "=" + value);
  }

  Status unknown_key(const std::string& path, const std::string& key) const {
    std::vector<std::string> names;
    for (const OptionRow& row : table_.rows()) {
      if (!row.positional) names.push_back(main_name(row).substr(2));
    }
    const auto meant = nearest_name(key, names);
    return invalid_argument("{}: no option is called {}{}", path, key,
                            meant ? fmt::format("; did you mean {}?", *meant) : std::string());
  }

  const OptionTable& table_;
  MergedArguments merged_;
  std::vector<std::string> added_;
};

std::string value_text(const OptionRow& row) {
  return std::visit(
      [](const auto* target) -> std::string {
        using Value = std::decay_t<decltype(*target)>;
        if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
          std::string list;
          for (const std::string& one : *target) list += (list.empty() ? "" : ", ") + one;
          return "[" + list + "]";
        } else if constexpr (std::is_same_v<Value, bool> || std::is_arithmetic_v<Value>) {
          return fmt::format("{}", *target);
        } else if constexpr (std::is_same_v<Value, std::string>) {
          return target->empty() ? "\"\"" : *target;
        } else {
          return *target ? fmt::format("{}", **target) : "(none)";
        }
      },
      row.target);
}

bool is_secret(const std::string& name) {
  return name.ends_with("-key") || name.ends_with("-token") || (name.find("secret") != std::string::npos && !name.ends_with("-file"));
}

}  // namespace

StatusOr<MergedArguments> merge_sources(const OptionTable& table, const std::vector<std::string>& typed) {
  const std::vector<std::string> arguments = spelled_as_in(table, typed);
  Merger merger(table, arguments);
  merger.add_environment();
  RETURN_IF_ERROR(merger.add_file(config_path(arguments)));
  return merger.take();
}

std::string show_config(const OptionTable& table, const MergedArguments& merged) {
  std::string page;
  for (const OptionRow& row : table.rows()) {
    const std::string name = main_name(row);
    const auto source = merged.sources.find(name);
    const bool given = source != merged.sources.end();
    if (row.positional || name == "--show-config" || (row.hidden && !given)) continue;
    const std::string value = is_secret(name) && given ? "(not shown)" : value_text(row);
    page += fmt::format("{:<36} {:<28} {}\n", name.substr(2), value, given ? source->second : "default");
  }
  return page;
}

}  // namespace hadal
