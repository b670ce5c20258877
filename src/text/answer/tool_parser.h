// Finds tool calls in the text of a completion, as it streams in, and gives them back as OpenAI's clients
// expect: a name, and arguments as JSON text in pieces.
//
//   const ToolFormat* format = find_tool_format("deepseek_v31");
//   auto parser = format->make();
//   for (delta : stream) emit(parser->push(delta));
//   emit(parser->flush());
//
// Each format is one row of tool_formats(); a new one is a file with its parser and a row. What comes out,
// joined up, is the same for every way of cutting the completion into pieces. Text that is not in a format's
// form is not lost: it comes out as content. A call begins when its name is settled; a completion that ends
// inside a call leaves its arguments unfinished, which is what the client of a cut answer must expect.
//
// One completion, one parser, one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal {

/// A piece of one call. The first piece of a call has its name; later ones have more of its arguments.
struct ToolCallPiece {
  int32_t index = 0;  // of the call in the completion, from 0
  std::string name;
  std::string arguments;
};

struct ToolDelta {
  std::string content;
  std::vector<ToolCallPiece> calls;
  bool empty() const { return content.empty() && calls.empty(); }
};

class ToolCallParser {
 public:
  virtual ~ToolCallParser() = default;
  /// What this piece of text settles.
  virtual ToolDelta push(std::string_view text) = 0;
  /// The end of the completion: what was held back.
  virtual ToolDelta flush() = 0;
};

struct ToolFormat {
  const char* name;     // vLLM's --tool-call-parser
  const char* opening;  // the text that a completion's calls begin with
  const char* says;     // one line for --help
  std::unique_ptr<ToolCallParser> (*make)();
};

std::span<const ToolFormat> tool_formats();
/// Null where no format has the name.
const ToolFormat* find_tool_format(std::string_view name);
/// The format that a Jinja template writes calls in; null where it writes none that is known here.
const ToolFormat* tool_format_of_template(std::string_view source);

// What the rows make; one file each.
std::unique_ptr<ToolCallParser> make_deepseek_v3_parser();
std::unique_ptr<ToolCallParser> make_deepseek_v31_parser();
std::unique_ptr<ToolCallParser> make_deepseek_v32_parser();
std::unique_ptr<ToolCallParser> make_deepseek_v4_parser();

}  // namespace hadal
