#include "text/answer/tool_definitions.h"

#include <nlohmann/json.hpp>

#include "text/python_json.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

std::string text_member(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// The card of V3.1, word by word.
StatusOr<std::string> v31_definitions(const Json& tools) {
  std::string out = "## Tools\nYou have access to the following tools:\n";
  for (const Json& tool : tools) {
    const auto function = tool.find("function");
    if (function == tool.end() || !function->is_object()) return invalid_argument("a tool has no function");
    const auto parameters = function->find("parameters");
    ASSIGN_OR_RETURN(const std::string schema,
                     python_json(parameters == function->end() ? Json::object() : *parameters));
    out += "\n### " + text_member(*function, "name") +
           "\nDescription: " + text_member(*function, "description") + "\n\nParameters: " + schema + "\n";
  }
  return out +
         "\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
         "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<"
         "｜tool▁call▁end｜>"
         "{{additional_tool_calls}}<｜tool▁calls▁end｜>\n\nWhere:\n\n"
         "- `tool_call_name` must be an exact match to one of the available tools\n"
         "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
         "- For multiple tool calls, chain them directly without separators or spaces\n";
}

/// V3 has no published words; these say the format that its template writes.
StatusOr<std::string> v3_definitions(const Json& tools) {
  std::string out =
      "You can call tools. To call one, answer in exactly this format:\n"
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>FUNCTION_NAME\n```json\n"
      "{\"parameter\": \"value\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>\n"
      "The JSON must be valid and follow the tool's parameters.\n\n## Tools\n";
  for (const Json& tool : tools) {
    const auto function = tool.find("function");
    if (function == tool.end() || !function->is_object()) return invalid_argument("a tool has no function");
    ASSIGN_OR_RETURN(const std::string definition, python_json(*function));
    out += "\n- `" + text_member(*function, "name") + "`:\n```json\n" + definition + "\n```\n";
  }
  return out;
}

}  // namespace

StatusOr<std::string> tool_definitions(const ToolFormat& format, const Json& tools) {
  if (!tools.is_array()) return invalid_argument("tools must be a list");
  const std::string_view name = format.name;
  if (name == "deepseek_v3") return v3_definitions(tools);
  if (name == "deepseek_v31") return v31_definitions(tools);
  return unimplemented("the encoder of {} writes the definitions", name);
}

}  // namespace hadal
