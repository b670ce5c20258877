// hadal tokenize DIR [--decode] [--special]: JSON lines in, JSON lines out.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/text_folder.h"
#include "text/tokenizer.h"

namespace hadal {
namespace {

struct TokenizeOptions {
  std::string model;
  bool decode = false;
  bool special = false;
};

using nlohmann::json;

StatusOr<json> encode_line(const Tokenizer& tokenizer, const json& line, const TokenizeOptions& options) {
  const auto text = line.find("text");
  if (text == line.end() || !text->is_string()) return invalid_argument("\"text\" must be a string");
  return json{{"ids", tokenizer.encode(text->get_ref<const std::string&>(),
                                       options.special ? AddSpecial::kYes : AddSpecial::kNo)}};
}

StatusOr<json> decode_line(const Tokenizer& tokenizer, const json& line, const TokenizeOptions& options) {
  const auto ids = line.find("ids");
  if (ids == line.end() || !ids->is_array()) return invalid_argument("\"ids\" must be a list of token ids");
  std::vector<int32_t> tokens;
  for (const json& id : *ids) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX) {
      return invalid_argument("\"ids\" must be a list of token ids");
    }
    tokens.push_back(id.get<int32_t>());
  }
  const SkipSpecial skip = options.special ? SkipSpecial::kYes : SkipSpecial::kNo;
  return json{{"text", tokenizer.decode(tokens, skip)}};
}

Status tokenize_lines(const Tokenizer& tokenizer, const TokenizeOptions& options) {
  std::string text;
  for (int64_t number = 1; std::getline(std::cin, text); ++number) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    const json line = json::parse(text, nullptr, /*allow_exceptions=*/false);
    StatusOr<json> answer = invalid_argument("not a JSON object");
    if (line.is_object()) {
      answer = options.decode ? decode_line(tokenizer, line, options) : encode_line(tokenizer, line, options);
    }
    if (!answer.ok()) return annotate(answer.status(), fmt::format("line {}", number));
    std::cout << answer->dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
  }
  std::cout.flush();
  return OkStatus();
}

}  // namespace

int run_tokenize(const Arguments& arguments) {
  TokenizeOptions options;
  OptionTable table(
      "hadal tokenize",
      "Reads JSON lines {\"text\": ...} and writes {\"ids\": [...]}, or with --decode the other way round.");
  table.positional("DIR", &options.model,
                   "folder with tokenizer.json (a checkpoint), or a hub id in the local cache");
  table.option("--decode", &options.decode, "read {\"ids\": [...]}, write {\"text\": ...}");
  table.option(
      "--special", &options.special,
      "add the special tokens that the checkpoint's rules say (BOS); with --decode leave special tokens out");
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  std::ios::sync_with_stdio(false);
  const auto folder = text_folder(options.model);
  if (!folder.ok()) return report(folder.status());
  const auto tokenizer = Tokenizer::load(*folder);
  if (!tokenizer.ok()) return report(tokenizer.status());
  return report(tokenize_lines(**tokenizer, options));
}

}  // namespace hadal
