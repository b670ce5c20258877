// hadal bench cache: the prefix cache's orders of eviction over a recorded trace, without a model.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/commands.h"
#include "cli/options.h"
#include "lab/cache_simulation.h"
#include "lab/traces.h"

namespace hadal {
namespace {

struct CacheBenchOptions {
  std::string trace;
  std::string policy = "both";
  std::string capacity = "0.2,0.1,0.05";
  std::vector<std::string> blocks;
  double reuse_bonus = 1.0;
  BlockTraceOptions part;
  bool as_json = false;
};

struct Row {
  int32_t capacity = 0;
  double share_of_distinct = 0.0;
  std::vector<double> hits;  // of each policy that was asked for
  double oracle = 0.0;
};

struct Policy {
  const char* name;
  EvictionPolicy policy;
};

std::vector<Policy> policies_of(const std::string& name) {
  std::vector<Policy> policies;
  if (name != "reuse") policies.push_back({"lru", EvictionPolicy::kLru});
  if (name != "lru") policies.push_back({"reuse", EvictionPolicy::kReuse});
  return policies;
}

/// The number that `text` is as a whole.
template <typename Number>
bool read_number(std::string_view text, Number* out) {
  const auto [stopped, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc{} && stopped == text.data() + text.size() && !text.empty();
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    parts.push_back(text.substr(start, comma - start));
    start = comma + 1;
  }
  return parts;
}

/// Cache sizes in blocks: --blocks where given, otherwise shares of the distinct blocks.
StatusOr<std::vector<int32_t>> capacities(const CacheBenchOptions& options, int32_t distinct) {
  std::vector<int32_t> sizes;
  for (const std::string& list : options.blocks) {
    for (const std::string& text : split(list)) {
      int32_t size = 0;
      if (!read_number(text, &size) || size < 1) {
        return invalid_argument("--blocks takes whole numbers from 1, not '{}'", text);
      }
      sizes.push_back(size);
    }
  }
  if (!sizes.empty()) return sizes;
  for (const std::string& text : split(options.capacity)) {
    double share = 0.0;
    if (!read_number(text, &share) || !(share > 0.0 && share <= 1.0)) {
      return invalid_argument("--capacity takes shares above 0 and up to 1, such as 0.1,0.05, not '{}'",
                              text);
    }
    sizes.push_back(std::max(1, static_cast<int32_t>(share * distinct)));
  }
  return sizes;
}

uint64_t bonus_of(EvictionPolicy policy, int32_t capacity, double turns) {
  return static_cast<uint64_t>(std::llround(turns * static_cast<double>(reuse_bonus(policy, capacity))));
}

StatusOr<std::vector<Row>> simulate(const BlockTrace& trace, const CacheBenchOptions& options) {
  ASSIGN_OR_RETURN(const std::vector<int32_t> sizes, capacities(options, trace.distinct));
  std::vector<Row> rows;
  for (const int32_t size : sizes) {
    Row row{.capacity = size, .share_of_distinct = static_cast<double>(size) / trace.distinct};
    for (const Policy& policy : policies_of(options.policy)) {
      const uint64_t bonus = bonus_of(policy.policy, size, options.reuse_bonus);
      ASSIGN_OR_RETURN(const CacheHits hits, simulate_cache(trace, size, bonus));
      row.hits.push_back(hits.share(trace));
    }
    ASSIGN_OR_RETURN(const CacheHits best, simulate_oracle(trace, size));
    row.oracle = best.share(trace);
    rows.push_back(std::move(row));
  }
  return rows;
}

void print_table(const BlockTrace& trace, const CacheBenchOptions& options, const std::vector<Row>& rows) {
  std::printf("%zu prompts, %lld blocks, %d distinct; hits of an unlimited cache %.4f\n",
              trace.prompts.size(), static_cast<long long>(trace.blocks), trace.distinct,
              simulate_unlimited(trace).share(trace));
  std::printf("%10s %12s", "blocks", "of distinct");
  for (const Policy& policy : policies_of(options.policy)) std::printf(" %8s", policy.name);
  std::printf(" %8s\n", "oracle");
  for (const Row& row : rows) {
    std::printf("%10d %11.2f%%", row.capacity, 100 * row.share_of_distinct);
    for (const double share : row.hits) std::printf(" %8.4f", share);
    std::printf(" %8.4f\n", row.oracle);
  }
}

nlohmann::ordered_json to_json(const BlockTrace& trace, const CacheBenchOptions& options,
                               const std::vector<Row>& rows) {
  nlohmann::ordered_json json;
  json["prompts"] = trace.prompts.size();
  json["blocks"] = trace.blocks;
  json["distinct_blocks"] = trace.distinct;
  json["unlimited"] = simulate_unlimited(trace).share(trace);
  const std::vector<Policy> policies = policies_of(options.policy);
  for (const Row& row : rows) {
    nlohmann::ordered_json one;
    one["blocks"] = row.capacity;
    one["share_of_distinct"] = row.share_of_distinct;
    for (size_t i = 0; i < policies.size(); ++i) one[policies[i].name] = row.hits[i];
    one["oracle"] = row.oracle;
    json["caches"].push_back(std::move(one));
  }
  return json;
}

Status check(const CacheBenchOptions& options) {
  if (options.part.skip < 0 || options.part.limit < 0 || options.part.max_blocks < 0) {
    return invalid_argument("--skip, --limit and --max-prompt-blocks must not be negative");
  }
  if (!(options.reuse_bonus >= 0.0 && options.reuse_bonus <= 1e6)) {
    return invalid_argument("--reuse-bonus must be 0 to 1000000 turns of the cache");
  }
  return OkStatus();
}

Status run(const CacheBenchOptions& options) {
  RETURN_IF_ERROR(check(options));
  ASSIGN_OR_RETURN(const Trace trace, read_trace(options.trace));
  ASSIGN_OR_RETURN(const BlockTrace blocks, block_trace(trace, options.part));
  ASSIGN_OR_RETURN(const std::vector<Row> rows, simulate(blocks, options));
  if (options.as_json) {
    std::printf("%s\n", to_json(blocks, options, rows).dump(2).c_str());
  } else {
    print_table(blocks, options, rows);
  }
  return OkStatus();
}

}  // namespace

int run_bench_cache(const Arguments& arguments) {
  CacheBenchOptions options;
  OptionTable table("hadal bench cache",
                    "Runs a trace of prompts (Mooncake's JSON lines) through the server's order of eviction, "
                    "without a model, "
                    "and prints the share of the prompts' blocks that a prefix cache of a given size would "
                    "have had. A hit counts "
                    "only where all earlier blocks of the prompt hit; requests take no time. Beside it stand "
                    "a cache without "
                    "limit and Belady's oracle, which knows the future.");
  table.option("--trace", &options.trace, "the trace: a JSONL file with hash_ids (needed)");
  table.option("--policy", &options.policy, "order of eviction", {"lru", "reuse", "both"});
  table.option("--capacity", &options.capacity, "cache sizes as shares of the trace's distinct blocks");
  table.option("--blocks", &options.blocks, "cache sizes in blocks, instead of --capacity");
  table.option("--reuse-bonus", &options.reuse_bonus,
               "what a first hit earns a block under `reuse`, in turns of the cache");
  table.option("--skip", &options.part.skip, "requests left out at the beginning");
  table.option("--limit", &options.part.limit, "requests taken after those; 0: all");
  table.option("--max-prompt-blocks", &options.part.max_blocks, "cut prompts to so many blocks; 0: not");
  table.option("--json", &options.as_json, "as one JSON object");
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  if (options.trace.empty()) {
    std::fprintf(stderr, "hadal bench cache: --trace FILE is needed\nTry hadal bench cache --help.\n");
    return kExitUsage;
  }
  return report(run(options));
}

}  // namespace hadal
