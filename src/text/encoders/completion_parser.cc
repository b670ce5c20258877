#include "text/encoders/completion_parser.h"

#include <array>
#include <optional>

#include "text/encoders/encoder_pieces.h"
#include "text/jinja/unicode.h"
#include "text/python_json.h"

namespace hadal {
namespace {

using encoders::kDsml;
using encoders::kEos;
using encoders::kThinkEnd;

struct Parameter {
  std::string name;
  bool is_string = false;
  std::string value;
};

/// "{...}" from parameters: strings become JSON strings, the rest stays as written.
std::string arguments_of(const std::vector<Parameter>& parameters) {
  std::string out = "{";
  for (const Parameter& parameter : parameters) {
    if (out.size() > 1) out += ", ";
    out += python_json_string(parameter.name) + ": ";
    out += parameter.is_string ? python_json_string(parameter.value) : parameter.value;
  }
  return out + "}";
}

class Parser {
 public:
  Parser(std::string_view text, std::string_view block) : text_(text) {
    block_start_ = fmt::format("\n\n<{}{}", kDsml, block);
    block_end_ = fmt::format("</{}{}>", kDsml, block);
    invoke_start_ = fmt::format("<{}invoke", kDsml);
    invoke_end_ = fmt::format("</{}invoke", kDsml);
    parameter_start_ = fmt::format("<{}parameter", kDsml);
    parameter_end_ = fmt::format("/{}parameter", kDsml);
  }

  StatusOr<ParsedCompletion> run(bool thinking) {
    ParsedCompletion out;
    if (thinking) {
      out.reasoning_content = read_until({kThinkEnd, block_start_});
      if (stop_ != kThinkEnd) return invalid_argument("the completion has no </think>");
    }
    out.content = read_until({kEos, block_start_});
    if (stop_ == block_start_) {
      RETURN_IF_ERROR(tool_calls(out.tool_calls));
      if (!read_until({kEos, kEos}).empty()) return invalid_argument("the completion goes on after its tool calls");
    } else if (stop_ != kEos) {
      return invalid_argument("the completion has no end-of-sentence token");
    }
    if (position_ != text_.size()) return invalid_argument("the completion goes on after its end");
    return check_tokens(std::move(out));
  }

 private:
  static StatusOr<ParsedCompletion> check_tokens(ParsedCompletion out) {
    static constexpr std::array<std::string_view, 5> kTokens = {encoders::kBos, kEos, encoders::kThinkStart, kThinkEnd,
                                                                kDsml};
    for (std::string_view token : kTokens) {
      if (out.content.find(token) != std::string::npos || out.reasoning_content.find(token) != std::string::npos) {
        return invalid_argument("the completion has the special token '{}' in its text", token);
      }
    }
    return out;
  }

  /// The text before the first of two stops, which is then behind us and in stop_; the rest where there is none.
  std::string_view read_until(std::array<std::string_view, 2> stops) {
    size_t end = text_.size();
    stop_ = {};
    for (std::string_view stop : stops) {
      const size_t hit = text_.find(stop, position_);
      if (hit < end) {
        end = hit;
        stop_ = stop;
      }
    }
    const std::string_view before = text_.substr(position_, end - position_);
    position_ = end + stop_.size();
    return before;
  }

  Status tool_calls(std::vector<ParsedToolCall>& calls) {
    while (position_ < text_.size()) {
      if (read_until({invoke_start_, block_end_}) != ">\n") return invalid_argument("a tool call block is out of form");
      if (stop_ == block_end_) break;
      if (stop_.empty()) return invalid_argument("a tool call block does not end");
      ASSIGN_OR_RETURN(ParsedToolCall call, invoke());
      calls.push_back(std::move(call));
    }
    return OkStatus();
  }

  StatusOr<ParsedToolCall> invoke() {
    std::string_view head = read_until({parameter_start_, invoke_end_});
    const auto name = name_of(head);
    if (!name) return invalid_argument("a tool call has no name in form: '{}'", head);
    std::vector<Parameter> parameters;
    while (stop_ == parameter_start_) {
      const std::string_view body = read_until({parameter_end_, parameter_end_});
      auto parameter = parameter_of(body);
      if (!parameter) return invalid_argument("a parameter is out of form: '{}'", body);
      for (const Parameter& other : parameters) {
        if (other.name == parameter->name) return invalid_argument("parameter '{}' comes twice", other.name);
      }
      parameters.push_back(*std::move(parameter));
      if (read_until({parameter_start_, invoke_end_}) != ">\n") return invalid_argument("a parameter is out of form");
    }
    return ParsedToolCall{std::string(*name), arguments_of(parameters)};
  }

  /// ` name="...">` and a newline, or two.
  static std::optional<std::string_view> name_of(std::string_view head) {
    constexpr std::string_view kOpen = "name=\"";
    constexpr std::string_view kClose = "\">\n";
    head = jinja::strip(head, jinja::Side::kLeft);
    if (!head.starts_with(kOpen)) return std::nullopt;
    head.remove_prefix(kOpen.size());
    if (head.ends_with("\n\n")) head.remove_suffix(1);
    if (!head.ends_with(kClose)) return std::nullopt;
    return head.substr(0, head.size() - kClose.size());
  }

  /// ` name="..." string="true|false">value<`
  static std::optional<Parameter> parameter_of(std::string_view body) {
    constexpr std::string_view kOpen = " name=\"";
    if (!body.starts_with(kOpen)) return std::nullopt;
    body.remove_prefix(kOpen.size());
    if (body.ends_with("<\n")) body.remove_suffix(1);
    if (!body.ends_with('<')) return std::nullopt;
    body.remove_suffix(1);
    constexpr std::string_view kTrue = "\" string=\"true\">";
    constexpr std::string_view kFalse = "\" string=\"false\">";
    const size_t yes = body.find(kTrue);
    const size_t no = body.find(kFalse);
    const size_t at = std::min(yes, no);
    if (at == std::string_view::npos) return std::nullopt;
    const size_t value = at + (yes < no ? kTrue : kFalse).size();
    return Parameter{std::string(body.substr(0, at)), yes < no, std::string(body.substr(value))};
  }

  std::string_view text_;
  size_t position_ = 0;
  std::string_view stop_;  // what the last read_until stopped at
  std::string block_start_, block_end_, invoke_start_, invoke_end_, parameter_start_, parameter_end_;
};

}  // namespace

StatusOr<ParsedCompletion> parse_completion_v32(std::string_view text, bool thinking) {
  return Parser(text, "function_calls").run(thinking);
}

StatusOr<ParsedCompletion> parse_completion_v4(std::string_view text, bool thinking) {
  return Parser(text, "tool_calls").run(thinking);
}

}  // namespace hadal
