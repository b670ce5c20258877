// Chat templates as hostile text: whatever compiles is rendered over a small conversation, with small limits.
// deps: hadal_text
// mutator: json
//
// Input: a template; after a zero byte, if there is one, the conversation as JSON. The encoders and the
// completion parsers see the same conversation and text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "text/chat_template.h"
#include "text/encoders/completion_parser.h"
#include "text/jinja/template.h"
#include "text/jinja/unicode.h"
#include "text/reasoning_parser.h"

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kConversation = R"({"messages":[{"role":"system","content":"Be brief."},
  {"role":"user","content":"Hi <b> & \"you\""},
  {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]},
  {"role":"tool","content":"21","tool_call_id":"c"},{"role":"user","content":"naïve ☔"}],
  "tools":[{"type":"function","function":{"name":"f","parameters":{"x":[1.5,null,true]}}}],"documents":null,
  "add_generation_prompt":true,"bos_token":"<s>","eos_token":"</s>","n":7,"neg":-7,"zero":0,"x":2.5,"big":12345678901234567890,
  "tiny":1e-7,"huge":1e22,"t":true,"no":null,"s":"Hello World","uni":"αβγ ΣΑΣ ñ","empty":"","blank":" \t\n pad \n",
  "lines":"one\ntwo\n\nthree","words":"a,b,,c","nums":[3,1,2,3],"mixed":[1,"a",null,2.5,true],"none_list":[],
  "strs":["b","A","c","a"],"d":{"b":1,"a":2,"C":3},"nested":{"k":{"l":[10,20,{"m":"deep"}]}},
  "items":{"items":"shadow","get":1},"people":[{"name":"Bo","age":30,"tags":["x"]},{"name":"al","age":25,"tags":[]},
  {"name":"Cy","age":30}]})";

void render_template(std::string_view source, const Json& variables) {
  auto compiled = hadal::jinja::Template::compile(source);
  if (!compiled.ok()) return;
  const hadal::jinja::Limits limits{
      .steps = 30'000, .memory_bytes = 1 << 22, .output_bytes = 1 << 20, .depth = 250};
  const auto first = (*compiled)->render(variables, "2025-01-05T08:09:10", limits);
  const auto second = (*compiled)->render(variables, "2025-01-05T08:09:10", limits);
  if (first.ok() != second.ok() || (first.ok() && *first != *second))
    std::abort();  // a render leaves no trace
  if (first.ok() && first->size() > limits.output_bytes) std::abort();
  // template and variables are whole characters, so what comes of them is too
  if (first.ok() && !hadal::jinja::is_valid_utf8(*first)) std::abort();
}

void encode(const Json& conversation) {
  hadal::ChatRequest request;
  if (conversation.contains("messages")) request.messages = conversation["messages"];
  if (conversation.contains("tools")) request.tools = conversation["tools"];
  if (conversation.contains("kwargs")) request.kwargs = conversation["kwargs"];
  for (const auto kind : {hadal::EncoderKind::kV32, hadal::EncoderKind::kV4}) {
    (void)hadal::ChatTemplate::from_encoder(kind)->render(request);
  }
}

std::string split_by(std::string_view text, size_t step) {
  hadal::ReasoningParser parser(hadal::ReasoningKind::kDeepSeekR1, false);
  std::string reasoning, content;
  const auto take = [&](const hadal::ReasoningDelta& delta) {
    reasoning += delta.reasoning;
    content += delta.content;
  };
  for (size_t i = 0; i < text.size(); i += step) take(parser.push(text.substr(i, step)));
  take(parser.flush());
  return reasoning + '\0' + content;
}

/// However the text is cut, the two parts are the same.
void split_reasoning(std::string_view text) {
  const std::string whole = split_by(text, text.size() + 1);
  if (split_by(text, 1) != whole || split_by(text, 3) != whole) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = input.find('\0');
  const std::string_view source = input.substr(0, cut);
  Json variables =
      Json::parse(cut == std::string_view::npos ? kConversation : input.substr(cut + 1), nullptr, false);
  if (!variables.is_object()) variables = Json::parse(kConversation);
  render_template(source, variables);
  if (cut != std::string_view::npos) encode(variables);
  (void)hadal::parse_completion_v32(source, true);
  (void)hadal::parse_completion_v4(source, false);
  split_reasoning(source);
  return 0;
}
