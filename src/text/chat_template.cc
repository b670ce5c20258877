#include "text/chat_template.h"

#include <algorithm>
#include <array>
#include <utility>

#include "text/encoders/prompt_encoder.h"
#include "text/jinja/template.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

/// The variables that the request itself sets; kwargs may not set them a second time.
constexpr std::array<std::string_view, 6> kRequestVariables = {
    "messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"};

Status check_request(const ChatRequest& request) {
  if (!request.messages.is_array()) return invalid_argument("messages must be a list");
  if (!request.kwargs.is_null() && !request.kwargs.is_object()) {
    return invalid_argument("chat template kwargs must be an object");
  }
  for (const auto& [name, value] : request.kwargs.items()) {
    if (std::find(kRequestVariables.begin(), kRequestVariables.end(), name) != kRequestVariables.end()) {
      return invalid_argument("chat template kwargs may not set '{}': the request does", name);
    }
  }
  return OkStatus();
}

class JinjaTemplate : public ChatTemplate {
 public:
  JinjaTemplate(std::string source, std::unique_ptr<const jinja::Template> compiled)
      : source_(std::move(source)), compiled_(std::move(compiled)) {}

  StatusOr<std::string> render(const ChatRequest& request) const override {
    RETURN_IF_ERROR(check_request(request));
    Json variables = request.kwargs.is_object() ? request.kwargs : Json::object();
    variables["messages"] = request.messages;
    variables["tools"] = request.tools;
    variables["documents"] = request.documents;
    variables["add_generation_prompt"] = request.add_generation_prompt;
    variables["bos_token"] = request.bos_token;
    variables["eos_token"] = request.eos_token;
    auto prompt = compiled_->render(variables, request.now);
    if (prompt.ok() || prompt.status().code() == absl::StatusCode::kFailedPrecondition) return prompt;
    return annotate(prompt.status(), "chat template");
  }
  const std::string& source() const override { return source_; }
  bool mentions(std::string_view variable) const override { return compiled_->mentions(variable); }

 private:
  std::string source_;
  std::unique_ptr<const jinja::Template> compiled_;
};

class EncoderTemplate : public ChatTemplate {
 public:
  explicit EncoderTemplate(EncoderKind kind) : kind_(kind) {}
  StatusOr<std::string> render(const ChatRequest& request) const override {
    RETURN_IF_ERROR(check_request(request));
    return kind_ == EncoderKind::kV32 ? encode_v32_request(request) : encode_v4_request(request);
  }
  const std::string& source() const override { return source_; }
  bool mentions(std::string_view variable) const override {
    static constexpr std::array<std::string_view, 8> kNames = {
        "messages", "tools", "thinking", "enable_thinking", "thinking_mode", "drop_thinking", "context",
        "add_default_bos_token"};
    return std::find(kNames.begin(), kNames.end(), variable) != kNames.end() ||
           (kind_ == EncoderKind::kV4 && variable == "reasoning_effort");
  }

 private:
  EncoderKind kind_;
  std::string source_;
};

StatusOr<std::string> string_member(const Json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || member->is_null()) return std::string();
  if (!member->is_string()) return invalid_argument("{} must be a string", name);
  return member->get<std::string>();
}

Json member_or_null(const Json& object, const char* name) {
  const auto member = object.find(name);
  return member == object.end() ? Json() : *member;
}

}  // namespace

StatusOr<ChatRequest> chat_request_from_json(const Json& conversation) {
  if (!conversation.is_object()) return invalid_argument("a conversation must be a JSON object with messages");
  ChatRequest request;
  request.messages = member_or_null(conversation, "messages");
  request.tools = member_or_null(conversation, "tools");
  request.documents = member_or_null(conversation, "documents");
  request.kwargs = member_or_null(conversation, "kwargs");
  const Json prompt = member_or_null(conversation, "add_generation_prompt");
  if (!prompt.is_null() && !prompt.is_boolean()) return invalid_argument("add_generation_prompt must be a boolean");
  request.add_generation_prompt = prompt.is_boolean() && prompt.get<bool>();
  ASSIGN_OR_RETURN(request.bos_token, string_member(conversation, "bos_token"));
  ASSIGN_OR_RETURN(request.eos_token, string_member(conversation, "eos_token"));
  ASSIGN_OR_RETURN(std::string now, string_member(conversation, "now"));
  if (!now.empty()) request.now = std::move(now);
  return request;
}

StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::compile(std::string source) {
  auto compiled = jinja::Template::compile(source);
  if (!compiled.ok()) return annotate(compiled.status(), "chat template");
  return std::shared_ptr<const ChatTemplate>(
      std::make_shared<JinjaTemplate>(std::move(source), *std::move(compiled)));
}

std::shared_ptr<const ChatTemplate> ChatTemplate::from_encoder(EncoderKind kind) {
  return std::make_shared<EncoderTemplate>(kind);
}

StatusOr<std::shared_ptr<const ChatTemplate>> choose_chat_template(std::optional<std::string> template_source,
                                                                   std::string_view model_type) {
  if (template_source) return ChatTemplate::compile(*std::move(template_source));
  if (model_type == "deepseek_v32") return ChatTemplate::from_encoder(EncoderKind::kV32);
  if (model_type == "deepseek_v4") return ChatTemplate::from_encoder(EncoderKind::kV4);
  return not_found("the checkpoint has no chat template (tokenizer_config.json, chat_template.jinja), and model type "
                   "'{}' has no built-in one; give one with --chat-template",
                   model_type);
}

}  // namespace hadal
