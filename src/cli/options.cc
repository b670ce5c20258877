#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "cli/vllm_spelling.h"

namespace hadal {
namespace {

/// "-tp": one dash and several letters, which CLI11 does not know.
bool is_long_short(std::string_view name) { return name.size() > 2 && name[0] == '-' && name[1] != '-'; }

std::vector<std::string> split_names(const std::string& names) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= names.size();) {
    const size_t comma = std::min(names.find(',', start), names.size());
    parts.push_back(names.substr(start, comma - start));
    start = comma + 1;
  }
  return parts;
}

std::string names_for_cli(const OptionRow& row) {
  std::string names;
  for (const std::string& name : split_names(row.names)) {
    if (is_long_short(name)) continue;
    names += (names.empty() ? "" : ",") + name;
  }
  return names;
}

/// The arguments with every such name replaced by its option's first one.
std::vector<std::string> with_first_names(std::vector<std::string> arguments,
                                          const std::vector<OptionRow>& rows) {
  for (std::string& argument : arguments) {
    if (argument == "--") break;
    const size_t end = std::min(argument.find('='), argument.size());
    if (!is_long_short(std::string_view(argument).substr(0, end))) continue;
    for (const OptionRow& row : rows) {
      const std::vector<std::string> names = split_names(row.names);
      if (std::find(names.begin() + 1, names.end(), argument.substr(0, end)) == names.end()) continue;
      argument.replace(0, end, names.front());
      break;
    }
  }
  return arguments;
}

void add_row(CLI::App& app, const OptionRow& row) {
  const std::string names = names_for_cli(row);
  CLI::Option* option = std::visit(
      [&](auto* target) -> CLI::Option* {
        if constexpr (std::is_same_v<decltype(target), bool*>) {
          return app.add_flag(names, *target, row.help);
        } else {
          constexpr bool kIsOptional = std::is_same_v<decltype(target), std::optional<std::string>*> ||
                                       std::is_same_v<decltype(target), std::optional<int32_t>*> ||
                                       std::is_same_v<decltype(target), std::optional<int64_t>*> ||
                                       std::is_same_v<decltype(target), std::optional<uint64_t>*> ||
                                       std::is_same_v<decltype(target), std::optional<double>*>;
          constexpr bool kIsInteger = std::is_same_v<decltype(target), int32_t*> ||
                                      std::is_same_v<decltype(target), int64_t*> ||
                                      std::is_same_v<decltype(target), uint64_t*> ||
                                      std::is_same_v<decltype(target), std::optional<int32_t>*> ||
                                      std::is_same_v<decltype(target), std::optional<int64_t>*> ||
                                      std::is_same_v<decltype(target), std::optional<uint64_t>*>;
          CLI::Option* made = app.add_option(names, *target, row.help);
          if constexpr (kIsInteger) made->transform(plain_integer);
          if constexpr (!kIsOptional) made->capture_default_str();
          return made;
        }
      },
      row.target);
  if (row.required) option->required();
  if (row.hidden) option->group("");
  if (!row.choices.empty()) option->check(CLI::IsMember(row.choices));
}

std::unique_ptr<CLI::App> make_app(const std::string& program, const std::string& summary,
                                   const std::vector<OptionRow>& rows) {
  auto app = std::make_unique<CLI::App>(summary, program);
  app->option_defaults()->always_capture_default(false);
  for (const OptionRow& row : rows) add_row(*app, row);
  app->get_formatter()->column_width(38);
  return app;
}

std::vector<std::string> flag_names(const std::vector<OptionRow>& rows) {
  std::vector<std::string> names{"--help"};
  for (const OptionRow& row : rows) {
    if (row.positional) continue;
    for (std::string& name : split_names(row.names))
      names.push_back(name[0] == '!' ? name.substr(1)
                                     : std::move(name));  // the name that switches a flag off
  }
  return names;
}

/// The first argument that looks like a flag and is none.
std::optional<std::string> unknown_flag(const std::vector<std::string>& arguments,
                                        const std::vector<std::string>& known) {
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument.size() < 2 || argument[0] != '-' || std::isdigit(static_cast<unsigned char>(argument[1])))
      continue;
    const std::string name = argument.substr(0, argument.find('='));
    if (name == "-h" || std::find(known.begin(), known.end(), name) != known.end()) continue;
    return name;
  }
  return std::nullopt;
}

}  // namespace

std::string OptionTable::help() const { return make_app(program_, summary_, rows_)->help(); }

std::vector<std::string> names_of(const OptionRow& row) {
  std::vector<std::string> names;
  size_t start = 0;
  while (start <= row.names.size()) {
    const size_t comma = std::min(row.names.find(',', start), row.names.size());
    if (row.names[start] == '!') ++start;
    names.push_back(row.names.substr(start, comma - start));
    start = comma + 1;
  }
  return names;
}

std::optional<int> OptionTable::parse(const std::vector<std::string>& arguments) const {
  const auto app = make_app(program_, summary_, rows_);
  try {
    const std::vector<std::string> known = with_first_names(arguments, rows_);
    app->parse(std::vector<std::string>(known.rbegin(), known.rend()));
  } catch (const CLI::CallForHelp&) {
    std::fputs(app->help().c_str(), stdout);
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    const std::vector<std::string> known = flag_names(rows_);
    if (const auto typed = unknown_flag(arguments, known)) {
      std::fprintf(stderr, "%s: unknown option %s", program_.c_str(), typed->c_str());
      if (const auto meant = nearest_name(*typed, known))
        std::fprintf(stderr, "; did you mean %s?", meant->c_str());
    } else {
      std::fprintf(stderr, "%s: %s", program_.c_str(), error.what());
    }
    std::fprintf(stderr, "\nTry %s --help.\n", program_.c_str());
    return kExitUsage;
  }
  return std::nullopt;
}

}  // namespace hadal
