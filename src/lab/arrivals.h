// When the requests of a load are sent, in seconds after its start.
#pragma once

#include <cstdint>
#include <limits>
#include <random>
#include <string_view>
#include <vector>

namespace hadal {

enum class ArrivalKind : uint8_t {
  kPoisson,   // gaps drawn from a gamma distribution of mean 1 / rate and shape `burstiness`: 1 is a Poisson
              // process
  kFixed,     // equal gaps
  kRecorded,  // as the trace says; not made here
};

struct ArrivalOptions {
  ArrivalKind kind = ArrivalKind::kPoisson;
  double rate = std::numeric_limits<double>::infinity();  // requests a second; infinity: all at once
  double burstiness = 1.0;  // below 1 in bursts, above 1 more evenly (vLLM's sense)
  uint64_t seed = 0;
};

/// Rising times, the first at 0. The same options give the same times with the same standard library.
inline std::vector<double> arrival_times(const ArrivalOptions& options, size_t count) {
  std::vector<double> times(count, 0.0);
  if (options.rate == std::numeric_limits<double>::infinity()) return times;
  std::mt19937_64 random(options.seed);
  std::gamma_distribution<double> gap(options.burstiness, 1.0 / (options.rate * options.burstiness));
  for (size_t i = 1; i < count; ++i) {
    times[i] = options.kind == ArrivalKind::kFixed ? static_cast<double>(i) / options.rate
                                                   : times[i - 1] + gap(random);
  }
  return times;
}

}  // namespace hadal
