// Options of vLLM that mean nothing here, or could mean something only on another machine: a start-up script
// that has them works unchanged. Each is a row of one table: it is taken silently where its value asks for
// what is the case anyway, with one warning where nothing follows from it, and refused with the reason where
// ignoring it would serve something else than was asked for.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/options.h"

namespace hadal {

struct ForeignRow;

class ForeignOptions {
 public:
  ForeignOptions();
  /// Adds the rows; they are not in --help. The table is parsed while this lives.
  void declare(OptionTable& table);
  /// After parsing. Warns; invalid_argument for what is refused. `model`: as the user named it.
  Status check(const std::string& model) const;

 private:
  struct Given {
    const ForeignRow* row = nullptr;
    std::string names;
    bool flag = false;
    std::optional<std::string> value;
    std::vector<std::string> list;
  };
  std::deque<Given> given_;  // one an option
};

}  // namespace hadal
