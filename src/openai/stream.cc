#include "openai/stream.h"

#include "openai/json_writer.h"

namespace hadal::openai {
namespace {

std::string stream_head(const ResponseMeta& meta, const char* object) {
  std::string head = "data: {\"id\":";
  append_json_string(meta.id, &head);
  head += ",\"object\":\"";
  head += object;
  head += "\",\"created\":";
  append_int(meta.created, &head);
  head += ",\"model\":";
  append_json_string(meta.model, &head);
  head += ",\"choices\":[";
  return head;
}

void append_end(const StreamOptions& options, const Usage* usage, std::string* out) {
  if (usage != nullptr && options.continuous_usage_stats) {
    *out += ",\"usage\":";
    append_usage(*usage, out);
  } else if (options.include_usage) {
    *out += ",\"usage\":null";
  }
  *out += "}\n\n";
}

/// In the chunks that end something, as vLLM does: the others come by the token.
std::string fingerprint_member(const ResponseMeta& meta) {
  std::string member = ",\"system_fingerprint\":";
  append_string_or_null(meta.system_fingerprint, &member);
  return member;
}

void append_final_usage(const std::string& head, const std::string& fingerprint, const Usage& usage, std::string* out) {
  *out += head;
  *out += "]";
  *out += fingerprint;
  *out += ",\"usage\":";
  append_usage(usage, out);
  *out += "}\n\n";
}

void append_finish(std::string_view finish_reason, const StopReason* stop_reason, std::string* out) {
  *out += ",\"finish_reason\":";
  append_string_or_null(finish_reason, out);
  if (!finish_reason.empty()) {
    *out += ",\"stop_reason\":";
    append_stop_reason(stop_reason != nullptr ? *stop_reason : StopReason(), out);
  }
}

void append_token_ids(const char* key, const std::vector<int32_t>* ids, std::string* out) {
  if (ids == nullptr) return;
  *out += key;
  append_ints(*ids, out);
}

void append_tool_calls(const std::vector<ToolCallDelta>& calls, std::string* out) {
  *out += "\"tool_calls\":[";
  for (size_t i = 0; i < calls.size(); ++i) {
    const ToolCallDelta& call = calls[i];
    *out += i > 0 ? ",{\"index\":" : "{\"index\":";
    append_int(call.index, out);
    if (!call.id.empty()) {
      *out += ",\"id\":";
      append_json_string(call.id, out);
      *out += ",\"type\":\"function\"";
    }
    *out += ",\"function\":{";
    if (!call.name.empty()) {
      *out += "\"name\":";
      append_json_string(call.name, out);
      out->push_back(',');
    }
    *out += "\"arguments\":";
    append_json_string(call.arguments, out);
    *out += "}}";
  }
  out->push_back(']');
}

void append_delta_object(const ChatDelta& delta, std::string* out) {
  const char* separator = "";
  *out += "{";
  if (!delta.reasoning.empty()) {
    *out += "\"reasoning_content\":";
    append_json_string(delta.reasoning, out);
    *out += ",\"reasoning\":";
    append_json_string(delta.reasoning, out);
    separator = ",";
  }
  if (!delta.content.empty()) {
    *out += separator;
    *out += "\"content\":";
    append_json_string(delta.content, out);
    separator = ",";
  }
  if (delta.tool_calls != nullptr && !delta.tool_calls->empty()) {
    *out += separator;
    append_tool_calls(*delta.tool_calls, out);
  }
  out->push_back('}');
}

}  // namespace

void append_done(std::string* out) { *out += "data: [DONE]\n\n"; }

void append_error_event(const ApiError& error, std::string* out) {
  *out += "data: ";
  *out += error.body();
  *out += "\n\n";
}

void append_ping(std::string* out) { *out += ": ping\n\n"; }

ChatStreamWriter::ChatStreamWriter(const ResponseMeta& meta, const StreamOptions& options)
    : options_(options), head_(stream_head(meta, "chat.completion.chunk")), fingerprint_(fingerprint_member(meta)) {}

void ChatStreamWriter::role(int32_t choice, std::string* out, const std::vector<int32_t>* prompt_token_ids) const {
  *out += head_;
  *out += "{\"index\":";
  append_int(choice, out);
  *out += ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]";
  append_token_ids(",\"prompt_token_ids\":", prompt_token_ids, out);
  append_end(options_, nullptr, out);
}

void ChatStreamWriter::delta(const ChatDelta& delta, std::string* out) const {
  *out += head_;
  *out += "{\"index\":";
  append_int(delta.choice, out);
  *out += ",\"delta\":";
  append_delta_object(delta, out);
  *out += ",\"logprobs\":";
  if (delta.logprobs != nullptr) {
    append_chat_logprobs(*delta.logprobs, options_.token_names, out);
  } else {
    *out += "null";
  }
  append_finish(delta.finish_reason, delta.stop_reason, out);
  append_token_ids(",\"token_ids\":", delta.token_ids, out);
  *out += "}]";
  if (!delta.finish_reason.empty()) *out += fingerprint_;
  append_end(options_, delta.usage, out);
}

void ChatStreamWriter::usage(const Usage& usage, std::string* out) const { append_final_usage(head_, fingerprint_, usage, out); }

TextStreamWriter::TextStreamWriter(const ResponseMeta& meta, const StreamOptions& options)
    : options_(options), head_(stream_head(meta, "text_completion")), fingerprint_(fingerprint_member(meta)) {}

void TextStreamWriter::delta(const TextDelta& delta, std::string* out) {
  *out += head_;
  *out += "{\"index\":";
  append_int(delta.choice, out);
  *out += ",\"text\":";
  append_json_string(delta.text, out);
  *out += ",\"logprobs\":";
  if (delta.logprobs != nullptr) {
    append_completion_logprobs(*delta.logprobs, options_.token_names, &text_offsets_[delta.choice], out);
  } else {
    *out += "null";
  }
  append_finish(delta.finish_reason, delta.stop_reason, out);
  append_token_ids(",\"token_ids\":", delta.token_ids, out);
  append_token_ids(",\"prompt_token_ids\":", delta.prompt_token_ids, out);
  *out += "}]";
  if (!delta.finish_reason.empty()) *out += fingerprint_;
  append_end(options_, delta.usage, out);
}

void TextStreamWriter::usage(const Usage& usage, std::string* out) const { append_final_usage(head_, fingerprint_, usage, out); }

}  // namespace hadal::openai
