#include "openai/response.h"

#include <random>

#include "openai/json_writer.h"

namespace hadal::openai {
namespace {

void append_meta(const ResponseMeta& meta, const char* object, std::string* out) {
  *out += "{\"id\":";
  append_json_string(meta.id, out);
  *out += ",\"object\":\"";
  *out += object;
  *out += "\",\"created\":";
  append_int(meta.created, out);
  *out += ",\"model\":";
  append_json_string(meta.model, out);
  *out += ",\"system_fingerprint\":";
  append_string_or_null(meta.system_fingerprint, out);
}

void append_ids(const char* key, const std::optional<std::vector<int32_t>>& ids, std::string* out) {
  if (!ids) return;
  *out += ",\"";
  *out += key;
  *out += "\":";
  append_ints(*ids, out);
}

void append_message(const ChatChoice& choice, std::string* out) {
  *out += "{\"role\":\"assistant\",\"content\":";
  if (choice.content.empty() && !choice.tool_calls.empty()) {
    *out += "null";
  } else {
    append_json_string(choice.content, out);
  }
  *out += ",\"refusal\":null";
  if (!choice.reasoning.empty()) {
    for (const char* key : {",\"reasoning_content\":", ",\"reasoning\":"}) {
      *out += key;
      append_json_string(choice.reasoning, out);
    }
  }
  if (!choice.tool_calls.empty()) {
    *out += ",\"tool_calls\":";
    append_list(choice.tool_calls.size(), out, [&](size_t i) {
      const ToolCall& call = choice.tool_calls[i];
      *out += "{\"id\":";
      append_json_string(call.id, out);
      *out += ",\"type\":\"function\",\"function\":{\"name\":";
      append_json_string(call.name, out);
      *out += ",\"arguments\":";
      append_json_string(call.arguments, out);
      *out += "}}";
    });
  }
  out->push_back('}');
}

}  // namespace

std::string make_id(std::string_view prefix) {
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return fmt::format("{}{:016x}{:016x}", prefix, generator(), generator());
}

void append_string_or_null(std::string_view text, std::string* out) {
  if (text.empty()) {
    *out += "null";
  } else {
    append_json_string(text, out);
  }
}

void append_stop_reason(const StopReason& reason, std::string* out) {
  if (const auto* id = std::get_if<int32_t>(&reason)) {
    append_int(*id, out);
  } else if (const auto* text = std::get_if<std::string>(&reason)) {
    append_json_string(*text, out);
  } else {
    *out += "null";
  }
}

void append_usage(const Usage& usage, std::string* out) {
  const auto field = [out](const char* text, int64_t value) {
    *out += text;
    append_int(value, out);
  };
  field("{\"prompt_tokens\":", usage.prompt_tokens);
  field(",\"completion_tokens\":", usage.completion_tokens);
  field(",\"total_tokens\":", usage.prompt_tokens + usage.completion_tokens);
  field(",\"prompt_tokens_details\":{\"cached_tokens\":", usage.cached_tokens);
  out->push_back('}');
  if (usage.reasoning_tokens) {
    field(",\"completion_tokens_details\":{\"reasoning_tokens\":", *usage.reasoning_tokens);
    out->push_back('}');
  }
  field(",\"prompt_cache_hit_tokens\":", usage.cached_tokens);
  field(",\"prompt_cache_miss_tokens\":", usage.prompt_tokens - usage.cached_tokens);
  out->push_back('}');
}

std::string chat_completion_json(const ChatCompletion& completion) {
  std::string out;
  append_meta(completion.meta, "chat.completion", &out);
  out += ",\"choices\":";
  append_list(completion.choices.size(), &out, [&](size_t i) {
    const ChatChoice& choice = completion.choices[i];
    out += "{\"index\":";
    append_int(choice.index, &out);
    out += ",\"message\":";
    append_message(choice, &out);
    out += ",\"logprobs\":";
    if (choice.logprobs) {
      append_chat_logprobs(*choice.logprobs, completion.token_names, &out);
    } else {
      out += "null";
    }
    out += ",\"finish_reason\":";
    append_string_or_null(choice.finish_reason, &out);
    out += ",\"stop_reason\":";
    append_stop_reason(choice.stop_reason, &out);
    append_ids("token_ids", choice.token_ids, &out);
    out.push_back('}');
  });
  out += ",\"usage\":";
  append_usage(completion.usage, &out);
  append_ids("prompt_token_ids", completion.prompt_token_ids, &out);
  if (completion.prompt_logprobs) {
    out += ",\"prompt_logprobs\":";
    append_prompt_logprobs(*completion.prompt_logprobs, &out);
  }
  out.push_back('}');
  return out;
}

std::string text_completion_json(const TextCompletion& completion) {
  std::string out;
  append_meta(completion.meta, "text_completion", &out);
  out += ",\"choices\":";
  append_list(completion.choices.size(), &out, [&](size_t i) {
    const TextChoice& choice = completion.choices[i];
    out += "{\"index\":";
    append_int(choice.index, &out);
    out += ",\"text\":";
    append_json_string(choice.text, &out);
    out += ",\"logprobs\":";
    int64_t offset = 0;
    if (choice.logprobs) {
      append_completion_logprobs(*choice.logprobs, completion.token_names, &offset, &out);
    } else {
      out += "null";
    }
    out += ",\"finish_reason\":";
    append_string_or_null(choice.finish_reason, &out);
    out += ",\"stop_reason\":";
    append_stop_reason(choice.stop_reason, &out);
    append_ids("token_ids", choice.token_ids, &out);
    append_ids("prompt_token_ids", choice.prompt_token_ids, &out);
    if (choice.prompt_logprobs) {
      out += ",\"prompt_logprobs\":";
      append_prompt_logprobs(*choice.prompt_logprobs, &out);
    }
    out.push_back('}');
  });
  out += ",\"usage\":";
  append_usage(completion.usage, &out);
  out.push_back('}');
  return out;
}

std::string model_json(const ModelCard& model) {
  std::string out = "{\"id\":";
  append_json_string(model.id, &out);
  out += ",\"object\":\"model\",\"created\":";
  append_int(model.created, &out);
  out += ",\"owned_by\":\"hadal\",\"root\":";
  append_json_string(model.root, &out);
  out += ",\"parent\":null,\"max_model_len\":";
  append_int(model.max_model_len, &out);
  out.push_back('}');
  return out;
}

std::string model_list_json(const std::vector<ModelCard>& models) {
  std::string out = "{\"object\":\"list\",\"data\":";
  append_list(models.size(), &out, [&](size_t i) { out += model_json(models[i]); });
  out.push_back('}');
  return out;
}

std::string version_json(std::string_view version) {
  std::string out = "{\"version\":";
  append_json_string(version, &out);
  out.push_back('}');
  return out;
}

}  // namespace hadal::openai
