#include "openai/request.h"

#include <nlohmann/json.hpp>

#include "openai/json_reader.h"
#include "openai/request_fields.h"
#include "openai/value_readers.h"

namespace hadal::openai {
namespace {

constexpr size_t kMaxPromptIds = size_t{4} << 20;

MaybeError read_fields(std::string_view json, Endpoint endpoint, ParseTarget& target) {
  Json tree;
  if (json.find_first_not_of(" \t\r\n") == std::string_view::npos) return invalid_request("The request's body is empty.");
  if (auto error = read_json(json, {}, &tree)) return error;
  if (!tree.is_object()) return invalid_request(fmt::format("The request must be a JSON object, not {}.", kind_of(tree)));
  for (const auto& [name, value] : tree.items()) {
    const FieldRow* row = find_field(name, endpoint);
    if (row == nullptr || row->read == nullptr || value.is_null()) continue;
    if (auto error = row->read(value, name, target)) return error;
  }
  return std::nullopt;
}

MaybeError check_common(ParseTarget& target) {
  CommonRequest& request = target.common;
  if (target.max_completion_tokens) request.max_tokens = target.max_completion_tokens;
  if (request.max_tokens && request.min_tokens > *request.max_tokens) {
    return invalid_request(fmt::format("'min_tokens' ({}) must not be greater than max_tokens ({}).", request.min_tokens,
                                       *request.max_tokens), "min_tokens");
  }
  if (target.stream_options_given && !request.stream) {
    return invalid_request("'stream_options' is only allowed when 'stream' is true.", "stream_options");
  }
  if (request.prompt_logprobs >= 0 && request.stream) {
    return invalid_request("'prompt_logprobs' are not available with 'stream'.", "prompt_logprobs");
  }
  // n > 1 without randomness would be the same answer again and again; vLLM refuses it too.
  if (request.n > 1 && request.temperature && *request.temperature < 1e-5) {
    return invalid_request("'n' must be 1 when temperature is 0 (greedy).", "n");
  }
  return std::nullopt;
}

/// What goes on is one sequence, drawn as the first engine drew it.
MaybeError check_resume(const CommonRequest& request, const CompletionRequest* completion) {
  if (!request.resume) return std::nullopt;
  if (request.n != 1) return invalid_request("'resume' goes on with one choice: 'n' must be 1.", "n");
  if (request.seed && *request.seed != request.resume->seed) {
    return invalid_request("'seed' and 'resume.seed' differ: give one of them.", "resume.seed");
  }
  if (request.max_tokens && request.resume->output_token_ids.size() > static_cast<size_t>(*request.max_tokens)) {
    return invalid_request(fmt::format("'resume.output_token_ids' has {} tokens, more than max_tokens ({}).",
                                       request.resume->output_token_ids.size(), *request.max_tokens),
                           "resume.output_token_ids");
  }
  if (request.prompt_logprobs >= 0) {
    return invalid_request("'prompt_logprobs' cannot be given with 'resume'.", "prompt_logprobs");
  }
  if (completion == nullptr) return std::nullopt;
  if (completion->prompts.size() > 1) return invalid_request("'resume' takes one prompt.", "prompt");
  if (completion->echo) {
    return invalid_request("'echo' cannot be given with 'resume': the prompt was sent by the first answer.", "echo");
  }
  return std::nullopt;
}

MaybeError check_chat(ParseTarget& target) {
  ChatCompletionRequest& request = *target.chat;
  if (!request.messages) return invalid_request("'messages' is required.", "messages");
  if (target.top_logprobs.value_or(0) > 0 && !target.chat_logprobs.value_or(false)) {
    return invalid_request("'top_logprobs' needs 'logprobs' to be true.", "top_logprobs");
  }
  if (target.chat_logprobs.value_or(false)) request.top_logprobs = target.top_logprobs.value_or(0);
  if (target.tool_choice_auto && !request.tools) {
    return invalid_request("'tool_choice' needs 'tools'.", "tool_choice");
  }
  if (request.continue_final_message) {
    if (request.add_generation_prompt) {
      return invalid_request("Only one of 'continue_final_message' and 'add_generation_prompt' may be true.",
                             "continue_final_message");
    }
    if (request.messages->back()["content"].is_null()) {
      return invalid_request("'continue_final_message' needs a final message with content.", "continue_final_message");
    }
  }
  return check_resume(request, nullptr);
}

/// As many as n unless said otherwise.
MaybeError check_best_of(ParseTarget& target) {
  CompletionRequest& request = *target.completion;
  request.best_of = static_cast<int32_t>(target.best_of.value_or(request.n));
  if (request.best_of < request.n) return invalid_request("'best_of' must not be less than 'n'.", "best_of");
  if (request.best_of == request.n) return std::nullopt;
  if (request.stream) return invalid_request("'best_of' over 'n' cannot be streamed.", "best_of");
  if (request.resume) return invalid_request("'resume' goes on with one choice: 'best_of' must be 1.", "best_of");
  if (request.temperature && *request.temperature < 1e-5) {
    return invalid_request("'best_of' must be 1 when temperature is 0 (greedy).", "best_of");
  }
  return std::nullopt;
}

MaybeError check_suffix(const CompletionRequest& request) {
  if (request.suffix.empty()) return std::nullopt;
  for (const Prompt& prompt : request.prompts) {
    if (prompt.is_ids) return invalid_request("'suffix' needs a prompt of text, not of token ids.", "suffix");
  }
  if (request.echo && (request.logprobs >= 0 || request.max_tokens == 0)) {
    return invalid_request("'suffix' cannot be given with 'echo' of log-probabilities.", "suffix");
  }
  return std::nullopt;
}

MaybeError check_completion(ParseTarget& target) {
  CompletionRequest& request = *target.completion;
  if (request.prompts.empty()) return invalid_request("'prompt' is required.", "prompt");
  if (request.max_tokens == 0 && !request.echo) {
    return invalid_request("'max_tokens' must be at least 1 unless 'echo' is true.", "max_tokens");
  }
  if (auto error = check_best_of(target)) return error;
  if (auto error = check_suffix(request)) return error;
  return check_resume(request, &request);
}

}  // namespace

MaybeError read_prompt(const Json& value, std::string_view name, ParseTarget& target) {
  std::vector<Prompt>& prompts = target.completion->prompts;
  if (value.is_string()) {
    prompts.push_back({.text = value.get_ref<const std::string&>()});
    return std::nullopt;
  }
  const char* kWanted = "a string, a list of strings, a list of token ids or a list of lists of token ids";
  if (!value.is_array()) return wrong_type(name, kWanted, value);
  if (value.empty()) return invalid_request("'prompt' must not be an empty list.", std::string(name));
  if (value[0].is_number()) {
    Prompt prompt{.is_ids = true};
    if (auto error = read_token_ids(value, name, kMaxPromptIds, &prompt.ids)) return error;
    prompts.push_back(std::move(prompt));
    return std::nullopt;
  }
  if (value.size() > target.limits.max_prompts) {
    return invalid_request(fmt::format("'prompt' has {} prompts; at most {} are taken.", value.size(),
                                       target.limits.max_prompts), std::string(name));
  }
  const bool ids = value[0].is_array();
  if (!ids && !value[0].is_string()) return wrong_type(name, kWanted, value[0]);
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string place = fmt::format("{}[{}]", name, i);
    Prompt prompt{.is_ids = ids};
    if (auto error = ids ? read_token_ids(value[i], place, kMaxPromptIds, &prompt.ids)
                         : read_string(value[i], place, &prompt.text)) {
      return error;
    }
    if (ids && prompt.ids.empty()) return invalid_request(fmt::format("'{}' must not be empty.", place), place);
    prompts.push_back(std::move(prompt));
  }
  return std::nullopt;
}

Result<ChatCompletionRequest> parse_chat_completion(std::string_view json, const RequestLimits& limits) {
  ChatCompletionRequest request;
  ParseTarget target{.common = request, .chat = &request, .limits = limits};
  try {
    if (auto error = read_fields(json, Endpoint::kChat, target)) return *error;
    if (auto error = check_common(target)) return *error;
    if (auto error = check_chat(target)) return *error;
  } catch (const std::exception& e) {  // the JSON library's own errors; none is expected
    return invalid_request(fmt::format("The request cannot be read: {}", e.what()));
  }
  return request;
}

Result<CompletionRequest> parse_completion(std::string_view json, const RequestLimits& limits) {
  CompletionRequest request;
  ParseTarget target{.common = request, .completion = &request, .limits = limits};
  try {
    if (auto error = read_fields(json, Endpoint::kCompletions, target)) return *error;
    if (auto error = check_common(target)) return *error;
    if (auto error = check_completion(target)) return *error;
  } catch (const std::exception& e) {
    return invalid_request(fmt::format("The request cannot be read: {}", e.what()));
  }
  return request;
}

}  // namespace hadal::openai
