#include <array>

#include "text/answer/tool_parser.h"

namespace hadal {
namespace {

constexpr std::array kFormats = {
    ToolFormat{"deepseek_v3", "<｜tool▁calls▁begin｜>", "V3, R1: type, name and a fenced block of JSON",
               make_deepseek_v3_parser},
    ToolFormat{"deepseek_v31", "<｜tool▁calls▁begin｜>", "V3.1: name and JSON", make_deepseek_v31_parser},
    ToolFormat{"deepseek_v32", "<｜DSML｜function_calls>", "V3.2: DSML", make_deepseek_v32_parser},
    ToolFormat{"deepseek_v4", "<｜DSML｜tool_calls>", "V4: DSML", make_deepseek_v4_parser},
};

}  // namespace

std::span<const ToolFormat> tool_formats() { return kFormats; }

const ToolFormat* find_tool_format(std::string_view name) {
  for (const ToolFormat& format : kFormats) {
    if (name == format.name) return &format;
  }
  return nullptr;
}

const ToolFormat* tool_format_of_template(std::string_view source) {
  const auto has = [source](std::string_view text) { return source.find(text) != std::string_view::npos; };
  if (has("<｜DSML｜function_calls>")) return find_tool_format("deepseek_v32");
  if (has("<｜DSML｜tool_calls>")) return find_tool_format("deepseek_v4");
  if (!has("<｜tool▁call▁begin｜>")) return nullptr;
  return find_tool_format(has("```json") ? "deepseek_v3" : "deepseek_v31");
}

}  // namespace hadal
