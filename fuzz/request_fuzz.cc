// Bodies of chat and text completion requests, of /v1/responses, /v1/messages, /tokenize and /detokenize. What is accepted must be within its ranges; what is refused
// must give an error body that is valid JSON; every text that is echoed must be escaped into valid JSON.
// deps: hadal_openai
// mutator: json
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "openai/converted.h"
#include "openai/json_writer.h"
#include "openai/request.h"
#include "openai/stream.h"
#include "openai/tokenize.h"

namespace {

using namespace hadal::openai;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_common(const CommonRequest& request) {
  require(!request.temperature || (*request.temperature >= 0 && *request.temperature <= 2));
  require(!request.top_p || (*request.top_p > 0 && *request.top_p <= 1));
  require(!request.min_p || (*request.min_p >= 0 && *request.min_p <= 1));
  require(!request.top_k || *request.top_k >= -1);
  require(!request.repetition_penalty || *request.repetition_penalty > 0);
  require(!request.max_tokens || *request.max_tokens >= 0);
  require(request.n >= 1 && request.n <= 128 && request.min_tokens >= 0);
  require(!request.include_usage || request.stream);
  for (const std::string& stop : request.stop) require(!stop.empty());
  for (int32_t id : request.stop_token_ids) require(id >= 0);
  if (request.resume) {
    require(request.n == 1 && request.resume->choice >= 0);
    for (int32_t id : request.resume->output_token_ids) require(id >= 0);
  }
  for (const auto& [id, bias] : request.logit_bias) require(id >= 0 && bias >= -100.0f && bias <= 100.0f);
}

void check_error(const ApiError& error) {
  require(error.status == 400);
  // What the outermost catch says. No check of ours may leave a request to it: some type was not looked at.
  require(error.message.rfind("The request cannot be read", 0) != 0);
  require(nlohmann::json::accept(error.body()));
}

Result<ChatCompletionRequest> as_chat(const Result<ResponsesRequest>& request) {
  if (!request.ok()) return request.error();
  require(request->shown != nullptr && request->shown->is_object());
  return static_cast<const ChatCompletionRequest&>(*request);
}

void write_back(std::string_view bytes) {
  const ChatStreamWriter writer({.id = "x", .created = 1, .model = std::string(bytes.substr(0, 16))},
                                {.include_usage = true});
  std::string out;
  writer.delta({.content = bytes, .reasoning = bytes}, &out);
  require(nlohmann::json::accept(out.substr(6)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto chat = parse_chat_completion(bytes);
  if (chat.ok()) {
    check_common(*chat);
    require(chat->messages && chat->messages->is_array() && !chat->messages->empty());
    for (const auto& message : *chat->messages) {
      require(message.at("role").is_string());
      require(message.at("content").is_string() || message.at("content").is_null());
    }
    require(chat->top_logprobs >= -1 && chat->top_logprobs <= 20);
    chat->messages->dump();
  } else {
    check_error(chat.error());
  }
  const auto completion = parse_completion(bytes);
  if (completion.ok()) {
    check_common(*completion);
    require(!completion->prompts.empty());
    for (const Prompt& prompt : completion->prompts) {
      require(prompt.is_ids ? !prompt.ids.empty() : prompt.ids.empty());
      for (int32_t id : prompt.ids) require(id >= 0);
    }
  } else {
    check_error(completion.error());
  }
  for (const auto& other : {parse_messages(bytes, MessagesUse::kAnswer), as_chat(parse_responses(bytes))}) {
    if (other.ok()) {
      check_common(*other);
      require(other->messages && !other->messages->empty() && other->n == 1);
    } else {
      check_error(other.error());
      require(nlohmann::json::accept(anthropic_error_body(other.error())));
    }
  }
  const auto tokenize = parse_tokenize(bytes);
  if (!tokenize.ok()) check_error(tokenize.error());
  const auto detokenize = parse_detokenize(bytes);
  if (!detokenize.ok()) check_error(detokenize.error());
  if (size < 4096) write_back(bytes);
  return 0;
}
