// Recorded conversations and what they must render to: the conformance data where it is there, the repository's
// own cases (tests/data/jinja) always.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "text/chat_template.h"
#include "text/encoders/completion_parser.h"
#include "text/encoders/prompt_encoder.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

std::string read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The folder of recorded conversations; empty where this machine has none.
fs::path oracle_folder() {
  const char* set = std::getenv("HADAL_ORACLE_DIR");
  fs::path folder = (set ? fs::path(set) : fs::path(HADAL_SOURCE_DIR) / ".." / "shared" / "oracle") / "chat_templates";
  if (fs::exists(folder)) return folder;
  std::cout << "no conformance data at " << folder << " (HADAL_ORACLE_DIR): only the repository's own cases run\n";
  return {};
}

struct Tally {
  int cases = 0;
  int errors = 0;
};

/// Compares one rendering with what its case expects.
void check_case(const std::string& file, const Json& test, const StatusOr<std::string>& prompt, Tally& tally) {
  SCOPED_TRACE(file + ": " + test["name"].get<std::string>());
  ++tally.cases;
  if (test.contains("expected")) {
    ASSERT_TRUE(prompt.ok()) << prompt.status();
    EXPECT_EQ(*prompt, test["expected"].get<std::string>());
    return;
  }
  ++tally.errors;
  ASSERT_FALSE(prompt.ok()) << "rendered: " << *prompt;
  const Json& error = test["expected_error"];
  if (error["kind"] == "raise_exception") {
    EXPECT_EQ(prompt.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(message_of(prompt.status()), error["message"].get<std::string>());
  } else {
    EXPECT_NE(prompt.status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

ChatRequest request_of(const Json& test) {
  auto request = chat_request_from_json(test);
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? *std::move(request) : ChatRequest{};
}

void run_template_folder(const fs::path& folder, Tally& tally) {
  std::set<fs::path> templates;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".jinja") templates.insert(entry.path());
  }
  EXPECT_FALSE(templates.empty());
  for (const fs::path& path : templates) {
    auto chat = ChatTemplate::compile(read_bytes(path));
    ASSERT_TRUE(chat.ok()) << path << ": " << chat.status();
    const Json cases = Json::parse(read_bytes(fs::path(path).replace_extension(".cases.json")));
    for (const Json& test : cases) check_case(path.filename(), test, (*chat)->render(request_of(test)), tally);
  }
}

TEST(ChatTemplateOracle, RecordedTemplatesRenderByteForByte) {
  const fs::path folder = oracle_folder();
  if (folder.empty()) GTEST_SKIP() << "no conformance data here";
  Tally tally;
  run_template_folder(folder, tally);
  std::cout << tally.cases << " recorded conversations, " << tally.errors << " of them errors\n";
  EXPECT_GE(tally.cases, 780);
}

/// Every case is a template of its own: small ones that probe one thing each, recorded from Jinja2.
TEST(ChatTemplateOracle, OwnTemplateCases) {
  Tally tally;
  const fs::path folder = fs::path(HADAL_SOURCE_DIR) / "tests" / "data" / "jinja";
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    const Json file = Json::parse(read_bytes(entry.path()));
    const ChatRequest request = request_of(file["shared"]);
    for (const Json& test : file["cases"]) {
      const auto chat = ChatTemplate::compile(test["template"].get<std::string>());
      const auto prompt = chat.ok() ? (*chat)->render(request) : StatusOr<std::string>(chat.status());
      check_case(entry.path().filename().string() + " " + test["template"].get<std::string>(), test, prompt, tally);
    }
  }
  std::cout << tally.cases << " own cases, " << tally.errors << " of them errors\n";
  EXPECT_GE(tally.cases, 500);
}

void run_encoder_cases(const fs::path& path, std::string_view model_type, Tally& tally) {
  const auto chat = choose_chat_template(std::nullopt, model_type);
  ASSERT_TRUE(chat.ok()) << chat.status();
  for (const Json& test : Json::parse(read_bytes(path))) {
    check_case(path.filename(), test, (*chat)->render(request_of(test)), tally);
  }
}

void check_parsed(const Json& test, const StatusOr<ParsedCompletion>& parsed) {
  SCOPED_TRACE(test["name"].get<std::string>());
  if (!test.contains("expected")) {
    EXPECT_FALSE(parsed.ok());
    return;
  }
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  Json calls = Json::array();
  for (const ParsedToolCall& call : parsed->tool_calls) {
    calls.push_back({{"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  const Json message = {{"role", "assistant"},
                        {"content", parsed->content},
                        {"reasoning_content", parsed->reasoning_content},
                        {"tool_calls", calls}};
  EXPECT_EQ(message, test["expected"]);
}

void run_parse_cases(const fs::path& path, StatusOr<ParsedCompletion> (*parse)(std::string_view, bool), int& count) {
  for (const Json& test : Json::parse(read_bytes(path))) {
    ++count;
    check_parsed(test, parse(test["text"].get<std::string>(), test["thinking_mode"] == "thinking"));
  }
}

TEST(ChatTemplateOracle, EncodersOfV32AndV4) {
  const fs::path folder = oracle_folder();
  if (folder.empty()) GTEST_SKIP() << "no conformance data here";
  Tally tally;
  run_encoder_cases(folder / "deepseek-v32.cases.json", "deepseek_v32", tally);
  run_encoder_cases(folder / "deepseek-v4.cases.json", "deepseek_v4", tally);
  std::cout << tally.cases << " encoder conversations, " << tally.errors << " of them errors\n";
  EXPECT_GE(tally.cases, 383);
}

TEST(ChatTemplateOracle, CompletionParsersOfV32AndV4) {
  const fs::path folder = oracle_folder();
  if (folder.empty()) GTEST_SKIP() << "no conformance data here";
  int count = 0;
  run_parse_cases(folder / "deepseek-v32.parse_cases.json", parse_completion_v32, count);
  run_parse_cases(folder / "deepseek-v4.parse_cases.json", parse_completion_v4, count);
  EXPECT_GE(count, 65);
}

}  // namespace
}  // namespace hadal
