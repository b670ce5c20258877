// Questions asked of the demo model over a socket, and the table of what came back.
#include "lab/skill_eval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"
#include "lab/skill_report.h"
#include "server/api_server.h"

namespace hadal {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr SkillPass kGreedy{SkillSampling::kGreedy, false}, kThinking{SkillSampling::kGreedy, true},
    kSampled{SkillSampling::kDefault, false};

std::vector<SkillQuestion> questions() {
  auto read = parse_skill_set(
      R"({"skill":"sums","language":"en","messages":[{"role":"user","content":"What is 347 + 58?"}],"match":"number","gold":"405","thinking":true,"bar":95}
{"skill":"sums","language":"zh","messages":[{"role":"user","content":"12加30等于多少？"}],"match":"number","gold":"42","bar":95}
{"skill":"sums","language":"en","messages":[{"role":"user","content":"What is 2 + 2?"}],"match":"number","gold":"5","bar":95}
{"skill":"tool","language":"en","messages":[{"role":"user","content":"What is the weather in Paris?"}],"tools":[{"type":"function","function":{"name":"get_weather","description":"Get the weather of a city.","parameters":{"type":"object","properties":{"city":{"type":"string","description":"The city"}},"required":["city"]}}}],"match":"tool-call","gold":[{"name":"get_weather","arguments":{"city":"Paris"}}]}
{"skill":"short","language":"en","messages":[{"role":"user","content":"What is the capital of France?"}],"match":"contains","gold":"Paris","max_tokens":2}
)",
      "questions");
  return read.ok() ? std::move(*read) : std::vector<SkillQuestion>{};
}

std::string completion(const std::string& content, const std::string& finish = "stop") {
  return json{{"choices", json::array({{{"message", {{"role", "assistant"}, {"content", content}}},
                                        {"finish_reason", finish}}})}}
      .dump();
}

TEST(SkillEval, ARequestSaysHowItIsAsked) {
  const SkillQuestion question = questions()[3];
  const auto greedy = json::parse(skill_request(question, kGreedy, "m", 7));
  EXPECT_EQ(greedy["model"], "m");
  EXPECT_EQ(greedy["temperature"], 0);
  EXPECT_EQ(greedy["tools"].size(), 1u);
  EXPECT_EQ(greedy["max_tokens"], 256);
  EXPECT_EQ(greedy["chat_template_kwargs"]["thinking"], false);
  EXPECT_FALSE(greedy.contains("seed"));
  const auto sampled = json::parse(skill_request(question, {SkillSampling::kDefault, true}, "m", 7));
  EXPECT_FALSE(sampled.contains("temperature"));  // the checkpoint's own
  EXPECT_EQ(sampled["seed"], 7);
  EXPECT_EQ(sampled["chat_template_kwargs"]["thinking"], true);
}

TEST(SkillEval, AnAnswerIsWhatComesAfterTheThinking) {
  const SkillQuestion question = questions()[0];
  const auto read = [&](const std::string& body) {
    SkillOutcome outcome;
    read_skill_answer(question, body, &outcome);
    return outcome;
  };
  EXPECT_TRUE(read(completion("347 + 58 = 405")).verdict.right);
  EXPECT_TRUE(read(completion("ones: 15</think>405")).verdict.right);
  EXPECT_FALSE(read(completion("405</think>406")).verdict.right);
  const SkillOutcome cut = read(completion("405", "length"));
  EXPECT_TRUE(cut.ran_on);
  EXPECT_FALSE(cut.verdict.right);  // who does not stop has not answered
  for (const char* bad : {"", "[]", R"({"choices":[]})", R"({"choices":[{"message":null}]})"})
    EXPECT_TRUE(read(bad).failed) << bad;
}

class SkillEvalOfDemo : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_level(LogLevel::kWarning);
    ServeOptions options;
    options.engine.model = HADAL_SOURCE_DIR "/models/demo";
    options.engine.max_num_seqs = 4;
    options.engine.kv_cache_bytes = 32 << 20;
    options.port = 0;
    auto started = ApiServer::start(options);
    ASSERT_TRUE(started.ok()) << message_of(started.status());
    server_ = std::move(*started);
  }
  static void TearDownTestSuite() { server_.reset(); }

  static std::unique_ptr<ApiServer> server_;
};
std::unique_ptr<ApiServer> SkillEvalOfDemo::server_;

TEST_F(SkillEvalOfDemo, RightAndWrongAnswersAreCounted) {
  SkillEvalOptions options;
  options.target.url = server_->address();
  options.target.model = server_->model_names().front();
  options.passes = {kGreedy, kThinking, kSampled};
  options.max_concurrency = 4;
  const std::vector<SkillQuestion> asked = questions();
  ASSERT_EQ(asked.size(), 5u);
  size_t calls = 0, last = 0;
  const auto found = run_skill_eval(asked, options, [&](size_t done, size_t failed, size_t total) {
    ++calls;
    last = done;
    EXPECT_EQ(total, 11u);
    EXPECT_EQ(failed, 0u);
  });
  ASSERT_TRUE(found.ok()) << message_of(found.status());
  EXPECT_EQ(calls, 11u);
  EXPECT_EQ(last, 11u);
  const std::vector<bool> right = {true, true, false, true, false};  // the last is cut after two tokens
  for (size_t i = 0; i < right.size(); ++i)
    EXPECT_EQ((*found)[i].verdict.right, right[i]) << (*found)[i].said;
  EXPECT_TRUE((*found)[5].verdict.right) << (*found)[5].said;  // the one that can think
  EXPECT_EQ((*found)[5].pass, 1u);
  EXPECT_TRUE((*found)[4].ran_on);

  const SkillReport report = skill_report(asked, options.passes, *found);
  ASSERT_EQ(report.rows.size(), 7u);  // sums: en, zh, all; tool and short: en, all
  EXPECT_EQ(report.rows[2].skill + " " + report.rows[2].language, "sums all");
  EXPECT_EQ(report.rows[2].by_pass[0].right, 2);
  EXPECT_EQ(report.rows[2].by_pass[0].asked, 3);
  EXPECT_EQ(report.rows[2].by_pass[1].asked, 1);
  EXPECT_EQ(report.totals[0].ran_on, 1);

  const std::string table = skill_table(report, 1);
  EXPECT_THAT(table, HasSubstr("66.7% 2/3 <"));
  EXPECT_THAT(table, HasSubstr("greedy, thinking"));
  EXPECT_THAT(table, HasSubstr("greedy: 1 of 5 answers did not end by themselves"));
  EXPECT_THAT(table, HasSubstr("What is 2 + 2?"));
  const auto parsed = json::parse(skill_json(report));
  EXPECT_EQ(parsed["rows"][2]["scores"]["greedy"]["right"], 2);
  EXPECT_EQ(parsed["totals"]["greedy"]["asked"], 5);
  EXPECT_EQ(parsed["wrong"][0]["gold"], "5");
}

TEST(SkillEval, FailuresAreOutcomes) {
  SkillEvalOptions options;
  options.target.url = "http://127.0.0.1:1";  // nobody listens
  options.passes = {kGreedy};
  const auto found = run_skill_eval(questions(), options, nullptr);
  ASSERT_TRUE(found.ok());
  for (const SkillOutcome& outcome : *found) EXPECT_TRUE(outcome.failed);
  options.max_concurrency = 0;
  EXPECT_FALSE(run_skill_eval(questions(), options, nullptr).ok());
}

}  // namespace
}  // namespace hadal
