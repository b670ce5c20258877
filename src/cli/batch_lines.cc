#include "cli/batch_lines.h"

#include <functional>

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

/// Calls `take` with each line that is not blank.
void for_each_line(std::string_view text, const std::function<void(std::string_view, int64_t number)>& take) {
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) take(line, number);
  }
}

StatusOr<BatchLine> read_line(std::string_view line) {
  const Json tree = Json::parse(line, nullptr, false);
  if (!tree.is_object()) return invalid_argument("a JSON object is wanted");
  BatchLine out;
  const auto prompt = tree.find("prompt"), messages = tree.find("messages");
  if ((prompt == tree.end()) == (messages == tree.end()))
    return invalid_argument("either prompt or messages is wanted");
  if (prompt != tree.end()) {
    if (!prompt->is_string()) return invalid_argument("prompt must be a text");
    out.prompt = prompt->get<std::string>();
  } else {
    if (!messages->is_array() || messages->empty())
      return invalid_argument("messages must be a list that is not empty");
    out.messages = *messages;
  }
  if (const auto id = tree.find("id"); id != tree.end()) out.id = *id;
  if (const auto most = tree.find("max_tokens"); most != tree.end()) {
    if (!most->is_number_integer() || most->get<int64_t>() < 1 || most->get<int64_t>() > INT32_MAX)
      return invalid_argument("max_tokens must be a whole number of at least 1");
    out.max_tokens = most->get<int32_t>();
  }
  return out;
}

}  // namespace

StatusOr<std::vector<BatchLine>> read_batch(std::string_view text) {
  std::vector<BatchLine> batch;
  Status wrong;
  for_each_line(text, [&](std::string_view line, int64_t number) {
    if (!wrong.ok()) return;
    auto one = read_line(line);
    if (!one.ok()) {
      wrong = annotate(one.status(), fmt::format("line {}", number));
      return;
    }
    one->index = static_cast<int64_t>(batch.size());
    batch.push_back(std::move(*one));
  });
  if (!wrong.ok()) return wrong;
  return batch;
}

std::string answer_line(const BatchAnswer& answer) {
  Json line = Json::object({{"index", answer.index}});
  if (!answer.id.is_null()) line["id"] = answer.id;
  if (!answer.error.empty()) {
    line["error"] = answer.error;
  } else {
    line["text"] = answer.text;
    line["finish_reason"] = answer.finish_reason;
    line["prompt_tokens"] = answer.prompt_tokens;
    line["output_tokens"] = answer.output_tokens;
  }
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string_view whole_lines(std::string_view output) {
  const size_t end = output.rfind('\n');
  return end == std::string_view::npos ? std::string_view() : output.substr(0, end + 1);
}

std::set<int64_t> answered(std::string_view output) {
  std::set<int64_t> indices;
  for_each_line(whole_lines(output), [&](std::string_view line, int64_t) {
    const Json tree = Json::parse(line, nullptr, false);
    const auto index = tree.is_object() ? tree.find("index") : tree.end();
    if (!tree.is_object() || index == tree.end() || !index->is_number_integer() || tree.contains("error"))
      return;
    indices.insert(index->get<int64_t>());
  });
  return indices;
}

}  // namespace hadal
