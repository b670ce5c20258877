#include "lab/skill_report.h"

#include <algorithm>
#include <map>

namespace hadal {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr const char* kAll = "all";
constexpr size_t kSkillWidth = 16, kCellWidth = 20;
constexpr size_t kLongestText = 160;

void add(const SkillOutcome& outcome, SkillScore* score) {
  score->asked += 1;
  score->right += outcome.verdict.right ? 1 : 0;
  score->valid += outcome.verdict.valid ? 1 : 0;
  score->ran_on += outcome.ran_on ? 1 : 0;
  score->failed += outcome.failed ? 1 : 0;
}

/// Where a skill's language stands among the rows; made where it is new.
SkillRow& row_of(const SkillQuestion& question, const char* language, size_t passes, SkillReport* report) {
  for (SkillRow& row : report->rows) {
    if (row.skill == question.skill && row.language == language) return row;
  }
  // behind the rows of the same skill, so that those stay together
  auto place = std::find_if(report->rows.rbegin(), report->rows.rend(), [&](const SkillRow& row) {
                 return row.skill == question.skill;
               }).base();
  if (place == report->rows.begin()) place = report->rows.end();
  SkillRow row{.skill = question.skill,
               .language = language,
               .schema = question.match == SkillMatch::kJsonSchema,
               .bar = question.bar,
               .by_pass = std::vector<SkillScore>(passes)};
  return *report->rows.insert(place, std::move(row));
}

std::string last_text(const SkillQuestion& question) {
  const auto content = question.messages.back().find("content");
  return content != question.messages.back().end() && content->is_string() ? content->get<std::string>() : "";
}

/// The end of a text, where the question mostly stands.
std::string shortened(const std::string& text) {
  size_t from = text.size() > kLongestText ? text.size() - kLongestText : 0;
  while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0) == 0x80) ++from;
  return (from > 0 ? "…" : "") + text.substr(from);
}

/// In quotes, with what a terminal should not get escaped.
std::string quoted(const std::string& text) {
  return OrderedJson(shortened(text)).dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string gold_text(const SkillQuestion& question) {
  return question.gold.is_string() ? question.gold.get<std::string>() : question.gold.dump();
}

std::string cell(const SkillScore& score, double bar) {
  if (score.asked == 0) return fmt::format("{:>{}}", "–", kCellWidth);
  const bool low = bar > 0.0 && score.percent() < bar;
  return fmt::format(
      "{:>{}}", fmt::format("{:.1f}% {}/{}{}", score.percent(), score.right, score.asked, low ? " <" : "  "),
      kCellWidth);
}

std::string line_of(const std::string& skill, const std::string& language, double bar,
                    const std::vector<SkillScore>& scores) {
  std::string out = fmt::format("{:<{}}{:<5}{:>6}", skill, kSkillWidth, language,
                                bar > 0.0 ? fmt::format("{:.0f}%", bar) : "");
  for (const SkillScore& score : scores) out += cell(score, bar);
  return out + "\n";
}

std::string notes_of(const SkillReport& report) {
  std::string out;
  for (const SkillRow& row : report.rows) {
    if (row.language != kAll || !row.schema) continue;
    for (size_t pass = 0; pass < report.passes.size(); ++pass) {
      const SkillScore& score = row.by_pass[pass];
      if (score.asked > 0)
        out += fmt::format("{}, {}: {} of {} answers fit their schema\n", row.skill, report.passes[pass],
                           score.valid, score.asked);
    }
  }
  for (size_t pass = 0; pass < report.passes.size(); ++pass) {
    const SkillScore& total = report.totals[pass];
    if (total.ran_on > 0)
      out += fmt::format("{}: {} of {} answers did not end by themselves\n", report.passes[pass],
                         total.ran_on, total.asked);
    if (total.failed > 0)
      out += fmt::format("{}: {} of {} requests failed\n", report.passes[pass], total.failed, total.asked);
  }
  return out;
}

std::string examples_of(const SkillReport& report, int32_t most) {
  std::string out;
  std::map<std::string, int32_t> shown;
  for (const WrongAnswer& wrong : report.wrong) {
    if (shown[wrong.skill]++ >= most) continue;
    out +=
        fmt::format("\n{} ({}, {})\n  asked   {}\n  wanted  {}\n  got     {}\n", wrong.skill, wrong.language,
                    wrong.pass, quoted(wrong.asked), quoted(wrong.gold), quoted(wrong.said));
  }
  return out;
}

OrderedJson json_of(const SkillScore& score) {
  return {{"asked", score.asked},   {"right", score.right},   {"valid", score.valid},
          {"ran_on", score.ran_on}, {"failed", score.failed}, {"percent", score.percent()}};
}

}  // namespace

std::string pass_name(const SkillPass& pass) {
  return std::string(pass.sampling == SkillSampling::kGreedy ? "greedy" : "default") +
         (pass.thinking ? ", thinking" : "");
}

SkillReport skill_report(const std::vector<SkillQuestion>& questions, const std::vector<SkillPass>& passes,
                         const std::vector<SkillOutcome>& outcomes) {
  SkillReport report;
  for (const SkillPass& pass : passes) report.passes.push_back(pass_name(pass));
  report.totals.resize(passes.size());
  for (const SkillQuestion& question : questions)
    row_of(question, question.language.c_str(), passes.size(), &report);
  for (const SkillQuestion& question : questions) row_of(question, kAll, passes.size(), &report);
  for (const SkillOutcome& outcome : outcomes) {
    const SkillQuestion& question = questions[outcome.question];
    for (const char* language : {question.language.c_str(), kAll})
      add(outcome, &row_of(question, language, passes.size(), &report).by_pass[outcome.pass]);
    add(outcome, &report.totals[outcome.pass]);
    if (!outcome.verdict.right) {
      report.wrong.push_back({question.skill, question.language, report.passes[outcome.pass],
                              last_text(question), gold_text(question), outcome.said});
    }
  }
  return report;
}

std::string skill_table(const SkillReport& report, int32_t examples) {
  std::string out = fmt::format("{:<{}}{:<5}{:>6}", "skill", kSkillWidth, "", "bar");
  for (const std::string& pass : report.passes) out += fmt::format("{:>{}}", pass + "  ", kCellWidth);
  out += "\n";
  for (const SkillRow& row : report.rows) out += line_of(row.skill, row.language, row.bar, row.by_pass);
  out += line_of("total", "", 0.0, report.totals);
  const std::string notes = notes_of(report);
  return out + (notes.empty() ? "" : "\n" + notes) + examples_of(report, examples);
}

std::string skill_json(const SkillReport& report) {
  OrderedJson rows = OrderedJson::array();
  for (const SkillRow& row : report.rows) {
    OrderedJson entry{{"skill", row.skill}, {"language", row.language}};
    if (row.bar > 0.0) entry["bar"] = row.bar;
    for (size_t pass = 0; pass < report.passes.size(); ++pass) {
      if (row.by_pass[pass].asked > 0) entry["scores"][report.passes[pass]] = json_of(row.by_pass[pass]);
    }
    rows.push_back(std::move(entry));
  }
  OrderedJson totals;
  for (size_t pass = 0; pass < report.passes.size(); ++pass)
    totals[report.passes[pass]] = json_of(report.totals[pass]);
  OrderedJson wrong = OrderedJson::array();
  for (const WrongAnswer& answer : report.wrong) {
    wrong.push_back({{"skill", answer.skill},
                     {"language", answer.language},
                     {"pass", answer.pass},
                     {"asked", answer.asked},
                     {"gold", answer.gold},
                     {"said", answer.said}});
  }
  OrderedJson out{{"passes", report.passes},
                  {"rows", std::move(rows)},
                  {"totals", std::move(totals)},
                  {"wrong", std::move(wrong)}};
  return out.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace hadal
