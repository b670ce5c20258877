// DeepSeek-V3.2.
#include "text/encoders/encoder_pieces.h"
#include "text/encoders/prompt_encoder.h"

namespace hadal {
namespace {

using encoders::Json;
using Messages = std::vector<const Json*>;

constexpr std::string_view kBlock = "function_calls";

// What the model is told about its tools. {D} stands for the DSML mark.
constexpr std::string_view kToolsText =
    "## Tools\n\n"
    "You have access to a set of tools you can use to answer the user's question.\n"
    "You can invoke functions by writing a \"<{D}function_calls>\" block like the following as part of your reply to "
    "the user:\n"
    "<{D}function_calls>\n"
    "<{D}invoke name=\"$FUNCTION_NAME\">\n"
    "<{D}parameter name=\"$PARAMETER_NAME\" string=\"true|false\">$PARAMETER_VALUE</{D}parameter>\n"
    "...\n"
    "</{D}invoke>\n"
    "<{D}invoke name=\"$FUNCTION_NAME2\">\n"
    "...\n"
    "</{D}invoke>\n"
    "</{D}function_calls>\n\n"
    "String and scalar parameters should be specified as is without any escaping or quotes, while lists and objects "
    "should use JSON format. The \"string\" attribute should be set to \"true\" for string type parameters and "
    "\"false\" for other types (numbers, booleans, arrays, objects).\n\n"
    "If the thinking_mode is enabled, then after function results you should strongly consider outputting a thinking "
    "block. Here is an example:\n\n"
    "<{D}function_calls>\n"
    "...\n"
    "</{D}function_calls>\n\n"
    "<function_results>\n"
    "...\n"
    "</function_results>\n\n"
    "<think>...thinking about results</think>\n\n"
    "Here are the functions available in JSONSchema format:\n"
    "<functions>\n";

class V32Encoder {
 public:
  V32Encoder(Messages messages, const EncodeOptions& options)
      : messages_(std::move(messages)), options_(options), last_user_(encoders::last_user_index(messages_)) {}

  StatusOr<std::string> message(size_t index) const {
    if (index >= messages_.size()) {
      return invalid_argument("dropping earlier reasoning dropped a developer message, so message {} is missing", index);
    }
    const Json& m = *messages_[index];
    const std::string_view role = encoders::role_of(m);
    if (role == "system") return system(m);
    if (role == "developer") return developer(m, index);
    if (role == "user") {
      ASSIGN_OR_RETURN(const std::string content, encoders::text_of(encoders::member(m, "content"), role, "None"));
      return user_turn(content, index);
    }
    if (role == "tool") return tool(m, index);
    if (role == "assistant") return assistant(m, index);
    return invalid_argument("unknown role '{}'", role);
  }

 private:
  std::string_view think_tag(bool open) const { return open && options_.thinking ? encoders::kThinkStart : encoders::kThinkEnd; }

  /// Tools and response format, each behind an empty line.
  StatusOr<std::string> extras(const Json& m) const {
    std::string out;
    if (const Json& tools = encoders::member(m, "tools"); encoders::truthy(tools)) {
      ASSIGN_OR_RETURN(const std::string schemas, encoders::tool_schemas(tools));
      out += "\n\n" + encoders::substitute(kToolsText, "{D}", encoders::kDsml) + schemas + "\n</functions>\n";
    }
    if (const Json& format = encoders::member(m, "response_format"); encoders::truthy(format)) {
      ASSIGN_OR_RETURN(const std::string text, encoders::response_format_text(format));
      out += "\n\n" + text;
    }
    return out;
  }

  StatusOr<std::string> system(const Json& m) const {
    ASSIGN_OR_RETURN(std::string out, encoders::text_of(encoders::member(m, "content"), "system", ""));
    ASSIGN_OR_RETURN(const std::string more, extras(m));
    return out + more;
  }

  StatusOr<std::string> developer(const Json& m, size_t index) const {
    ASSIGN_OR_RETURN(const std::string content, encoders::text_of(encoders::member(m, "content"), "developer", ""));
    if (content.empty()) return invalid_argument("a developer message has no content");
    ASSIGN_OR_RETURN(const std::string before, extras(m));
    return user_turn(before + "\n\n# The user's message is: " + content, index);
  }

  std::string user_turn(const std::string& content, size_t index) const {
    std::string out(encoders::kUser);
    out += content;
    out += encoders::kAssistant;
    out += think_tag(static_cast<int>(index) == last_user_);
    return out;
  }

  StatusOr<std::string> tool(const Json& m, size_t index) const {
    size_t caller = index;  // the assistant turn that these results answer
    while (caller > 0 && encoders::role_of(*messages_[caller]) == "tool") --caller;
    const Json& calls = encoders::member(*messages_[caller], "tool_calls");
    const size_t order = index - caller;
    const bool answered = encoders::role_of(*messages_[caller]) == "assistant" && calls.is_array() && calls.size() >= order;
    if (!answered) return invalid_argument("message {} is a tool result without a tool call", index);
    ASSIGN_OR_RETURN(const std::string content, encoders::text_of(encoders::member(m, "content"), "tool", "None"));
    std::string out = order == 1 ? "\n\n<function_results>" : "";
    out += "\n<result>" + content + "</result>";
    if (order == calls.size()) {
      out += "\n</function_results>\n\n";
      out += think_tag(static_cast<int>(index) >= last_user_);
    }
    return out;
  }

  StatusOr<std::string> assistant(const Json& m, size_t index) const {
    const Json& calls = encoders::member(m, "tool_calls");
    ASSIGN_OR_RETURN(const std::string reasoning,
                     encoders::text_of(encoders::member(m, "reasoning_content"), "assistant", ""));
    std::string out;
    if (options_.thinking && static_cast<int>(index) > last_user_) {
      if (reasoning.empty() && !encoders::truthy(calls)) {
        return invalid_argument("message {}: an answer after the last user message needs reasoning_content or "
                                "tool_calls when thinking is on", index);
      }
      out += reasoning;
      out += encoders::kThinkEnd;
    }
    ASSIGN_OR_RETURN(const std::string content, encoders::text_of(encoders::member(m, "content"), "assistant", ""));
    out += content;
    if (encoders::truthy(calls)) {
      ASSIGN_OR_RETURN(const std::string block,
                       encoders::dsml_tool_calls(calls, kBlock, encoders::BadArguments::kError));
      out += "\n\n" + block;
    }
    out += encoders::kEos;
    return out;
  }

  Messages messages_;
  const EncodeOptions& options_;
  int last_user_;
};

/// Earlier turns without their reasoning; developer messages before the last user turn go altogether.
Messages drop_thinking(const Messages& messages, std::vector<Json>& stripped) {
  const int last_user = encoders::last_user_index(messages);
  Messages kept;
  stripped.reserve(messages.size());  // pointers into it must stay
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string_view role = encoders::role_of(*messages[i]);
    if (static_cast<int>(i) >= last_user || role == "user" || role == "system" || role == "tool") {
      kept.push_back(messages[i]);
    } else if (role == "assistant") {
      stripped.push_back(*messages[i]);
      stripped.back().erase("reasoning_content");
      kept.push_back(&stripped.back());
    }
  }
  return kept;
}

}  // namespace

StatusOr<std::string> encode_v32(const Json& messages, const Json& context, const EncodeOptions& options) {
  RETURN_IF_ERROR(encoders::check_messages(messages));
  if (!context.is_null()) RETURN_IF_ERROR(encoders::check_messages(context));
  Messages all;
  for (const Json& m : context) all.push_back(&m);
  const size_t skipped = all.size();
  for (const Json& m : messages) all.push_back(&m);
  std::vector<Json> stripped;
  if (options.thinking && options.drop_thinking) all = drop_thinking(all, stripped);
  const V32Encoder encoder(std::move(all), options);
  std::string prompt(options.add_default_bos_token && skipped == 0 ? encoders::kBos : "");
  for (size_t i = 0; i < messages.size(); ++i) {
    ASSIGN_OR_RETURN(const std::string text, encoder.message(skipped + i));
    prompt += text;
  }
  return prompt;
}

}  // namespace hadal
