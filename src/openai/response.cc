#include "openai/response.h"

#include <random>

#include "openai/json_writer.h"

namespace hadal::openai {
namespace {

std::string token_name(const LogprobToken& token, TokenNames names) {
  return names == TokenNames::kIds ? "token_id:" + std::to_string(token.id) : to_valid_utf8(token.bytes);
}

void append_bytes(std::string_view bytes, std::string* out) {
  out->push_back('[');
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out->push_back(',');
    append_int(static_cast<unsigned char>(bytes[i]), out);
  }
  out->push_back(']');
}

void append_chat_token(const LogprobToken& token, TokenNames names, std::string* out) {
  *out += "{\"token\":";
  append_json_string(token_name(token, names), out);
  *out += ",\"logprob\":";
  append_logprob(token.logprob, out);
  *out += ",\"bytes\":";
  append_bytes(token.bytes, out);
}

// {"token":logprob,...}: the chosen token first, then the alternatives; a name that two tokens share is kept once.
void append_top_object(const PositionLogprobs& position, TokenNames names, std::string* out) {
  std::vector<std::string> seen;
  out->push_back('{');
  const auto add = [&](const LogprobToken& token) {
    std::string name = token_name(token, names);
    for (const std::string& other : seen) {
      if (other == name) return;
    }
    if (!seen.empty()) out->push_back(',');
    append_json_string(name, out);
    out->push_back(':');
    append_logprob(token.logprob, out);
    seen.push_back(std::move(name));
  };
  add(position.chosen);
  for (const LogprobToken& token : position.top) add(token);
  out->push_back('}');
}

template <typename Append>
void append_list(size_t count, std::string* out, Append append) {
  out->push_back('[');
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) out->push_back(',');
    append(i);
  }
  out->push_back(']');
}

void append_meta(const ResponseMeta& meta, const char* object, std::string* out) {
  *out += "{\"id\":";
  append_json_string(meta.id, out);
  *out += ",\"object\":\"";
  *out += object;
  *out += "\",\"created\":";
  append_int(meta.created, out);
  *out += ",\"model\":";
  append_json_string(meta.model, out);
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

void append_chat_logprobs(const std::vector<PositionLogprobs>& positions, TokenNames names, std::string* out) {
  *out += "{\"content\":";
  append_list(positions.size(), out, [&](size_t i) {
    append_chat_token(positions[i].chosen, names, out);
    *out += ",\"top_logprobs\":";
    append_list(positions[i].top.size(), out, [&](size_t k) {
      append_chat_token(positions[i].top[k], names, out);
      out->push_back('}');
    });
    out->push_back('}');
  });
  out->push_back('}');
}

void append_completion_logprobs(const std::vector<PositionLogprobs>& positions, TokenNames names, int64_t* text_offset,
                                std::string* out) {
  *out += "{\"text_offset\":";
  append_list(positions.size(), out, [&](size_t i) {
    append_int(*text_offset, out);
    *text_offset += count_code_points(token_name(positions[i].chosen, TokenNames::kText));
  });
  *out += ",\"token_logprobs\":";
  append_list(positions.size(), out, [&](size_t i) { append_logprob(positions[i].chosen.logprob, out); });
  *out += ",\"tokens\":";
  append_list(positions.size(), out, [&](size_t i) { append_json_string(token_name(positions[i].chosen, names), out); });
  *out += ",\"top_logprobs\":";
  append_list(positions.size(), out, [&](size_t i) {
    const float logprob = positions[i].chosen.logprob;
    if (logprob != logprob) {
      *out += "null";  // the first token of an echoed prompt follows nothing
    } else {
      append_top_object(positions[i], names, out);
    }
  });
  out->push_back('}');
}

void append_prompt_logprobs(const std::vector<PositionLogprobs>& positions, std::string* out) {
  const auto append_one = [out](const LogprobToken& token, const char* separator) {
    *out += separator;
    *out += "\"";
    append_int(token.id, out);
    *out += "\":{\"logprob\":";
    append_logprob(token.logprob, out);
    *out += ",\"rank\":";
    append_int(token.rank, out);
    *out += ",\"decoded_token\":";
    append_json_string(to_valid_utf8(token.bytes), out);
    *out += "}";
  };
  append_list(positions.size(), out, [&](size_t i) {
    if (i == 0) {
      *out += "null";
      return;
    }
    append_one(positions[i].chosen, "{");
    for (const LogprobToken& other : positions[i].top) {
      if (other.id != positions[i].chosen.id) append_one(other, ",");
    }
    *out += "}";
  });
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
