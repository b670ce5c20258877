// From a conversation to the prompt text that the model was trained on.
//
// A checkpoint brings its own Jinja template, which is run as it stands (src/text/jinja); DeepSeek-V3.2 and V4
// bring none, and their published encoders are built in (src/text/encoders). A ChatTemplate is immutable; any
// number of threads may render with one at once.
//
//   ASSIGN_OR_RETURN(auto chat, ChatTemplate::compile(source));
//   ASSIGN_OR_RETURN(std::string prompt, chat->render(request));
//
// The rendered prompt holds its own BOS where the template writes one: tokenize it without adding special tokens.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace hadal {

/// What is rendered. Absent JSON values are null. (The one header of this room that needs JSON as a whole: a
/// conversation is a value that callers build up.)
struct ChatRequest {
  nlohmann::ordered_json messages;   // a list of objects, keys in the order given
  nlohmann::ordered_json tools;      // a list, or null
  nlohmann::ordered_json documents;  // a list, or null
  bool add_generation_prompt = false;
  nlohmann::ordered_json kwargs;     // an object of further variables (chat_template_kwargs), or null
  std::string bos_token;
  std::string eos_token;
  std::optional<std::string> now;    // what strftime_now reads, ISO 8601; the machine's time if absent
};

/// The form that `hadal render` reads: an object with `messages` and, where wanted, tools, documents,
/// add_generation_prompt (false), kwargs, bos_token, eos_token (""), now; other members are ignored.
StatusOr<ChatRequest> chat_request_from_json(const nlohmann::ordered_json& conversation);

/// The prompt encoders that stand in for a template.
enum class EncoderKind { kV32, kV4 };

class ChatTemplate {
 public:
  /// Reads a Jinja template. invalid_argument "chat template, line N: ..." if it does not parse.
  static StatusOr<std::shared_ptr<const ChatTemplate>> compile(std::string source);

  /// The encoder of DeepSeek-V3.2 or V4. Its kwargs are those of the published encode_messages: thinking_mode
  /// ("chat", "thinking"), drop_thinking, context, add_default_bos_token, reasoning_effort. `thinking` or
  /// `enable_thinking`, the switch that templates know, sets thinking_mode where that is not given. Tools ride on
  /// the first system message (one is put in front where there is none).
  static std::shared_ptr<const ChatTemplate> from_encoder(EncoderKind kind);

  virtual ~ChatTemplate() = default;

  /// Errors: failed_precondition, the message exactly the template's own, where it called raise_exception;
  /// invalid_argument for a conversation that the template or encoder cannot take; resource_exhausted where the
  /// template ran over its limits of steps, memory, output or depth.
  virtual StatusOr<std::string> render(const ChatRequest& request) const = 0;

  /// The template as read; empty for an encoder.
  virtual const std::string& source() const = 0;

  /// Whether the template looks at a variable of that name ("thinking", "tools", ...). For an encoder: its kwargs.
  virtual bool mentions(std::string_view variable) const = 0;
};

/// The template of a checkpoint: its own if it has one, else the encoder that `model_type` (config.json) names.
/// not_found where there is neither.
StatusOr<std::shared_ptr<const ChatTemplate>> choose_chat_template(std::optional<std::string> template_source,
                                                                   std::string_view model_type);

}  // namespace hadal
