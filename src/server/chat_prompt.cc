#include "server/chat_prompt.h"

#include <nlohmann/json.hpp>

#include "text/answer/tool_definitions.h"
#include "text/chat_template.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;
using openai::invalid_request;
using openai::MaybeError;
using Template = std::shared_ptr<const ChatTemplate>;

MaybeError check_text(const Service& service) {
  if (service.loaded.tokenizer != nullptr) return std::nullopt;
  return invalid_request(
      "chat needs a tokenizer, and this server runs with --skip-tokenizer-init; send token ids to "
      "/v1/completions",
      "messages");
}

/// The request's own template where it may bring one, else the server's.
openai::Result<Template> choose_template(const Service& service,
                                         const openai::ChatCompletionRequest& request) {
  if (!request.chat_template.empty()) {
    if (!service.trust_request_templates) {
      return invalid_request(
          "A request may bring its own chat template only where the server runs with "
          "--trust-request-chat-template.",
          "chat_template");
    }
    auto compiled = ChatTemplate::compile(request.chat_template);
    if (!compiled.ok()) return invalid_request(std::string(message_of(compiled.status())), "chat_template");
    return Template(std::move(*compiled));
  }
  if (service.loaded.chat_template != nullptr) return service.loaded.chat_template;
  return invalid_request(
      "this checkpoint has no chat template; start the server with --chat-template FILE, or use "
      "/v1/completions",
      "messages");
}

/// Does the template write a call's arguments by `| tojson`? It then wants them as an object.
bool wants_argument_objects(const std::string& source) {
  if (source.find("arguments is string") != std::string::npos ||
      source.find("arguments'] is string") != std::string::npos) {
    return false;  // it takes both
  }
  for (size_t at = source.find("arguments"); at != std::string::npos; at = source.find("arguments", at + 1)) {
    const size_t next = source.find_first_not_of("'\"]) ", at + 9);
    if (next == std::string::npos || source[next] != '|') continue;
    const size_t filter = source.find_first_not_of(' ', next + 1);
    if (filter != std::string::npos && source.compare(filter, 6, "tojson") == 0) return true;
  }
  return false;
}

/// Arguments of earlier calls in the form that the template writes: JSON text or an object.
void fit_arguments(const ChatTemplate& chat_template, Json& messages) {
  const bool objects = wants_argument_objects(chat_template.source());
  for (Json& message : messages) {
    const auto calls = message.find("tool_calls");
    if (calls == message.end() || !calls->is_array()) continue;
    for (Json& call : *calls) {
      Json& arguments = call["function"]["arguments"];
      if (arguments.is_null() || arguments == "") arguments = "{}";  // a call without arguments
      if (objects && arguments.is_string()) {
        Json parsed = Json::parse(arguments.get_ref<const std::string&>(), nullptr, false);
        if (!parsed.is_discarded()) arguments = std::move(parsed);
      } else if (!objects && arguments.is_object()) {
        arguments = arguments.dump();
      }
    }
  }
}

/// Templates older than OpenAI's name for the role would drop the message.
void fit_roles(const ChatTemplate& chat_template, Json& messages) {
  const std::string& source = chat_template.source();  // empty for an encoder, which knows the role
  if (source.empty() || source.find("developer") != std::string::npos) return;
  for (Json& message : messages) {
    if (message["role"] == "developer") message["role"] = "system";
  }
}

/// The tools, by the template, or in words on the system message where the template knows none.
MaybeError add_tools(const Service& service, const ChatTemplate& chat_template,
                     const openai::ChatCompletionRequest& request, ChatRequest& chat) {
  if (request.tools == nullptr || request.tool_choice_none) return std::nullopt;
  if (chat_template.mentions("tools")) {
    chat.tools = *request.tools;
    return std::nullopt;
  }
  const ToolFormat* format = service.tools;
  const auto words = format == nullptr ? StatusOr<std::string>(unimplemented("no format"))
                                       : tool_definitions(*format, *request.tools);
  if (!words.ok()) {
    return invalid_request(
        "This checkpoint's chat template knows no tools; start the server with a --chat-template that does, "
        "or with the "
        "--tool-call-parser of the model.",
        "tools");
  }
  if (chat.messages[0]["role"] != "system") {
    chat.messages.insert(chat.messages.begin(), Json::object({{"role", "system"}, {"content", ""}}));
  }
  Json& content = chat.messages[0]["content"];
  const std::string before = content.is_string() ? content.get<std::string>() : "";
  content = before.empty() ? *words : before + "\n\n" + *words;
  return std::nullopt;
}

/// OpenAI's effort as the variables that a template or encoder knows.
void add_effort(const ChatTemplate& chat_template, const std::string& effort, Json& kwargs) {
  if (effort.empty() || !chat_template.mentions("reasoning_effort") || kwargs.contains("reasoning_effort"))
    return;
  if (!chat_template.source().empty()) {
    kwargs["reasoning_effort"] = effort;
    return;
  }
  const bool off = effort == "none";
  const bool chosen =
      kwargs.contains("thinking") || kwargs.contains("enable_thinking") || kwargs.contains("thinking_mode");
  if (!chosen) kwargs["thinking"] = !off;
  if (!off) kwargs["reasoning_effort"] = effort == "max" || effort == "xhigh" ? "max" : "high";
}

Json template_kwargs(const Service& service, const ChatTemplate& chat_template,
                     const openai::ChatCompletionRequest& request) {
  Json kwargs =
      service.default_template_kwargs == nullptr ? Json::object() : *service.default_template_kwargs;
  if (request.chat_template_kwargs != nullptr) {
    for (const auto& [name, value] : request.chat_template_kwargs->items()) kwargs[name] = value;
  }
  // the two names of one switch
  const auto same = [&kwargs](const char* name, const char* other) {
    if (kwargs.contains(name) && !kwargs.contains(other)) kwargs[other] = kwargs[name];
  };
  add_effort(chat_template, request.reasoning_effort, kwargs);
  if (kwargs.contains("thinking")) {
    same("thinking", "enable_thinking");
  } else {
    same("enable_thinking", "thinking");
  }
  return kwargs;
}

// Stands behind the final message's text while the template runs. Looking for the text itself would find "end"
// in the "<｜end▁of▁sentence｜>" that follows it.
constexpr std::string_view kOpenEnd = "\uE000open end\uE000";

/// Cuts the prompt where kOpenEnd shows that the final message's text ends, so that the model goes on with it.
MaybeError leave_final_message_open(std::string_view text, std::string& prompt) {
  constexpr const char* kField = "continue_final_message";
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos)
    return invalid_request("The final message has no text to go on with.", kField);
  const size_t place = prompt.rfind(kOpenEnd);
  // templates may trim what stands in front
  if (place == std::string::npos || !std::string_view(prompt).substr(0, place).ends_with(text.substr(begin))) {
    return invalid_request(
        "The chat template does not write the final message as it is given, so it cannot be continued.",
        kField);
  }
  prompt.resize(place);
  return std::nullopt;
}

/// Is the end of an unfinished message inside its thinking?
bool ends_in_thinking(std::string_view prompt) {
  const size_t open = prompt.rfind("<think>");
  if (open == std::string_view::npos) return false;
  const std::string_view rest = prompt.substr(open);
  return rest.find("</think>") == std::string_view::npos &&
         rest.find("<｜Assistant｜>") == std::string_view::npos &&
         rest.find("<｜User｜>") == std::string_view::npos;
}

AnswerForm answer_form(const Service& service, const openai::ChatCompletionRequest& request,
                       const std::string& prompt) {
  AnswerForm form;
  form.reasoning = service.reasoning;
  form.prompt_opened_thinking = prompt_opens_thinking(prompt);
  if (request.continue_final_message) {
    form.prompt_opened_thinking = ends_in_thinking(prompt);
    if (!form.prompt_opened_thinking) form.reasoning = ReasoningKind::kNone;
  }
  if (request.tools != nullptr && !request.tool_choice_none) form.tools = service.tools;
  return form;
}

}  // namespace

openai::Result<ChatPrompt> make_chat_prompt(const Service& service,
                                            const openai::ChatCompletionRequest& request) {
  if (auto error = check_text(service)) return *error;
  const auto chosen = choose_template(service, request);
  if (!chosen.ok()) return chosen.error();
  const ChatTemplate& chat_template = **chosen;
  ChatRequest chat;
  chat.messages = *request.messages;
  fit_roles(chat_template, chat.messages);
  fit_arguments(chat_template, chat.messages);
  if (auto error = add_tools(service, chat_template, request, chat)) return *error;
  if (request.documents != nullptr) chat.documents = *request.documents;
  chat.kwargs = template_kwargs(service, chat_template, request);
  chat.add_generation_prompt = request.add_generation_prompt;
  chat.bos_token = service.loaded.tokenizer->bos_token().value_or("");
  chat.eos_token = service.loaded.tokenizer->eos_token().value_or("");
  if (request.continue_final_message)
    chat.messages.back()["content"].get_ref<std::string&>() += kOpenEnd;
  auto text = chat_template.render(chat);
  if (!text.ok()) return invalid_request(std::string(message_of(text.status())), "messages");
  if (request.continue_final_message) {
    const auto& last = request.messages->back()["content"].get_ref<const std::string&>();
    if (auto error = leave_final_message_open(last, *text)) return *error;
  }
  ChatPrompt prompt{std::move(*text), {}};
  prompt.answer = answer_form(service, request, prompt.text);
  return prompt;
}

openai::Result<Submission> prepare_chat(const Service& service,
                                        const openai::ChatCompletionRequest& request) {
  auto prompt = make_chat_prompt(service, request);
  if (!prompt.ok()) return prompt.error();
  Submission submission;
  submission.fields = request;
  submission.logprobs = request.top_logprobs;
  // a template writes its own BOS
  submission.prompts.push_back(encode_prompt(service, request, prompt->text, AddSpecial::kNo));
  submission.answer = prompt->answer;
  submission.include_reasoning = request.include_reasoning;
  submission.one_call = request.parallel_tool_calls.has_value() && !*request.parallel_tool_calls;
  submission.thinking_token_budget = request.thinking_token_budget;
  if (request.prompt_logprobs >= 0) {
    submission.prompt_logprobs = PromptLogprobs::kField;
    submission.prompt_alternatives = request.prompt_logprobs;
  }
  return submission;
}

}  // namespace hadal
