#include "text/tokenizer_config.h"

#include <charconv>

#include "text/tokenizer_file.h"

namespace hadal::tok {
namespace {

StatusOr<std::vector<int32_t>> template_token_ids(const Json& node, const std::string& name,
                                                  const std::function<bool(int64_t)>& known,
                                                  const std::string& where) {
  const Json* specials = find_field(node, "special_tokens");
  const Json* special = specials == nullptr ? nullptr : find_field(*specials, name.c_str());
  if (special == nullptr) return invalid_argument("{}.special_tokens lacks '{}'", where, name);
  ASSIGN_OR_RETURN(const Json* ids, array_field(*special, "ids", where + ".special_tokens"));
  std::vector<int32_t> result;
  for (const Json& id : *ids) {
    if (!id.is_number_integer() || !known(id.get<int64_t>())) {
      return invalid_argument("{}.special_tokens['{}'].ids: {} is no token's id", where, name, id.dump());
    }
    result.push_back(id.get<int32_t>());
  }
  return result;
}

StatusOr<Frame> parse_template(const Json& node, const std::function<bool(int64_t)>& known,
                               const std::string& where) {
  ASSIGN_OR_RETURN(const Json* single, array_field(node, "single", where));
  Frame frame;
  bool text_seen = false;
  for (size_t i = 0; i < single->size(); ++i) {
    const Json& item = (*single)[i];
    const std::string at = fmt::format("{}.single[{}]", where, i);
    if (const Json* special = find_field(item, "SpecialToken"); special != nullptr) {
      ASSIGN_OR_RETURN(const std::string name, string_field(*special, "id", at));
      ASSIGN_OR_RETURN(const auto ids, template_token_ids(node, name, known, where));
      std::vector<int32_t>& side = text_seen ? frame.after : frame.before;
      side.insert(side.end(), ids.begin(), ids.end());
    } else if (const Json* sequence = find_field(item, "Sequence"); sequence != nullptr) {
      ASSIGN_OR_RETURN(const std::string name, string_field(*sequence, "id", at));
      if (name != "A" || text_seen) return unimplemented("{}: only one sequence, 'A', is supported", at);
      text_seen = true;
    } else {
      return invalid_argument("{} must have SpecialToken or Sequence", at);
    }
  }
  if (!text_seen) return invalid_argument("{}.single has no Sequence for the text", where);
  return frame;
}

StatusOr<Frame> parse_processor(const Json& node, const std::function<bool(int64_t)>& known,
                                const std::string& where) {
  RETURN_IF_ERROR(expect_object(node, where));
  ASSIGN_OR_RETURN(const std::string type, string_field(node, "type", where));
  if (type == "ByteLevel") return Frame{};
  if (type == "TemplateProcessing") return parse_template(node, known, where);
  if (type != "Sequence") return unimplemented("{}.type '{}' is not supported", where, type);
  ASSIGN_OR_RETURN(const Json* list, array_field(node, "processors", where));
  Frame frame;
  for (size_t i = 0; i < list->size(); ++i) {
    ASSIGN_OR_RETURN(Frame outer,
                     parse_processor((*list)[i], known, fmt::format("{}.processors[{}]", where, i)));
    outer.before.insert(outer.before.end(), frame.before.begin(), frame.before.end());
    frame.after.insert(frame.after.end(), outer.after.begin(), outer.after.end());
    frame.before = std::move(outer.before);
  }
  return frame;
}

// A token as text or as {"content": text, ...}.
StatusOr<std::optional<std::string>> token_text(const Json& config, const char* key, std::string_view where) {
  const Json* token = find_field(config, key);
  if (token == nullptr) return std::optional<std::string>();
  if (token->is_string()) return std::optional<std::string>(token->get<std::string>());
  const Json* content = find_field(*token, "content");
  if (content == nullptr || !content->is_string()) {
    return invalid_argument("{}: {} must be a text or an object with a text \"content\"", where, key);
  }
  return std::optional<std::string>(content->get<std::string>());
}

Status read_templates(const Json& config, TokenizerConfig& result) {
  constexpr std::string_view kForm =
      "tokenizer_config.json: chat_template must be a text or a list of "
      "{\"name\": text, \"template\": text}";
  const Json* field = find_field(config, "chat_template");
  if (field == nullptr) return OkStatus();
  if (field->is_string()) {
    result.chat_templates["default"] = field->get<std::string>();
    return OkStatus();
  }
  if (!field->is_array()) return invalid_argument("{}", kForm);
  for (const Json& item : *field) {
    const Json* name = find_field(item, "name");
    const Json* source = find_field(item, "template");
    if (name == nullptr || source == nullptr || !name->is_string() || !source->is_string()) {
      return invalid_argument("{}", kForm);
    }
    result.chat_templates[name->get<std::string>()] = source->get<std::string>();
  }
  return OkStatus();
}

Status read_added_tokens(const Json& config, TokenizerConfig& result) {
  constexpr std::string_view kWhere = "tokenizer_config.json: added_tokens_decoder";
  const Json* tokens = find_field(config, "added_tokens_decoder");
  if (tokens == nullptr) return OkStatus();
  RETURN_IF_ERROR(expect_object(*tokens, kWhere));
  for (const auto& [key, node] : tokens->items()) {
    const std::string where = fmt::format("{}['{}']", kWhere, key);
    AddedToken token;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token.id);
    if (error != std::errc() || end != key.data() + key.size() || token.id < 0) {
      return invalid_argument("{} is not under an id", where);
    }
    ASSIGN_OR_RETURN(token.content, string_field(node, "content", where));
    ASSIGN_OR_RETURN(token.single_word, bool_field(node, "single_word", false, where));
    ASSIGN_OR_RETURN(token.lstrip, bool_field(node, "lstrip", false, where));
    ASSIGN_OR_RETURN(token.rstrip, bool_field(node, "rstrip", false, where));
    ASSIGN_OR_RETURN(token.special, bool_field(node, "special", false, where));
    ASSIGN_OR_RETURN(token.normalized, bool_field(node, "normalized", !token.special, where));
    if (!token.content.empty()) result.added_tokens.push_back(std::move(token));
  }
  return OkStatus();
}

}  // namespace

StatusOr<Frame> parse_post_processor(const Json* node, const std::function<bool(int64_t)>& known) {
  if (node == nullptr) return Frame{};
  return parse_processor(*node, known, "post_processor");
}

StatusOr<TokenizerConfig> parse_tokenizer_config(std::string_view text) {
  constexpr std::string_view kName = "tokenizer_config.json";
  TokenizerConfig result;
  if (text.empty()) return result;
  ASSIGN_OR_RETURN(const Json config, read_small_json(text, kName));
  ASSIGN_OR_RETURN(result.bos, token_text(config, "bos_token", kName));
  ASSIGN_OR_RETURN(result.eos, token_text(config, "eos_token", kName));
  ASSIGN_OR_RETURN(result.pad, token_text(config, "pad_token", kName));
  ASSIGN_OR_RETURN(result.unknown, token_text(config, "unk_token", kName));
  for (const auto& [key, flag] :
       {std::pair{"add_bos_token", &result.add_bos}, {"add_eos_token", &result.add_eos}}) {
    if (find_field(config, key) == nullptr) continue;
    ASSIGN_OR_RETURN(*flag, bool_field(config, key, false, kName));
  }
  ASSIGN_OR_RETURN(const std::string kind, string_field(config, "tokenizer_class", "", kName));
  const bool llama = kind == "LlamaTokenizerFast" || kind == "LlamaTokenizer";
  if (llama && !result.add_bos && result.bos) result.add_bos = true;  // the class's own default
  RETURN_IF_ERROR(read_templates(config, result));
  RETURN_IF_ERROR(read_added_tokens(config, result));
  return result;
}

}  // namespace hadal::tok
