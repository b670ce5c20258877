#include "server/stats_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace hadal {

std::optional<StatsLine> StatsLog::next(const EngineStats& stats, MonotonicTime now) {
  const double seconds = std::max(seconds_between(last_time_, now), 1e-6);
  const auto computed = [](const EngineStats& of) { return of.prompt_tokens - of.prompt_tokens_cached; };
  const auto rate = [&](int64_t before, int64_t after) {
    return static_cast<double>(std::max<int64_t>(after - before, 0)) / seconds;
  };
  if (const int64_t asked = stats.prefix_queries - last_.prefix_queries; asked > 0)
    hit_rate_ = static_cast<double>(stats.prefix_hits - last_.prefix_hits) / static_cast<double>(asked);
  StatsLine line{.prompt_tokens_per_second = rate(computed(last_), computed(stats)),
                 .generation_tokens_per_second = rate(last_.generation_tokens, stats.generation_tokens),
                 .running = stats.running,
                 .waiting = stats.waiting,
                 .kv_cache_usage = stats.blocks_total > 0 ? static_cast<double>(stats.blocks_used) /
                                                                static_cast<double>(stats.blocks_total)
                                                          : 0.0,
                 .prefix_cache_hit_rate = hit_rate_};
  const bool idle = stats.prompt_tokens == last_.prompt_tokens &&
                    stats.generation_tokens == last_.generation_tokens && stats.running == 0 &&
                    stats.waiting == 0;
  last_ = stats;
  last_time_ = now;
  if (std::exchange(idle_, idle) && idle) return std::nullopt;
  return line;
}

void log_stats(const StatsLine& line) {
  const std::string message = fmt::format(
      "Engine 000: Avg prompt throughput: {:.1f} tokens/s, Avg generation throughput: {:.1f} tokens/s, "
      "Running: {} reqs, Waiting: {} reqs, KV cache usage: {:.1f}%, Prefix cache hit rate: {:.1f}%",
      line.prompt_tokens_per_second, line.generation_tokens_per_second, line.running, line.waiting,
      100.0 * line.kv_cache_usage, 100.0 * line.prefix_cache_hit_rate);
  log_event(LogLevel::kInfo, "stats", message,
            {{"prompt_tokens_per_second", line.prompt_tokens_per_second},
             {"generation_tokens_per_second", line.generation_tokens_per_second},
             {"running", line.running},
             {"waiting", line.waiting},
             {"kv_cache_usage", line.kv_cache_usage},
             {"prefix_cache_hit_rate", line.prefix_cache_hit_rate}});
}

}  // namespace hadal
