// What both ways of `hadal generate` share: one prompt (generate.cc) and a batch (generate_batch.cc).
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/engine_loader.h"

namespace hadal {

struct GenerateOptions {
  EngineConfig engine;
  std::string prompt;
  std::string file;    // with the prompt
  std::string batch;   // JSON lines; "-": standard input
  std::string output;  // of the batch; "": standard output
  bool chat = false;
  std::optional<std::string> system;
  bool thinking = false;
  int32_t max_tokens = 256;
  std::optional<double> temperature, top_p, min_p;
  std::optional<int32_t> top_k;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

/// The token ids of messages through the chat template. Errors: failed_precondition where there is none.
StatusOr<std::vector<int32_t>> chat_ids(const nlohmann::ordered_json& messages,
                                        const GenerateOptions& options, const LoadedEngine& loaded);
/// Of a text, through the chat template with options.chat.
StatusOr<std::vector<int32_t>> prompt_ids(const std::string& prompt, const GenerateOptions& options,
                                          const LoadedEngine& loaded);
/// Everything but the sink.
EngineRequest request_for(std::vector<int32_t> ids, int32_t max_tokens, const GenerateOptions& options,
                          const LoadedEngine& loaded);

/// Answers the lines of options.batch.
Status generate_batch(const GenerateOptions& options);

}  // namespace hadal
