// DeepSeek-V4.
#include <algorithm>
#include <array>
#include <map>

#include "text/encoders/encoder_pieces.h"
#include "text/encoders/prompt_encoder.h"

namespace hadal {
namespace {

using encoders::Json;

constexpr std::string_view kBlock = "tool_calls";
constexpr std::array<std::string_view, 6> kTasks = {"action", "query", "authority", "domain", "title", "read_url"};

constexpr std::string_view kMaximumEffort =
    "Reasoning Effort: Absolute maximum with no shortcuts permitted.\n"
    "You MUST be very thorough in your thinking and comprehensively decompose the problem to resolve the root cause, "
    "rigorously stress-testing your logic against all potential paths, edge cases, and adversarial scenarios.\n"
    "Explicitly write out your entire deliberation process, documenting every intermediate step, considered "
    "alternative, and rejected hypothesis to ensure absolutely no assumption is left unchecked.\n\n";

// What the model is told about its tools. {D} stands for the DSML mark.
constexpr std::string_view kToolsText =
    "## Tools\n\n"
    "You have access to a set of tools to help answer the user's question. You can invoke tools by writing a "
    "\"<{D}tool_calls>\" block like the following:\n\n"
    "<{D}tool_calls>\n"
    "<{D}invoke name=\"$TOOL_NAME\">\n"
    "<{D}parameter name=\"$PARAMETER_NAME\" string=\"true|false\">$PARAMETER_VALUE</{D}parameter>\n"
    "...\n"
    "</{D}invoke>\n"
    "<{D}invoke name=\"$TOOL_NAME2\">\n"
    "...\n"
    "</{D}invoke>\n"
    "</{D}tool_calls>\n\n"
    "String parameters should be specified as is and set `string=\"true\"`. For all other types (numbers, booleans, "
    "arrays, objects), pass the value in JSON format and set `string=\"false\"`.\n\n"
    "If thinking_mode is enabled (triggered by <think>), you MUST output your complete reasoning inside "
    "<think>...</think> BEFORE any tool calls or final response.\n\n"
    "Otherwise, output directly after </think> with tool calls or final response.\n\n"
    "### Available Tool Schemas\n\n";
constexpr std::string_view kToolsEnd =
    "\n\nYou MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.\n";

/// A piece of a user turn.
struct Piece {
  bool is_result = false;
  std::string call_id;
  std::string text;
};

/// A message after tool results and user texts that follow each other were put into one user turn.
struct Turn {
  std::string role;
  const Json* source = nullptr;  // null for a turn made of tool results
  std::vector<Piece> pieces;     // of a user turn
  bool keep_reasoning = true;
  const Json& field(std::string_view name) const {
    static const Json kNull;
    return source ? encoders::member(*source, name) : kNull;
  }
  /// A user turn carries its content, task and no more.
  bool has_tools() const { return role != "user" && encoders::truthy(field("tools")); }
};
using Turns = std::vector<Turn>;

StatusOr<std::string> result_text(const Json& content) {
  if (!content.is_array()) return encoders::text_of(content, "tool", "None");
  std::string out;
  bool first = true;
  for (const Json& part : content) {
    if (!std::exchange(first, false)) out += "\n\n";
    const Json& type = encoders::member(part, "type");
    if (type == "text") {
      ASSIGN_OR_RETURN(const std::string text, encoders::text_of(encoders::member(part, "text"), "tool", ""));
      out += text;
    } else {
      out += fmt::format("[Unsupported {}]", type.is_string() ? type.get<std::string>() : "None");
    }
  }
  return out;
}

Status append_turn(Turns& turns, const Json& message) {
  const std::string role(encoders::role_of(message));
  const bool after_user = !turns.empty() && turns.back().role == "user";
  if (role == "tool") {
    const bool given = message.contains("content");
    ASSIGN_OR_RETURN(std::string text, given ? result_text(message["content"]) : StatusOr<std::string>(""));
    const Json& id = encoders::member(message, "tool_call_id");
    if (!after_user) turns.push_back({.role = "user"});
    turns.back().pieces.push_back({true, id.is_string() ? id.get<std::string>() : "", std::move(text)});
    return OkStatus();
  }
  if (role != "user") {
    turns.push_back({.role = role, .source = &message});
    return OkStatus();
  }
  if (message.contains("content") && message["content"].is_null()) {
    return invalid_argument("the content of a user message must be text");
  }
  ASSIGN_OR_RETURN(std::string text, encoders::text_of(encoders::member(message, "content"), role, ""));
  if (!after_user || !turns.back().field("task").is_null()) turns.push_back({.role = role, .source = &message});
  turns.back().pieces.push_back({.text = std::move(text)});
  return OkStatus();
}

std::string id_of_call(const Json& call) {
  const Json& own = encoders::member(call, "id");
  const Json& id = encoders::truthy(own) ? own : encoders::member(encoders::member(call, "function"), "id");
  return id.is_string() ? id.get<std::string>() : std::string();
}

/// Tool results come in the order of the calls that they answer.
void sort_results(Turns& turns) {
  std::map<std::string, size_t> order;
  for (Turn& turn : turns) {
    const Json& calls = turn.field("tool_calls");
    if (turn.role == "assistant" && calls.is_array() && !calls.empty()) {
      order.clear();
      for (size_t i = 0; i < calls.size(); ++i) {
        if (const std::string id = id_of_call(calls[i]); !id.empty()) order[id] = i;
      }
    }
    if (turn.role != "user" || order.empty()) continue;
    std::vector<Piece> results;
    for (const Piece& piece : turn.pieces) {
      if (piece.is_result) results.push_back(piece);
    }
    const auto rank = [&](const Piece& piece) {
      const auto found = order.find(piece.call_id);
      return found == order.end() ? size_t{0} : found->second;
    };
    std::stable_sort(results.begin(), results.end(), [&](const Piece& a, const Piece& b) { return rank(a) < rank(b); });
    size_t next = 0;
    for (Piece& piece : turn.pieces) {
      if (piece.is_result) piece = results[next++];
    }
  }
}

int last_user_turn(const Turns& turns) {
  for (size_t i = turns.size(); i > 0; --i) {
    if (turns[i - 1].role == "user" || turns[i - 1].role == "developer") return static_cast<int>(i - 1);
  }
  return -1;
}

Turns drop_thinking(const Turns& turns) {
  static constexpr std::array<std::string_view, 5> kKept = {"user", "system", "tool", "latest_reminder",
                                                            "direct_search_results"};
  const int last_user = last_user_turn(turns);
  Turns kept;
  for (size_t i = 0; i < turns.size(); ++i) {
    const Turn& turn = turns[i];
    if (static_cast<int>(i) >= last_user || std::find(kKept.begin(), kKept.end(), turn.role) != kKept.end()) {
      kept.push_back(turn);
    } else if (turn.role == "assistant") {
      kept.push_back(turn);
      kept.back().keep_reasoning = false;
    }
  }
  return kept;
}

class V4Encoder {
 public:
  V4Encoder(Turns turns, const EncodeOptions& options, bool drop)
      : turns_(std::move(turns)), options_(options), drop_(drop), last_user_(last_user_turn(turns_)) {}

  StatusOr<std::string> turn(size_t index) const {
    const bool effort = index == 0 && options_.thinking && options_.reasoning_effort == "max";
    std::string out(effort ? kMaximumEffort : "");
    ASSIGN_OR_RETURN(const std::string text, body(index));
    out += text;
    if (index + 1 < turns_.size() && turns_[index + 1].role != "assistant" &&
        turns_[index + 1].role != "latest_reminder") {
      return out;
    }
    ASSIGN_OR_RETURN(const std::string opening, transition(index));
    return out + opening;
  }

 private:
  StatusOr<std::string> body(size_t index) const {
    const Turn& t = turns_[index];
    if (t.role == "user") return user(t);
    if (t.role == "assistant") return assistant(t, index);
    const Json& content = t.field("content");
    if (t.role == "latest_reminder") {
      ASSIGN_OR_RETURN(const std::string text, encoders::text_of(content, t.role, "None"));
      return "<｜latest_reminder｜>" + text;
    }
    if (t.role != "system" && t.role != "developer") return invalid_argument("unknown role '{}'", t.role);
    ASSIGN_OR_RETURN(std::string out, encoders::text_of(content, t.role, ""));
    if (t.role == "developer") {
      if (out.empty()) return invalid_argument("a developer message has no content");
      out.insert(0, encoders::kUser);
    }
    if (t.has_tools()) {
      ASSIGN_OR_RETURN(const std::string schemas, encoders::tool_schemas(t.field("tools")));
      out += "\n\n" + encoders::substitute(kToolsText, "{D}", encoders::kDsml) + schemas + std::string(kToolsEnd);
    }
    if (const Json& format = t.field("response_format"); encoders::truthy(format)) {
      ASSIGN_OR_RETURN(const std::string text, encoders::response_format_text(format));
      out += "\n\n" + text;
    }
    return out;
  }

  static std::string user(const Turn& t) {
    std::string out(encoders::kUser);
    bool first = true;
    for (const Piece& piece : t.pieces) {
      if (!std::exchange(first, false)) out += "\n\n";
      out += piece.is_result ? "<tool_result>" + piece.text + "</tool_result>" : piece.text;
    }
    return out;
  }

  StatusOr<std::string> assistant(const Turn& t, size_t index) const {
    std::string out;
    const bool answers_task = index > 0 && !turns_[index - 1].field("task").is_null();
    if (options_.thinking && !answers_task && (!drop_ || static_cast<int>(index) > last_user_)) {
      ASSIGN_OR_RETURN(const std::string reasoning, encoders::text_of(t.field("reasoning_content"), t.role, ""));
      if (t.keep_reasoning) out += reasoning;
      out += encoders::kThinkEnd;
    }
    ASSIGN_OR_RETURN(const std::string content, encoders::text_of(t.field("content"), t.role, ""));
    out += content;
    if (const Json& calls = t.field("tool_calls"); encoders::truthy(calls)) {
      ASSIGN_OR_RETURN(const std::string block,
                       encoders::dsml_tool_calls(calls, kBlock, encoders::BadArguments::kKeepAsText));
      out += "\n\n" + block;
    }
    if (!encoders::truthy(t.field("wo_eos"))) out += encoders::kEos;
    return out;
  }

  /// What makes the model speak after this turn: a task's token, or the assistant's tag.
  StatusOr<std::string> transition(size_t index) const {
    const Turn& t = turns_[index];
    const Json& task = t.field("task");
    if (!task.is_null()) {
      const std::string name = task.is_string() ? task.get<std::string>() : task.dump();
      if (std::find(kTasks.begin(), kTasks.end(), name) == kTasks.end()) return invalid_argument("unknown task '{}'", name);
      const std::string token = "<｜" + name + "｜>";
      if (name != "action") return token;
      return std::string(encoders::kAssistant) +
             std::string(options_.thinking ? encoders::kThinkStart : encoders::kThinkEnd) + token;
    }
    if (t.role != "user" && t.role != "developer") return std::string();
    const bool think = options_.thinking && (!drop_ || static_cast<int>(index) >= last_user_);
    return std::string(encoders::kAssistant) + std::string(think ? encoders::kThinkStart : encoders::kThinkEnd);
  }

  Turns turns_;
  const EncodeOptions& options_;
  bool drop_;
  int last_user_;
};

StatusOr<Turns> merge(const Json& messages) {
  Turns turns;
  for (const Json& message : messages) RETURN_IF_ERROR(append_turn(turns, message));
  return turns;
}

}  // namespace

StatusOr<std::string> encode_v4(const Json& messages, const Json& context, const EncodeOptions& options) {
  RETURN_IF_ERROR(encoders::check_messages(messages));
  if (!context.is_null()) RETURN_IF_ERROR(encoders::check_messages(context));
  if (!options.reasoning_effort.empty() && options.reasoning_effort != "max" && options.reasoning_effort != "high") {
    return invalid_argument("reasoning_effort '{}' is neither 'high' nor 'max'", options.reasoning_effort);
  }
  ASSIGN_OR_RETURN(Turns all, merge(context));
  size_t skipped = all.size();
  ASSIGN_OR_RETURN(Turns given, merge(messages));
  all.insert(all.end(), std::make_move_iterator(given.begin()), std::make_move_iterator(given.end()));
  sort_results(all);
  const bool tools = std::any_of(all.begin(), all.end(), [](const Turn& t) { return t.has_tools(); });
  const bool drop = options.drop_thinking && !tools;
  std::string prompt(options.add_default_bos_token && skipped == 0 ? encoders::kBos : "");
  if (options.thinking && drop) {
    skipped = drop_thinking(Turns(all.begin(), all.begin() + static_cast<ptrdiff_t>(skipped))).size();
    all = drop_thinking(all);
  }
  const size_t count = all.size();
  const V4Encoder encoder(std::move(all), options, drop);
  for (size_t i = skipped; i < count; ++i) {
    ASSIGN_OR_RETURN(const std::string text, encoder.turn(i));
    prompt += text;
  }
  return prompt;
}

}  // namespace hadal
