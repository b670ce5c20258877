#include "cli/foreign_options.h"

#include <algorithm>

#include "base/log.h"
#include "cli/foreign_options_table.h"

namespace hadal {
namespace {

/// The options of all rows, one by one: "--tensor-parallel-size,-tp".
std::vector<std::string> options_of(const ForeignRow& row) {
  std::vector<std::string> options;
  std::string_view rest = row.options;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(' '), rest.size());
    options.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return options;
}

/// "--enable-x" as vLLM's parser takes it, which knows "--no-enable-x" of every flag.
std::string with_negation(const std::string& names) {
  return names + ",!--no-" + names.substr(2, names.find(',') - 2);
}

}  // namespace

ForeignOptions::ForeignOptions() {
  for (const ForeignRow& row : foreign_rows()) {
    for (std::string& names : options_of(row)) given_.push_back({.row = &row, .names = std::move(names)});
  }
}

void ForeignOptions::declare(OptionTable& table) {
  using Takes = ForeignRow::Takes;
  for (Given& given : given_) {
    if (given.row->takes == Takes::kFlag) {
      table.hidden_option(with_negation(given.names), &given.flag);
    } else if (given.row->takes == Takes::kValue) {
      table.hidden_option(given.names, &given.value);
    } else {
      table.hidden_option(given.names, &given.list);
    }
  }
}

Status ForeignOptions::check(const std::string& model) const {
  for (const Given& given : given_) {
    const ForeignRow& row = *given.row;
    if (!given.flag && !given.value && given.list.empty()) continue;
    const std::string name = given.names.substr(0, given.names.find(','));
    const std::optional<std::string> value =
        given.list.size() == 1 ? std::optional<std::string>(given.list.front()) : given.value;
    if (value && (*value == row.harmless || (name == "--tokenizer" && *value == model))) continue;
    // lists may hold what is nobody else's business (--hf-token)
    const std::string shown = name + (given.value ? " " + *given.value : "");
    if (row.answer == ForeignRow::Answer::kRefuse) return invalid_argument("{}: {}", shown, row.reason);
    log_warning("{} has no effect: {}", shown, row.reason);
  }
  return OkStatus();
}

}  // namespace hadal
