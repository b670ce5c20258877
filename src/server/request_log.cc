#include "server/request_log.h"

#include <fmt/format.h>

#include <span>
#include <vector>

#include "base/log.h"
#include "base/log_line.h"

namespace hadal {
namespace {

std::string text_of(const LogField& field) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) return log_escaped(*text);
  if (const auto* flag = std::get_if<bool>(&field.value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<double>(&field.value)) return fmt::format("{:.6g}", *number);
  return fmt::format("{}", std::get<int64_t>(field.value));
}

/// "request ID received: model=demo stream=true ..."
void log_fields(std::string_view event, std::string_view what, std::span<const LogField> fields) {
  std::string message = "request " + text_of(fields.front()) + " " + std::string(what) + ":";
  for (const LogField& field : fields.subspan(1)) message += fmt::format(" {}={}", field.key, text_of(field));
  log_event(LogLevel::kInfo, event, message, fields);
}

int64_t count(size_t size) { return static_cast<int64_t>(size); }

}  // namespace

void log_request(const Submission& submission, const std::string& id, const EngineRequest& first) {
  const SamplingParams& sampling = first.sampling;
  int64_t prompt_tokens = 0;
  for (const auto& prompt : submission.prompts) prompt_tokens += count(prompt.size());
  const std::vector<LogField> fields = {
      {"id", id},
      {"request_id", submission.origin.request_id},
      {"model", submission.model},
      {"tenant", submission.origin.tenant},
      {"prompts", count(submission.prompts.size())},
      {"prompt_tokens", prompt_tokens},
      {"n", submission.fields.n},
      {"stream", submission.fields.stream},
      {"max_tokens", first.stop.max_tokens},
      {"min_tokens", first.stop.min_tokens},
      {"temperature", static_cast<double>(sampling.temperature)},
      {"top_p", static_cast<double>(sampling.top_p)},
      {"top_k", sampling.top_k},
      {"min_p", static_cast<double>(sampling.min_p)},
      {"presence_penalty", static_cast<double>(sampling.presence_penalty)},
      {"frequency_penalty", static_cast<double>(sampling.frequency_penalty)},
      {"repetition_penalty", static_cast<double>(sampling.repetition_penalty)},
      {"seed", static_cast<int64_t>(sampling.seed)},
      {"logprobs", sampling.logprobs},
      {"priority", first.priority},
      {"ignore_eos", first.stop.ignore_eos},
      {"stop", count(first.stop.stop.size())},
      {"stop_token_ids", count(submission.fields.stop_token_ids.size())},
      {"bad_words", count(submission.fields.bad_words.size())},
      {"allowed_token_ids", count(submission.fields.allowed_token_ids.size())},
      {"logit_bias", count(sampling.logit_bias.size())},
  };
  log_fields("request", "received", fields);
}

void log_request_end(const std::string& id, std::string_view reason, const openai::Usage& usage,
                     double seconds) {
  const std::vector<LogField> fields = {{"id", id},
                                        {"finish_reason", reason},
                                        {"prompt_tokens", usage.prompt_tokens},
                                        {"cached_tokens", usage.cached_tokens},
                                        {"output_tokens", usage.completion_tokens},
                                        {"seconds", seconds}};
  log_fields("request_end", "finished", fields);
}

}  // namespace hadal
