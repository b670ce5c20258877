#include <gtest/gtest.h>

#include "cli/chat_session.h"
#include "cli/line_editor.h"

namespace hadal {
namespace {

using nlohmann::json;
using Action = ChatSession::Action;

TEST(ChatSession, QuestionsAndAnswersMakeARequest) {
  ChatSession session(
      {.model = "m", .system = "Be short.", .temperature = 0.5, .max_tokens = 9, .thinking = true});
  EXPECT_EQ(session.take_line("  Hello ").action, Action::kAsk);
  session.add_answer("Hi.");
  EXPECT_EQ(session.take_line("//why").action, Action::kAsk);
  const json body = json::parse(session.request());
  ASSERT_EQ(body["messages"].size(), 4u);
  EXPECT_EQ(body["messages"][0]["content"], "Be short.");
  EXPECT_EQ(body["messages"][3]["content"], "/why");
  EXPECT_EQ(body["temperature"], 0.5);
  EXPECT_EQ(body["max_tokens"], 9);
  EXPECT_EQ(body["chat_template_kwargs"]["thinking"], true);
  session.drop_question();
  EXPECT_EQ(session.turns(), 2u);
}

TEST(ChatSession, Commands) {
  ChatSession session({.model = "m"});
  EXPECT_EQ(session.take_line("").action, Action::kNothing);
  EXPECT_EQ(session.take_line("/quit").action, Action::kQuit);
  EXPECT_EQ(session.take_line("/regenerate").action, Action::kNothing) << "nothing was asked";
  session.take_line("Hello");
  session.add_answer("Hi.");
  EXPECT_EQ(session.take_line("/regenerate").action, Action::kAsk);
  EXPECT_EQ(session.turns(), 1u) << "the old answer is gone";
  session.take_line("/temperature 1.5");
  EXPECT_EQ(session.settings().temperature, 1.5);
  session.take_line("/temperature warm");
  EXPECT_EQ(session.settings().temperature, 1.5);
  session.take_line("/temperature");
  EXPECT_EQ(session.settings().temperature, std::nullopt);
  session.take_line("/think");
  EXPECT_TRUE(session.settings().thinking);
  session.take_line("/system Be a pirate.");
  EXPECT_EQ(session.settings().system, "Be a pirate.");
  EXPECT_NE(session.take_line("/nonsense").say.find("/help"), std::string::npos);
  session.take_line("/clear");
  EXPECT_EQ(session.turns(), 0u);
}

TEST(ChatSession, ASavedConversationGoesOn) {
  ChatSession session({.model = "m", .system = "S"});
  session.take_line("Hello");
  session.add_answer("Hi \xff.");  // not UTF-8
  const std::string path = testing::TempDir() + "hadal_chat.json";
  EXPECT_EQ(session.take_line("/save " + path).say, "saved to " + path);
  ChatSession other({.model = "m"});
  EXPECT_EQ(other.take_line("/load " + path).say, "2 turns from " + path);
  EXPECT_EQ(other.settings().system, "S");
  EXPECT_EQ(other.to_json(), session.to_json());
  for (const char* bad :
       {"", "[]", "{}", R"({"messages":5})", R"({"messages":[{"role":"tool","content":"x"}]})",
        R"({"messages":[{"role":"user"}]})"}) {
    EXPECT_FALSE(other.from_json(bad).ok()) << bad;
  }
  EXPECT_EQ(other.turns(), 2u) << "a bad file changes nothing";
}

class Keys : public testing::Test {
 protected:
  LineBuffer::Event type(std::string_view keys) {
    LineBuffer::Event event = LineBuffer::Event::kChanged;
    for (const char key : keys) event = line_.feed(key);
    return event;
  }
  std::vector<std::string> history_ = {"first", "second"};
  LineBuffer line_{&history_};
};

TEST_F(Keys, MoveAndDeleteWholeCharacters) {
  type("aüb\x1b[D\x1b[D");  // before the ü
  EXPECT_EQ(line_.column(), 1u);
  type("x");
  EXPECT_EQ(line_.text(), "axüb");
  type("\x1b[3~");
  EXPECT_EQ(line_.text(), "axb");
  type("\x1b[F\x7f\x01ü");
  EXPECT_EQ(line_.text(), "üax");
  EXPECT_EQ(line_.width(), 3u);
  EXPECT_EQ(type("\r"), LineBuffer::Event::kDone);
}

TEST_F(Keys, WideCharactersTakeTwoColumns) {
  type("法国ü");
  EXPECT_EQ(line_.column(), 5u);
  type("\x1b[D\x1b[D");
  EXPECT_EQ(line_.column(), 2u);
  EXPECT_EQ(columns_of("e\xcc\x81\xf0\x9f\x98\x80"), 3u) << "a combining accent, an emoji";
}

TEST_F(Keys, ALineLongerThanTheTerminalIsShownAroundItsCursor) {
  type("0123456789");
  EXPECT_EQ(line_.view(20).text, "0123456789");
  EXPECT_EQ(line_.view(5).text, "6789");
  EXPECT_EQ(line_.view(5).column, 4u);
  type("\x01");
  EXPECT_EQ(line_.view(5).text, "01234");
  EXPECT_EQ(line_.view(5).column, 0u);
  type("\x0b法国的首都");
  EXPECT_EQ(line_.view(5).text, "首都");
  EXPECT_EQ(line_.view(5).column, 4u);
}

TEST_F(Keys, WordsLinesAndEnds) {
  type("one two three\x17");
  EXPECT_EQ(line_.text(), "one two ");
  type("\x02\x02\x02\x02\x0b");
  EXPECT_EQ(line_.text(), "one ");
  type("\x15");
  EXPECT_EQ(line_.text(), "");
  EXPECT_EQ(type("\x04"), LineBuffer::Event::kEnd);
  EXPECT_EQ(type("x\x03"), LineBuffer::Event::kCancelled);
}

TEST_F(Keys, HistoryKeepsWhatIsTyped) {
  type("now\x1b[A");
  EXPECT_EQ(line_.text(), "second");
  type("\x1b[A\x1b[A");
  EXPECT_EQ(line_.text(), "first");
  type("\x1b[B\x1b[B\x1b[B");
  EXPECT_EQ(line_.text(), "now");
  type("\x1b[99;99q\x1bx!");  // unknown sequences do nothing
  EXPECT_EQ(line_.text(), "now!");
}

}  // namespace
}  // namespace hadal
