#include "openai/tokenize.h"

#include <nlohmann/json.hpp>

#include "openai/json_reader.h"
#include "openai/json_writer.h"
#include "openai/value_readers.h"

namespace hadal::openai {
namespace {

constexpr size_t kMaxTokens = size_t{4} << 20;

MaybeError read_object(std::string_view json, Json* tree) {
  if (auto error = read_json(json, {}, tree)) return error;
  if (!tree->is_object())
    return invalid_request(fmt::format("The request must be a JSON object, not {}.", kind_of(*tree)));
  return std::nullopt;
}

MaybeError read_model(const Json& tree, std::string* model) {
  const Json* value = member(tree, "model");
  return value == nullptr ? std::nullopt : read_string(*value, "model", model);
}

}  // namespace

Result<TokenizeRequest> parse_tokenize(std::string_view json, const RequestLimits& limits) {
  Json tree;
  TokenizeRequest request;
  if (auto error = read_object(json, &tree)) return *error;
  if (auto error = read_model(tree, &request.model)) return *error;
  if (const Json* flag = member(tree, "return_token_strs")) {
    if (auto error = read_bool(*flag, "return_token_strs", &request.return_token_strs)) return *error;
  }
  if (member(tree, "messages") != nullptr) {
    auto chat = parse_chat_completion(json, limits);
    if (!chat.ok()) return chat.error();
    request.chat = std::move(*chat);
    return request;
  }
  const Json* prompt = member(tree, "prompt");
  if (prompt == nullptr) return invalid_request("'prompt' or 'messages' is required.", "prompt");
  if (auto error = read_string(*prompt, "prompt", &request.prompt)) return *error;
  if (const Json* flag = member(tree, "add_special_tokens")) {
    bool add = true;
    if (auto error = read_bool(*flag, "add_special_tokens", &add)) return *error;
    request.fields.add_special_tokens = add;
  }
  return request;
}

Result<DetokenizeRequest> parse_detokenize(std::string_view json, const RequestLimits&) {
  Json tree;
  DetokenizeRequest request;
  if (auto error = read_object(json, &tree)) return *error;
  if (auto error = read_model(tree, &request.model)) return *error;
  const Json* tokens = member(tree, "tokens");
  if (tokens == nullptr) return invalid_request("'tokens' is required.", "tokens");
  if (auto error = read_token_ids(*tokens, "tokens", kMaxTokens, &request.tokens)) return *error;
  return request;
}

std::string tokenize_json(const std::vector<int32_t>& tokens, int64_t max_model_len,
                          const std::optional<std::vector<std::string>>& token_strs) {
  std::string out = "{\"count\":";
  append_int(static_cast<int64_t>(tokens.size()), &out);
  out += ",\"max_model_len\":";
  append_int(max_model_len, &out);
  out += ",\"tokens\":";
  append_ints(tokens, &out);
  out += ",\"token_strs\":";
  if (!token_strs) return out + "null}";
  out += "[";
  for (size_t i = 0; i < token_strs->size(); ++i) {
    if (i > 0) out += ",";
    append_json_string((*token_strs)[i], &out);
  }
  return out + "]}";
}

std::string detokenize_json(std::string_view text) {
  std::string out = "{\"prompt\":";
  append_json_string(text, &out);
  return out + "}";
}

std::string tokenizer_info_json(const TokenizerInfo& info) {
  std::string out = "{";
  const auto append_text = [&out](std::string_view name, const auto& text) {
    append_json_string(name, &out);
    out += ":";
    if (text)
      append_json_string(*text, &out);
    else
      out += "null";
    out += ",";
  };
  append_text("bos_token", info.bos_token);
  append_text("eos_token", info.eos_token);
  append_text("pad_token", info.pad_token);
  append_text("unk_token", info.unk_token);
  append_text("chat_template", info.chat_template);
  out += info.add_bos_token ? "\"add_bos_token\":true," : "\"add_bos_token\":false,";
  out += "\"model_max_length\":";
  append_int(info.model_max_length, &out);
  return out + "}";
}

}  // namespace hadal::openai
