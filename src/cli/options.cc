#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

namespace hadal {
namespace {

void add_row(CLI::App& app, const OptionRow& row) {
  CLI::Option* option = std::visit(
      [&](auto* target) -> CLI::Option* {
        if constexpr (std::is_same_v<decltype(target), bool*>) {
          return app.add_flag(row.names, *target, row.help);
        } else {
          constexpr bool kIsOptional = std::is_same_v<decltype(target), std::optional<std::string>*> ||
                                       std::is_same_v<decltype(target), std::optional<int32_t>*> ||
                                       std::is_same_v<decltype(target), std::optional<int64_t>*> ||
                                       std::is_same_v<decltype(target), std::optional<uint64_t>*> ||
                                       std::is_same_v<decltype(target), std::optional<double>*>;
          CLI::Option* made = app.add_option(row.names, *target, row.help);
          if constexpr (!kIsOptional) made->capture_default_str();
          return made;
        }
      },
      row.target);
  if (row.required) option->required();
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
    size_t start = 0;
    while (start <= row.names.size()) {
      const size_t comma = std::min(row.names.find(',', start), row.names.size());
      if (row.names[start] == '!') ++start;  // the name that switches a flag off
      names.push_back(row.names.substr(start, comma - start));
      start = comma + 1;
    }
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

std::optional<int> OptionTable::parse(const std::vector<std::string>& arguments) const {
  const auto app = make_app(program_, summary_, rows_);
  try {
    app->parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
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
