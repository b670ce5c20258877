#include "server/answer_choice.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "openai/json_reader.h"
#include "server/checkpoint_facts.h"

namespace hadal {
namespace {

ReasoningKind reasoning_of(const LoadedEngine& loaded) {
  if (!loaded.tokenizer || !loaded.chat_template || !loaded.tokenizer->token_to_id("</think>"))
    return ReasoningKind::kNone;
  if (loaded.chat_template->mentions("thinking")) return ReasoningKind::kDeepSeekV3;
  const bool reasons = loaded.chat_template->source().find("think>") != std::string::npos;
  return reasons ? ReasoningKind::kDeepSeekR1 : ReasoningKind::kNone;
}

const ToolFormat* tools_of(const LoadedEngine& loaded) {
  if (!loaded.tokenizer || !loaded.chat_template) return nullptr;
  const std::string& source = loaded.chat_template->source();
  if (!source.empty()) return tool_format_of_template(source);
  return find_tool_format(model_type_of(loaded.folder));  // an encoder's names are its family's
}

std::string names_of_formats() {
  std::string names;
  for (const ToolFormat& format : tool_formats()) names += fmt::format(", {}", format.name);
  return names;
}

std::vector<std::string> keys_of_environment(const char* variable) {
  std::vector<std::string> keys;
  const char* value = std::getenv(variable);
  std::string_view rest = value == nullptr ? "" : value;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    if (comma > 0) keys.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return keys;
}

Status check_key(const std::string& key, const char* option) {
  const bool usable =
      !key.empty() && std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c <= '~'; });
  return usable ? OkStatus()
                : invalid_argument("{}: a key must be printable ASCII without blanks, and not empty", option);
}

}  // namespace

StatusOr<AnswerParsers> choose_parsers(const ServeOptions& options, const LoadedEngine& loaded) {
  AnswerParsers parsers;
  if (options.reasoning_parser == "auto") {
    parsers.reasoning = reasoning_of(loaded);
  } else if (const auto kind = reasoning_kind_from_name(options.reasoning_parser)) {
    parsers.reasoning = *kind;
  } else {
    return invalid_argument(
        "--reasoning-parser {} is not known: auto, none, deepseek_r1, deepseek_v3, deepseek_v31, "
        "deepseek_v32 and "
        "deepseek_v4 are",
        options.reasoning_parser);
  }
  if (options.tool_call_parser == "auto") {
    parsers.tools = tools_of(loaded);
  } else if (options.tool_call_parser != "none" && !options.tool_call_parser.empty()) {
    parsers.tools = find_tool_format(options.tool_call_parser);
    if (parsers.tools == nullptr) {
      return invalid_argument("--tool-call-parser {} is not known: auto, none{} are",
                              options.tool_call_parser, names_of_formats());
    }
  }
  if (!options.enable_auto_tool_choice) parsers.tools = nullptr;
  return parsers;
}

StatusOr<openai::JsonPtr> read_template_kwargs(const std::string& text) {
  if (text.empty()) return openai::JsonPtr();
  auto kwargs = std::make_shared<nlohmann::ordered_json>();
  if (openai::read_json(text, {}, kwargs.get()) || !kwargs->is_object())
    return invalid_argument(
        "--default-chat-template-kwargs must be a JSON object, such as {{\"thinking\": true}}");
  return openai::JsonPtr(std::move(kwargs));
}

StatusOr<AccessControl> read_access(const ServeOptions& options) {
  std::vector<std::string> keys = options.api_keys;
  for (const char* variable : {"HADAL_API_KEY", "VLLM_API_KEY"}) {
    if (keys.empty()) keys = keys_of_environment(variable);
  }
  for (const std::string& key : keys) RETURN_IF_ERROR(check_key(key, "--api-key"));
  std::string admin = options.admin_api_key;
  const char* variable = std::getenv("HADAL_ADMIN_API_KEY");
  if (admin.empty() && variable != nullptr) admin = variable;
  if (!admin.empty()) RETURN_IF_ERROR(check_key(admin, "--admin-api-key"));
  return AccessControl(std::move(keys), std::move(admin));
}

}  // namespace hadal
