// hadal render DIR [--chat-template FILE]: a JSON conversation on standard input to the model's prompt, no newline added.
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "base/files.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/text_folder.h"
#include "server/engine_loader.h"

namespace hadal {
namespace {

using nlohmann::ordered_json;

StatusOr<std::string> text_member(const ordered_json& object, const char* key, const std::string& otherwise) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  if (!found->is_string()) return invalid_argument("\"{}\" must be a string", key);
  return found->get<std::string>();
}

StatusOr<ChatRequest> parse_conversation(const std::string& text, const Tokenizer* tokenizer) {
  const ordered_json input = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!input.is_object()) return invalid_argument("standard input must hold one JSON object with \"messages\"");
  ChatRequest request;
  if (!input.contains("messages")) return invalid_argument("\"messages\" is missing");
  request.messages = input["messages"];
  if (input.contains("tools")) request.tools = input["tools"];
  if (input.contains("documents")) request.documents = input["documents"];
  if (input.contains("kwargs") && !input["kwargs"].is_null()) {
    if (!input["kwargs"].is_object()) return invalid_argument("\"kwargs\" must be an object");
    request.kwargs = input["kwargs"];
  }
  if (const auto flag = input.find("add_generation_prompt"); flag != input.end() && !flag->is_null()) {
    if (!flag->is_boolean()) return invalid_argument("\"add_generation_prompt\" must be true or false");
    request.add_generation_prompt = flag->get<bool>();
  }
  const std::string bos = tokenizer != nullptr ? tokenizer->bos_token().value_or("") : "";
  const std::string eos = tokenizer != nullptr ? tokenizer->eos_token().value_or("") : "";
  ASSIGN_OR_RETURN(request.bos_token, text_member(input, "bos_token", bos));
  ASSIGN_OR_RETURN(request.eos_token, text_member(input, "eos_token", eos));
  if (const auto now = input.find("now"); now != input.end() && now->is_string()) request.now = now->get<std::string>();
  return request;
}

StatusOr<std::string> render(const std::string& model, const std::optional<std::string>& template_file) {
  ASSIGN_OR_RETURN(const std::string folder, text_folder(model));
  std::shared_ptr<const Tokenizer> tokenizer;
  if (file_exists(folder + "/tokenizer.json") || file_exists(folder + "/tokenizer_config.json")) {
    ASSIGN_OR_RETURN(tokenizer, Tokenizer::load(folder));
  }
  ASSIGN_OR_RETURN(const auto chat_template, load_chat_template(folder, tokenizer.get(), template_file));
  if (chat_template == nullptr) {
    return not_found("{} has no chat template; give one with --chat-template FILE", folder);
  }
  const std::string text((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  ASSIGN_OR_RETURN(const ChatRequest request, parse_conversation(text, tokenizer.get()));
  return chat_template->render(request);
}

}  // namespace

int run_render(const Arguments& arguments) {
  std::string model;
  std::optional<std::string> template_file;
  OptionTable table("hadal render",
                    "Reads a JSON conversation (messages, tools, add_generation_prompt, kwargs, bos_token, eos_token, now) "
                    "and writes the prompt.");
  table.positional("DIR", &model, "checkpoint folder, or a hub id in the local cache");
  table.option("--chat-template", &template_file, "a Jinja template to use in place of the checkpoint's own");
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  const auto prompt = render(model, template_file);
  if (!prompt.ok()) return report(prompt.status());
  std::cout << *prompt << std::flush;
  return kExitOk;
}

}  // namespace hadal
