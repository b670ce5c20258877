// The scores of `hadal eval skills`: right of asked, for every skill, language and pass.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/skill_eval.h"

namespace hadal {

struct SkillScore {
  int64_t asked = 0, right = 0, valid = 0, ran_on = 0, failed = 0;
  double percent() const {
    return asked == 0 ? 0.0 : 100.0 * static_cast<double>(right) / static_cast<double>(asked);
  }
};

struct SkillRow {
  std::string skill, language;      // language "all": the sum of a skill's languages
  bool schema = false;              // `valid` says something
  double bar = 0.0;                 // percent; 0: none
  std::vector<SkillScore> by_pass;  // as options.passes
};

struct WrongAnswer {
  std::string skill, language, pass, asked, gold, said;
};

struct SkillReport {
  std::vector<std::string> passes;  // names
  std::vector<SkillRow> rows;       // skills in the order of the questions; each language, then "all"
  std::vector<SkillScore> totals;   // by pass
  std::vector<WrongAnswer> wrong;   // every one
};

std::string pass_name(const SkillPass& pass);  // "greedy", "default, thinking", ...

SkillReport skill_report(const std::vector<SkillQuestion>& questions, const std::vector<SkillPass>& passes,
                         const std::vector<SkillOutcome>& outcomes);

/// The table that is printed: percentages, the skills that miss their bar marked with "<". Below it: answers
/// that ran on, requests that failed and the first `examples` wrong answers of each skill.
std::string skill_table(const SkillReport& report, int32_t examples);
/// One JSON object: passes, rows (counts), totals, wrong.
std::string skill_json(const SkillReport& report);

}  // namespace hadal
