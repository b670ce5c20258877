#include "engine/stop_strings.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <tuple>

#include "engine/choice_text.h"

namespace hadal {
namespace {

using Include = StopStrings::Include;
using Counts = StopStrings::Counts;

/// The slow twin: looks at the whole text. Of all matches that end after `floor`, the one that ends first;
/// the longest of several that end there.
struct Found {
  size_t begin = 0, end = 0;
  size_t index = 0;
};
std::optional<Found> find_in_whole(const std::string& text, const std::vector<std::string>& stops,
                                   size_t floor) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<Found> best;
    for (size_t i = 0; i < stops.size(); ++i) {
      const size_t size = stops[i].size();
      if (end <= floor || size > end || text.compare(end - size, size, stops[i]) != 0) continue;
      if (!best || size > best->end - best->begin) best = Found{end - size, end, i};
    }
    if (best) return best;
  }
  return std::nullopt;
}

/// Whole characters only.
bool is_utf8_boundary(const std::string& text, size_t at) {
  return at == text.size() || (static_cast<uint8_t>(text[at]) & 0xc0) != 0x80;
}

TEST(StopStrings, AMatchAcrossPiecesIsCutBeforeItsBeginning) {
  StopStrings stops({"END"}, Include::kNo);
  EXPECT_EQ(stops.add("go E", Counts::kYes).text, "go ");
  EXPECT_EQ(stops.add("N", Counts::kYes).text, "");
  const StopStrings::Piece piece = stops.add("D of it", Counts::kYes);
  EXPECT_EQ(piece.text, "");
  EXPECT_EQ(piece.match, 0);
}

TEST(StopStrings, WhatTurnsOutNotToMatchIsGivenOut) {
  StopStrings stops({"aab"}, Include::kNo);
  EXPECT_EQ(stops.add("aa", Counts::kYes).text, "");
  EXPECT_EQ(stops.add("a", Counts::kYes).text, "a");  // "aa" may still begin the match
  EXPECT_EQ(stops.add("c", Counts::kYes).text, "aac");
  EXPECT_EQ(stops.add("a", Counts::kYes).text, "");
  EXPECT_EQ(stops.flush(), "a");
}

TEST(StopStrings, IncludeKeepsTheMatch) {
  StopStrings stops({"。"}, Include::kYes);
  const StopStrings::Piece piece = stops.add("好。再", Counts::kYes);
  EXPECT_EQ(piece.text, "好。");
  EXPECT_EQ(piece.match, 0);
}

TEST(StopStrings, WithoutStopsTextPassesThrough) {
  StopStrings stops({}, Include::kNo);
  EXPECT_EQ(stops.add("abc", Counts::kYes).text, "abc");
  EXPECT_EQ(stops.flush(), "");
}

// Property: however a text is cut into pieces of whole characters, output and match are those of the whole
// text.
TEST(StopStrings, AgreesWithTheSlowTwinForEveryWayOfCutting) {
  const std::vector<std::string> alphabet = {"a", "b", "é", "語", "😀", "\xef\xbf\xbd"};
  int matched = 0;
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    std::mt19937_64 random(seed);
    const size_t letters = 1 + random() % alphabet.size();
    const auto draw = [&](size_t most) {
      std::string text;
      for (size_t i = 0, n = 1 + random() % most; i < n; ++i) text += alphabet[random() % letters];
      return text;
    };
    std::vector<std::string> stops;
    for (size_t i = 0, n = 1 + random() % 3; i < n; ++i) stops.push_back(draw(5));
    const std::string text = draw(24);
    const Include include = random() % 2 == 0 ? Include::kNo : Include::kYes;
    size_t counts_from = random() % 3 == 0 ? random() % text.size() : 0;
    while (!is_utf8_boundary(text, counts_from)) ++counts_from;

    StopStrings matcher(stops, include);
    std::string out;
    int32_t match = -1;
    for (size_t at = 0; at < text.size() && match < 0;) {
      size_t to = std::min(text.size(), at + 1 + random() % 6);
      if (at < counts_from) to = std::min(to, counts_from);
      while (!is_utf8_boundary(text, to)) ++to;
      StopStrings::Piece piece =
          matcher.add(text.substr(at, to - at), at < counts_from ? Counts::kNo : Counts::kYes);
      out += piece.text;
      ASSERT_TRUE(is_utf8_boundary(text, out.size()) || piece.match >= 0)
          << "half a character, seed " << seed;
      match = piece.match;
      at = to;
    }
    if (match < 0) out += matcher.flush();

    const std::optional<Found> found = find_in_whole(text, stops, counts_from);
    ASSERT_EQ(match >= 0, found.has_value()) << "seed " << seed;
    if (!found) {
      ASSERT_EQ(out, text) << "seed " << seed;
      continue;
    }
    ++matched;
    ASSERT_EQ(stops[static_cast<size_t>(match)], stops[found->index]) << "seed " << seed;
    ASSERT_EQ(out, text.substr(0, include == Include::kYes ? found->end : found->begin)) << "seed " << seed;
  }
  EXPECT_GT(matched, 5000);
}

/// Bytes as tokens: gives out whole characters, and U+FFFD for what is broken at the end.
class ByteText : public TextStream {
 public:
  std::string add(int32_t token) override {
    held_ += static_cast<char>(token);
    const auto first = static_cast<uint8_t>(held_[0]);
    const size_t need = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    return held_.size() < need ? std::string() : std::exchange(held_, {});
  }
  std::string finish() override { return std::exchange(held_, {}).empty() ? "" : "\xef\xbf\xbd"; }

 private:
  std::string held_;
};

// Property: text and finish of a choice are those of its whole text, with tokens that are single bytes.
TEST(ChoiceText, AgreesWithTheWholeTextForTokensThatAreBytes) {
  const std::vector<std::string> alphabet = {"x", "y", "ü", "深"};
  for (uint64_t seed = 0; seed < 5000; ++seed) {
    std::mt19937_64 random(seed);
    std::string text;
    for (size_t i = 0, n = 1 + random() % 12; i < n; ++i) text += alphabet[random() % alphabet.size()];
    StopParams params;
    for (size_t i = 0, n = random() % 3; i < n; ++i) {
      params.stop.push_back(alphabet[random() % alphabet.size()] + alphabet[random() % alphabet.size()]);
    }
    params.min_tokens = static_cast<int32_t>(random() % 5);
    params.max_tokens = static_cast<int32_t>(text.size());
    const size_t cut =
        random() % 4 == 0 && text.size() > 1 ? text.size() - 1 : text.size();  // maybe half a character

    std::string whole = text.substr(0, cut), shown;
    size_t floor = 0, begun = 0;  // text that the first min_tokens bytes complete
    for (size_t i = 0; i <= whole.size(); ++i) {
      if (!is_utf8_boundary(text, i)) continue;
      shown = whole.substr(0, i);
      begun = i;
      if (i <= static_cast<size_t>(params.min_tokens)) floor = i;
    }
    if (begun < whole.size() || !is_utf8_boundary(text, whole.size())) shown += "\xef\xbf\xbd";
    const std::optional<Found> found = find_in_whole(shown, params.stop, floor);

    ChoiceText choice(std::make_unique<ByteText>(), params);
    std::string out, reason;
    FinishReason finish = FinishReason::kNone;
    for (size_t i = 0; i < cut && finish == FinishReason::kNone; ++i) {
      ChoiceText::Added added =
          choice.add(static_cast<uint8_t>(text[i]), static_cast<int32_t>(i + 1), i + 1 == cut);
      out += added.text;
      finish = added.finish;
      reason = added.stop_reason;
    }
    ASSERT_EQ(finish, found ? FinishReason::kStop : FinishReason::kLength) << "seed " << seed;
    ASSERT_EQ(out, found ? shown.substr(0, found->begin) : shown) << "seed " << seed;
    ASSERT_EQ(reason, found ? params.stop[found->index] : "") << "seed " << seed;
  }
}

TEST(ChoiceText, AStopTokenHasNoTextUnlessAskedFor) {
  for (const bool include : {false, true}) {
    StopParams params;
    params.stop_token_ids = {'.'};
    params.include_stop_str_in_output = include;
    ChoiceText choice(std::make_unique<ByteText>(), params);
    EXPECT_EQ(choice.add('a', 1, false).text, "a");
    const ChoiceText::Added last = choice.add('.', 2, false);
    EXPECT_EQ(last.text, include ? "." : "");
    EXPECT_EQ(last.finish, FinishReason::kStop);
    EXPECT_EQ(last.stop_reason, "46");
    EXPECT_FALSE(last.stop_string);
  }
}

TEST(ChoiceText, WhatWasHeldBackComesAtTheEnd) {
  StopParams params;
  params.stop = {"bcd"};
  ChoiceText choice(std::make_unique<ByteText>(), params);
  EXPECT_EQ(choice.add('a', 1, false).text, "a");
  EXPECT_EQ(choice.add('b', 2, false).text, "");
  EXPECT_EQ(choice.add('c', 3, false).text, "");
  EXPECT_EQ(choice.end(), "bc");
}

}  // namespace
}  // namespace hadal
