#include <algorithm>

#include "lab/scenarios.h"

namespace hadal {

Cell::Cell(double number, int decimals, const char* unit)
    : text(fmt::format("{:.{}f}{}", number, decimals, unit)), value(number) {}

const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> all = {
      {"load", "one run of a trace or of equal requests: throughput and latencies", false, simulate_load},
      {"static", "continuous batching against static batching, all requests of a trace at once", true,
       simulate_static},
      {"paging", "sequences held by paged blocks against reserved places", true, simulate_paging},
      {"polite", "a greedy tenant's effect on a polite one: alone, fair, first come first served", false,
       simulate_polite},
      {"shares", "two unlike tenants that both want more than they get, in windows of 10 s", false,
       simulate_shares},
      {"floors", "a tenant with a guaranteed part of the cache beside a greedy one", false, simulate_floors},
  };
  return all;
}

std::string to_text(const ScenarioReport& report) {
  std::string text = report.title + "\n";
  for (const std::string& note : report.notes) text += "  " + note + "\n";
  std::vector<size_t> widths;
  for (const std::string& column : report.columns) widths.push_back(column.size());
  for (const std::vector<Cell>& row : report.rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].text.size());
  }
  const auto line = [&](size_t i, const std::string& word, bool number) {
    return number ? fmt::format("{:>{}}  ", word, widths[i]) : fmt::format("{:<{}}  ", word, widths[i]);
  };
  text += "\n";
  for (size_t i = 0; i < report.columns.size(); ++i) {
    const bool number = !report.rows.empty() && report.rows[0][i].value.has_value();
    text += line(i, report.columns[i], number);
  }
  text += "\n";
  for (const std::vector<Cell>& row : report.rows) {
    for (size_t i = 0; i < row.size(); ++i) text += line(i, row[i].text, row[i].value.has_value());
    text += "\n";
  }
  for (const Requirement& one : report.requirements) {
    text += fmt::format("\n{}: {}: {:.3f}, {} {:.3f}", one.met() ? "met" : "NOT MET", one.what, one.value,
                        one.sense == Requirement::Sense::kAtLeast ? "at least" : "at most", one.limit);
  }
  if (!report.requirements.empty()) text += "\n";
  return text;
}

}  // namespace hadal
