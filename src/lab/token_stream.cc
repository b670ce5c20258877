#include "lab/token_stream.h"

#include <nlohmann/json.hpp>

namespace hadal {
namespace {

using Json = nlohmann::json;

const Json* find(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

void read_count(const Json& object, const char* name, int64_t* out) {
  const Json* value = find(object, name);
  if (value != nullptr && value->is_number_integer()) *out = value->get<int64_t>();
}

bool has_text(const Json& object, const char* name) {
  const Json* value = find(object, name);
  return value != nullptr && value->is_string() && !value->get_ref<const std::string&>().empty();
}

/// Did this choice bring text? A chat's first chunk has a role and an empty content, which is no token.
bool brings_text(const Json& choice) {
  if (has_text(choice, "text")) return true;
  const Json* delta = find(choice, "delta");
  if (delta == nullptr) return false;
  for (const char* name : {"content", "reasoning", "reasoning_content"}) {
    if (has_text(*delta, name)) return true;
  }
  return find(*delta, "tool_calls") != nullptr;
}

std::string message_of_error(const Json& error) {
  const Json* message = find(error, "message");
  return message != nullptr && message->is_string() ? message->get<std::string>() : error.dump();
}

}  // namespace

bool TokenStream::event(std::string_view data, double now_s) {
  if (data == "[DONE]") {
    finished_ = true;
    return false;
  }
  const Json chunk = Json::parse(data, nullptr, false);
  if (!chunk.is_object()) {
    broken_ = true;
    return false;
  }
  if (const Json* error = find(chunk, "error"); error != nullptr && !error->is_null()) {
    error_text_ = message_of_error(*error);
    if (error_text_.empty()) error_text_ = "no message";
    return false;
  }
  if (const Json* usage = find(chunk, "usage"); usage != nullptr && usage->is_object()) {
    read_count(*usage, "completion_tokens", &completion_tokens_);
    read_count(*usage, "prompt_tokens", &prompt_tokens_);
    if (const Json* details = find(*usage, "prompt_tokens_details")) {
      read_count(*details, "cached_tokens", &cached_tokens_);
    }
  }
  const Json* choices = find(chunk, "choices");
  if (choices == nullptr || !choices->is_array() || choices->empty()) return true;
  const Json& choice = choices->front();
  const Json* ids = find(choice, "token_ids");
  const size_t count = ids != nullptr && ids->is_array() ? ids->size() : 0;
  token_ids_ += static_cast<int64_t>(count);
  if (count > 0 || brings_text(choice)) times_.push_back(now_s);
  if (const Json* reason = find(choice, "finish_reason"); reason != nullptr && reason->is_string())
    finished_ = true;
  return true;
}

std::string TokenStream::error_kind() const {
  if (!error_text_.empty()) return "error event";
  if (broken_) return "malformed event";
  if (!finished_) return "stream cut short";
  if (times_.empty()) return "no tokens";
  return "";
}

CountedBy TokenStream::counted_by() const {
  if (completion_tokens_ >= 0) return CountedBy::kUsage;
  return token_ids_ > 0 ? CountedBy::kTokenIds : CountedBy::kEvents;
}

int64_t TokenStream::output_tokens() const {
  switch (counted_by()) {
    case CountedBy::kUsage:
      return completion_tokens_;
    case CountedBy::kTokenIds:
      return token_ids_;
    case CountedBy::kEvents:
      break;
  }
  return static_cast<int64_t>(times_.size());
}

}  // namespace hadal
