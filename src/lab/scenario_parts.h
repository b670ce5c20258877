// What the scenarios are put together from.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lab/scenarios.h"
#include "lab/simulation.h"

namespace hadal {

/// Clients of one tenant that send their next request when the last has ended. Their lengths and pauses
/// depend on the seed, the tenant and the number of the request alone, not on how the others fare.
struct ClientKind {
  std::string tenant;
  int32_t clients = 1;
  int32_t prompt_low = 1, prompt_high = 1;
  int32_t output_low = 1, output_high = 1;
  double pause_s = 0.0;  // mean of an exponential distribution
};

class Clients {
 public:
  /// Takes the simulation's on_end.
  Clients(Simulation* simulation, uint64_t seed);
  void start(const ClientKind& kind);

 private:
  SimRequest next_of(const std::string& tenant);
  struct Tenant {
    ClientKind kind;
    uint64_t sent = 0;
    uint64_t seed = 0;
  };
  Simulation* simulation_;
  uint64_t seed_;
  std::map<std::string, Tenant> tenants_;
};

/// Options with a scenario's defaults where the command line says nothing.
SimulationOptions simulation_options(const ScenarioOptions& options, int32_t max_num_seqs,
                                     int32_t max_num_batched_tokens);

/// The first requests of the trace (by default `most`) as requests at time 0 or at their times.
std::vector<SimRequest> trace_requests(const ScenarioOptions& options, int32_t most);

/// Over the steps that begin in [from_s, to_s).
struct Measured {
  double seconds = 0.0;            // simulated time of those steps
  double prompt_tokens_per_s = 0;  // first computed
  double output_tokens_per_s = 0;
  double running = 0, decode_rows = 0;  // means over steps
  double used_share = 0;                // used over held places, means over steps
  double step_p50_s = 0, step_p99_s = 0;
  int64_t steps = 0;
};
Measured measure_steps(const Simulation& simulation, double from_s, double to_s);

/// Seconds from arrival to the first token of a tenant's requests that arrived in [from_s, to_s); those that
/// had none by now count as if it came now.
std::vector<double> first_token_waits(const Simulation& simulation, const std::string& tenant, double from_s,
                                      double to_s);

}  // namespace hadal
