// Recorded traffic: arrival times and lengths of a real service, as two projects publish them.
//
//   ASSIGN_OR_RETURN(Trace trace, read_trace("azure-2023-conv.csv"));
//
// Azure (AzurePublicDataset), CSV with a header line that names at least the columns
//   TIMESTAMP,ContextTokens,GeneratedTokens        2023-11-16 18:17:03.9799600,4808,10
// in any order. Fields may be quoted ("" is a quote inside); a quoted field does not go over lines. The time
// may end in Z or an offset such as +00:00.
//
// Mooncake, JSON lines
//   {"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2, ...]}
// with milliseconds, and one id for each 512 tokens of the prompt: equal ids stand for equal text after equal
// text. Without "hash_ids" a prompt shares nothing; with fewer ids than blocks the rest shares nothing.
// Members of other names are ignored.
//
// A file is untrusted. Lengths are 1 to kMaxTraceTokens (an output length may be 0), times may come in any
// order and are sorted (equal ones keep the file's order), empty lines are skipped, and any other line that
// is not as above refuses the whole file: a trace that was read half would be measured as if it were whole.
// Errors name the line, from 1.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace hadal {

inline constexpr int32_t kMaxTraceTokens = 1 << 24;
inline constexpr int32_t kMooncakeBlockTokens = 512;

struct TraceRequest {
  double arrival_s = 0.0;  // after the first request of the trace
  int32_t input_tokens = 0;
  int32_t output_tokens = 0;
  std::vector<int64_t> hash_ids;  // no id twice; at most one for each begun block of input_tokens
};

enum class TraceFormat : uint8_t { kAzure, kMooncake };

struct Trace {
  TraceFormat format = TraceFormat::kAzure;
  std::vector<TraceRequest> requests;  // by arrival; at least one
};

/// The format is told by the content: a first line that begins with '{' is Mooncake's.
StatusOr<Trace> parse_trace(std::string_view bytes);
StatusOr<Trace> read_trace(const std::string& path);

/// The fields of one CSV line, quotes taken off. An error says what is wrong with the line.
StatusOr<std::vector<std::string>> split_csv_line(std::string_view line);

/// Nanoseconds since 1970 of "2023-11-16 18:17:03.9799600" (or with 'T'; with Z or +hh:mm at the end).
StatusOr<int64_t> parse_trace_time(std::string_view text);

}  // namespace hadal
