// Mean, spread and percentiles of a list of measurements.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace hadal {

/// The p-th percentile (0 to 100) of sorted values, straight between neighbours as numpy.percentile does it.
/// 0 of none.
inline double percentile(const std::vector<double>& sorted, double p) {
  if (sorted.empty()) return 0.0;
  const double place = p / 100.0 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - static_cast<double>(below));
}

struct Summary {
  size_t count = 0;
  double mean = 0.0, deviation = 0.0;  // deviation of the population, as numpy.std
  double p50 = 0.0, p90 = 0.0, p99 = 0.0, max = 0.0;
};

/// All zero for no values.
inline Summary summarize(std::vector<double> values) {
  Summary summary{.count = values.size()};
  if (values.empty()) return summary;
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  for (const double value : values) summary.mean += value / count;
  for (const double value : values)
    summary.deviation += (value - summary.mean) * (value - summary.mean) / count;
  summary.deviation = std::sqrt(summary.deviation);
  summary.p50 = percentile(values, 50);
  summary.p90 = percentile(values, 90);
  summary.p99 = percentile(values, 99);
  summary.max = values.back();
  return summary;
}

}  // namespace hadal
