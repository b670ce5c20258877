// Completions: the text that a model made, on its way into reasoning, content and tool calls. The first byte
// chooses the format, the second the size of the pieces. The parts must not depend on the cuts, a call must have
// a name, and the arguments of a DSML call that was closed must be JSON.
// deps: hadal_text
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer/answer_parser.h"

namespace {

using namespace hadal;

void require(bool condition) {
  if (!condition) std::abort();
}

struct Parts {
  std::string reasoning, content;
  std::vector<std::pair<std::string, std::string>> calls;
  bool operator==(const Parts&) const = default;
};

void add(const AnswerDelta& delta, Parts& parts) {
  parts.reasoning += delta.reasoning;
  parts.content += delta.content;
  for (const ToolCallPiece& piece : delta.calls) {
    if (static_cast<size_t>(piece.index) == parts.calls.size()) {
      require(!piece.name.empty());
      parts.calls.emplace_back(piece.name, "");
    }
    require(static_cast<size_t>(piece.index) + 1 == parts.calls.size());
    parts.calls.back().second += piece.arguments;
  }
}

Parts parse(const AnswerForm& form, std::string_view text, size_t piece) {
  AnswerParser parser(form);
  Parts parts;
  for (size_t at = 0; at < text.size(); at += piece) add(parser.push(text.substr(at, piece)), parts);
  add(parser.flush(), parts);
  return parts;
}

/// As a JSON string, whatever its bytes.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const bool plain = static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\';
    out += plain ? c : ' ';
  }
  return out + "\"";
}

bool is_utf8(std::string_view text) { return nlohmann::json::accept(quoted(text)); }

bool is_object_without_repeats(const std::string& text) {
  using Json = nlohmann::json;
  size_t keys = 0;
  const Json::parser_callback_t count = [&keys](int depth, Json::parse_event_t event, Json&) {
    keys += event == Json::parse_event_t::key && depth == 1 ? 1 : 0;
    return true;
  };
  const Json tree = Json::parse(text, count, false);
  return tree.is_object() && tree.size() == keys;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto formats = tool_formats();
  const AnswerForm form{.reasoning = (data[0] & 8) != 0 ? ReasoningKind::kDeepSeekV3 : ReasoningKind::kNone,
                        .prompt_opened_thinking = (data[0] & 16) != 0,
                        .tools = &formats[(data[0] & 7) % formats.size()]};
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Parts whole = parse(form, text, text.size() + 1);
  require(whole == parse(form, text, static_cast<size_t>(data[1] % 32) + 1));
  require(whole.reasoning.size() + whole.content.size() <= text.size());
  const bool dsml = std::string_view(form.tools->name) > "deepseek_v31";
  const bool closed = dsml && is_utf8(text);  // all calls but the last were
  for (size_t i = 0; closed && i + 1 < whole.calls.size(); ++i) {
    require(is_object_without_repeats(whole.calls[i].second));
  }
  return 0;
}
