// Calls in DSML, as V3.2 (block name function_calls) and V4 (tool_calls) write them:
//
//   \n\n<｜DSML｜tool_calls>
//   <｜DSML｜invoke name="NAME">
//   <｜DSML｜parameter name="KEY" string="true">text</｜DSML｜parameter>
//   <｜DSML｜parameter name="KEY" string="false">JSON</｜DSML｜parameter>
//   </｜DSML｜invoke>
//   </｜DSML｜tool_calls>
//
// Arguments become a JSON object, as the published parser makes it. Texts stream; other values are held until
// they are whole, since one that is no JSON (a model's slip) is given as a text.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "text/answer/scanned_calls.h"

namespace hadal {
namespace {

constexpr std::string_view kInvoke = "<｜DSML｜invoke";
constexpr std::string_view kInvokeEnd = "</｜DSML｜invoke>";
constexpr std::string_view kParameter = "<｜DSML｜parameter";
constexpr std::string_view kParameterEnd = "</｜DSML｜parameter>";
constexpr std::string_view kNameOpen = " name=\"";
constexpr std::string_view kText = "\" string=\"true\">";
constexpr std::string_view kJson = "\" string=\"false\">";
constexpr std::string_view kNameClose = "\">";
constexpr size_t kMaxTag = 1024;  // a name that is longer is none, and must not be held back

/// The inside of a JSON string; works piece by piece, since bytes of characters are left as they are.
std::string escaped(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (byte < 0x20) {
          out += "\\u00";
          out += kHex[byte >> 4];
          out += kHex[byte & 15];
        } else {
          out += c;
        }
    }
  }
  return out;
}

class DsmlCalls final : public ScannedCalls {
 public:
  explicit DsmlCalls(std::string_view block)
      : open_("<｜DSML｜" + std::string(block) + ">"),
        spaced_open_("\n\n" + open_),
        close_("</｜DSML｜" + std::string(block) + ">") {}

 private:
  enum class State : uint8_t { kContent, kBlock, kCall, kTextValue, kJsonValue };

  void finish(ToolDelta& delta) override {
    if (state_ == State::kTextValue || state_ == State::kJsonValue) {
      const std::string text = scanner_.take_all();
      if (!repeated_) add_arguments(delta, state_ == State::kTextValue ? escaped(text) : text);
    } else {
      delta.content += scanner_.take_all();
    }
  }

  bool step(ToolDelta& delta, bool at_end) override {
    switch (state_) {
      case State::kContent:
        return content(delta);
      case State::kBlock:
        return block(delta, at_end);
      case State::kCall:
        return call(delta, at_end);
      case State::kTextValue:
        return text_value(delta);
      case State::kJsonValue:
        return json_value(delta);
    }
    return false;
  }

  bool content(ToolDelta& delta) {
    if (!content_until({spaced_open_, open_}, delta)) return false;
    state_ = State::kBlock;
    return true;
  }

  /// A tag that may stand here, or an end.
  bool block(ToolDelta& delta, bool at_end) {
    scanner_.skip_blanks();
    if (scanner_.empty()) return false;
    const Match invoke = scanner_.begins_with(kInvoke);
    const Match end = scanner_.begins_with(close_);
    if (end == Match::kYes) {
      scanner_.skip(close_.size());
      state_ = State::kContent;
      return true;
    }
    if (invoke == Match::kYes) return read_invoke(delta, at_end);
    if (!at_end && (invoke == Match::kMaybe || end == Match::kMaybe)) return false;
    return out_of_form(delta);
  }

  bool call(ToolDelta& delta, bool at_end) {
    scanner_.skip_blanks();
    if (scanner_.empty()) return false;
    const Match parameter = scanner_.begins_with(kParameter);
    const Match end = scanner_.begins_with(kInvokeEnd);
    const Match block_end = scanner_.begins_with(close_);
    if (end == Match::kYes || block_end == Match::kYes) {
      if (end == Match::kYes) scanner_.skip(kInvokeEnd.size());
      add_arguments(delta, "}");
      state_ = State::kBlock;
      return true;
    }
    if (parameter == Match::kYes) return begin_parameter(delta, at_end);
    const bool maybe = parameter == Match::kMaybe || end == Match::kMaybe || block_end == Match::kMaybe;
    if (!at_end && maybe) return false;
    delta.content += scanner_.take(1);  // not in form; the call goes on
    return true;
  }

  bool read_invoke(ToolDelta& delta, bool at_end) {
    const auto head = attribute(kInvoke, {kNameClose}, at_end);
    if (head.state == Head::kWait) return false;
    if (head.state == Head::kBroken || head.name.empty()) return out_of_form(delta);
    begin_call(delta, head.name, "{");
    scanner_.skip(head.size);
    state_ = State::kCall;
    names_.clear();
    return true;
  }

  bool begin_parameter(ToolDelta& delta, bool at_end) {
    const auto head = attribute(kParameter, {kText, kJson}, at_end);
    if (head.state == Head::kWait) return false;
    if (head.state == Head::kBroken) {
      delta.content += scanner_.take(1);
      return true;
    }
    scanner_.skip(head.size);
    state_ = head.close == kText ? State::kTextValue : State::kJsonValue;
    repeated_ = std::find(names_.begin(), names_.end(), head.name) != names_.end();
    if (repeated_) return true;  // the first one counts: no key twice in an object
    add_arguments(delta, (names_.empty() ? "\"" : ", \"") + escaped(head.name) +
                             (state_ == State::kTextValue ? "\": \"" : "\": "));
    names_.push_back(head.name);
    return true;
  }

  struct Head {
    enum State : uint8_t { kRead, kWait, kBroken } state = kWait;
    std::string name;
    std::string_view close;
    size_t size = 0;
  };
  /// ` name="NAME` and one of `closes`, behind a tag's beginning.
  Head attribute(std::string_view tag, std::initializer_list<std::string_view> closes, bool at_end) const {
    const std::string_view all = scanner_.rest();
    const std::string_view text = all.substr(tag.size(), kMaxTag);
    const bool more = !at_end && all.size() < tag.size() + kMaxTag;
    const Head::State incomplete = more ? Head::kWait : Head::kBroken;
    if (text.size() < kNameOpen.size())
      return {kNameOpen.starts_with(text) ? incomplete : Head::kBroken, {}, {}, 0};
    if (!text.starts_with(kNameOpen)) return {Head::kBroken, {}, {}, 0};
    size_t end = std::string_view::npos;
    std::string_view close;
    for (const std::string_view candidate : closes) {
      const size_t place = text.find(candidate, kNameOpen.size());
      if (place < end) {
        end = place;
        close = candidate;
      }
    }
    const size_t line = text.find('\n');
    if (line < end) return {Head::kBroken, {}, {}, 0};
    if (end == std::string_view::npos) return {incomplete, {}, {}, 0};
    return {Head::kRead, std::string(text.substr(kNameOpen.size(), end - kNameOpen.size())), close,
            tag.size() + end + close.size()};
  }

  bool text_value(ToolDelta& delta) {
    const auto found = scanner_.find({kParameterEnd, kInvokeEnd, close_});
    const std::string text = scanner_.take(found.before);
    if (!repeated_) add_arguments(delta, escaped(text));
    if (found.mark.empty()) return false;
    end_value(found.mark);
    if (!repeated_) add_arguments(delta, "\"");
    return true;
  }

  bool json_value(ToolDelta& delta) {
    const auto found = scanner_.find({kParameterEnd, kInvokeEnd, close_});
    if (found.mark.empty()) return false;
    const std::string text = scanner_.take(found.before);
    end_value(found.mark);
    if (repeated_) return true;
    add_arguments(delta, nlohmann::json::accept(text) ? text : "\"" + escaped(text) + "\"");
    return true;
  }

  /// A value that lacks its own end ends with its call, or with the block.
  void end_value(std::string_view mark) {
    if (mark == kParameterEnd) scanner_.skip(kParameterEnd.size());
    state_ = State::kCall;
  }

  bool out_of_form(ToolDelta& delta) {
    delta.content += scanner_.take(1);
    state_ = State::kContent;
    return true;
  }

  const std::string open_, spaced_open_, close_;
  State state_ = State::kContent;
  std::vector<std::string> names_;  // of the call's parameters so far
  bool repeated_ = false;           // the value that is read belongs to a name that was there
};

}  // namespace

std::unique_ptr<ToolCallParser> make_deepseek_v32_parser() {
  return std::make_unique<DsmlCalls>("function_calls");
}
std::unique_ptr<ToolCallParser> make_deepseek_v4_parser() {
  return std::make_unique<DsmlCalls>("tool_calls");
}

}  // namespace hadal
