// hadal render DIR [--chat-template FILE]: a JSON conversation on standard input to the model's prompt, no
// newline added.
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

StatusOr<ChatRequest> read_conversation(const Tokenizer* tokenizer) {
  const std::string text((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  ordered_json input = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!input.is_object())
    return invalid_argument("standard input must hold one JSON object with \"messages\"");
  if (tokenizer != nullptr) {  // the checkpoint's, where the conversation does not say
    if (!input.contains("bos_token")) input["bos_token"] = tokenizer->bos_token().value_or("");
    if (!input.contains("eos_token")) input["eos_token"] = tokenizer->eos_token().value_or("");
  }
  return chat_request_from_json(input);
}

StatusOr<std::string> render(const std::string& model, const std::optional<std::string>& template_file) {
  ASSIGN_OR_RETURN(const std::string folder, text_folder(model));
  std::shared_ptr<const Tokenizer> tokenizer;
  if (file_exists(folder + "/tokenizer.json")) {
    ASSIGN_OR_RETURN(tokenizer, Tokenizer::load(folder));
  }
  ASSIGN_OR_RETURN(const auto chat_template, load_chat_template(folder, tokenizer.get(), template_file));
  if (chat_template == nullptr) {
    return not_found("{} has no chat template; give one with --chat-template FILE", folder);
  }
  ASSIGN_OR_RETURN(const ChatRequest request, read_conversation(tokenizer.get()));
  return chat_template->render(request);
}

}  // namespace

int run_render(const Arguments& arguments) {
  std::string model;
  std::optional<std::string> template_file;
  OptionTable table(
      "hadal render",
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
