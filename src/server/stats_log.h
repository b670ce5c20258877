// The server's line of figures, in vLLM's words, every --log-stats-interval seconds: what it did since the
// last one and what it holds now. An idle server says so once and is then silent.
//
// Single-threaded: the server's timers call it.
#pragma once

#include <optional>

#include "base/clock.h"
#include "engine/engine.h"

namespace hadal {

struct StatsLine {
  double prompt_tokens_per_second = 0;  // computed, without those found in the cache
  double generation_tokens_per_second = 0;
  int64_t running = 0, waiting = 0;  // sequences; requests
  double kv_cache_usage = 0;         // 0 to 1
  double prefix_cache_hit_rate = 0;  // 0 to 1, of the tokens looked for since the last line that had some
};

class StatsLog {
 public:
  StatsLog(const EngineStats& stats, MonotonicTime now) : last_(stats), last_time_(now) {}

  /// nullopt where nothing has happened since the last line, which said so.
  std::optional<StatsLine> next(const EngineStats& stats, MonotonicTime now);

 private:
  EngineStats last_;
  MonotonicTime last_time_;
  double hit_rate_ = 0;
  bool idle_ = true;
};

void log_stats(const StatsLine& line);

}  // namespace hadal
