#include "lab/traces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kHeader = "TIMESTAMP,ContextTokens,GeneratedTokens\n";

Trace good(std::string_view bytes) {
  StatusOr<Trace> trace = parse_trace(bytes);
  EXPECT_TRUE(trace.ok()) << trace.status();
  return trace.ok() ? *std::move(trace) : Trace{};
}

std::string error_of(std::string_view bytes) {
  const StatusOr<Trace> trace = parse_trace(bytes);
  return trace.ok() ? "" : std::string(message_of(trace.status()));
}

std::string azure(std::string_view line) { return std::string(kHeader) + std::string(line); }

TEST(Traces, ReadsAzure) {
  const Trace trace =
      good(azure("2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,3180,0\r\n"));
  EXPECT_EQ(trace.format, TraceFormat::kAzure);
  ASSERT_EQ(trace.requests.size(), 2u);
  EXPECT_EQ(trace.requests[0].input_tokens, 4808);
  EXPECT_EQ(trace.requests[0].output_tokens, 10);
  EXPECT_DOUBLE_EQ(trace.requests[0].arrival_s, 0.0);
  EXPECT_DOUBLE_EQ(trace.requests[1].arrival_s, 0.052);
  EXPECT_THAT(trace.requests[1].hash_ids, IsEmpty());
}

TEST(Traces, ReadsMooncake) {
  const Trace trace = good(
      "{\"timestamp\": 3000, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [0, "
      "9223372036854775807]}\n"
      "\n"
      "{\"timestamp\": 4500.5, \"input_length\": 1, \"output_length\": 7, \"other\": [{}]}");
  EXPECT_EQ(trace.format, TraceFormat::kMooncake);
  ASSERT_EQ(trace.requests.size(), 2u);
  EXPECT_DOUBLE_EQ(trace.requests[1].arrival_s, 1.5005);
  EXPECT_THAT(trace.requests[0].hash_ids, ElementsAre(0, INT64_MAX));
  EXPECT_THAT(trace.requests[1].hash_ids, IsEmpty());
}

TEST(Traces, ColumnsInAnyOrderAndQuoted) {
  const Trace trace = good(
      "\xEF\xBB\xBF\"Generated\"\"x\",GeneratedTokens,\"TIMESTAMP\",ContextTokens\n"
      "\"a,\"\"b\"\"\",5,\"2024-02-29T00:00:00+00:00\",\"7\"\n");
  ASSERT_EQ(trace.requests.size(), 1u);
  EXPECT_EQ(trace.requests[0].input_tokens, 7);
  EXPECT_EQ(trace.requests[0].output_tokens, 5);
}

TEST(Traces, SortsByTimeAndKeepsTheOrderOfEqualOnes) {
  const Trace trace = good(azure(
      "2023-11-16 18:00:02,1,1\n2023-11-16 18:00:01,2,1\n2023-11-16 18:00:02,3,1\n2023-11-16 18:00:00,4,1"));
  std::vector<int32_t> lengths;
  for (const TraceRequest& request : trace.requests) lengths.push_back(request.input_tokens);
  EXPECT_THAT(lengths, ElementsAre(4, 2, 1, 3));
  EXPECT_DOUBLE_EQ(trace.requests[0].arrival_s, 0.0);
  EXPECT_DOUBLE_EQ(trace.requests[3].arrival_s, 2.0);
}

TEST(Traces, CsvFields) {
  const auto fields = [](std::string_view line) {
    const auto split = split_csv_line(line);
    return split.ok() ? *split : std::vector<std::string>{"refused"};
  };
  EXPECT_THAT(fields(""), ElementsAre(""));
  EXPECT_THAT(fields("a,,b,"), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(fields("\"\",\"a,b\""), ElementsAre("", "a,b"));
  EXPECT_THAT(fields("\"\"\"\",\"x\"\"y\"\"\""), ElementsAre("\"", "x\"y\""));
  EXPECT_THAT(fields("\"a"), ElementsAre("refused"));
  EXPECT_THAT(fields("\"a\"\""), ElementsAre("refused"));
  EXPECT_THAT(fields("\"a\"b"), ElementsAre("refused"));
  EXPECT_THAT(fields("a\"b\""), ElementsAre("refused"));
}

TEST(Traces, Times) {
  EXPECT_EQ(*parse_trace_time("1970-01-01 00:00:01.5"), 1'500'000'000);
  EXPECT_EQ(*parse_trace_time("2023-11-16 18:17:03.9799600"), 1'700'158'623'979'960'000);
  EXPECT_EQ(*parse_trace_time("2023-11-16T18:17:03Z"), *parse_trace_time("2023-11-16 20:17:03+02:00"));
  EXPECT_EQ(*parse_trace_time("2023-11-16T18:17:03.1234567899999"),
            *parse_trace_time("2023-11-16T18:17:03.123456789"));
  for (const char* wrong :
       {"", "2023-11-16", "2023-02-29 00:00:00", "2023-13-01 00:00:00", "2023-11-16 24:00:00",
        "2023-11-16 18:17:3", "2023-11-16 18:17:03.", "2023-11-16 18:17:03 ", "2023-11-16 18:17:03+2",
        "1969-01-01 00:00:00", "99999-01-01 00:00:00", "-023-01-01 00:00:00"}) {
    EXPECT_FALSE(parse_trace_time(wrong).ok()) << wrong;
  }
}

TEST(Traces, RefusesWhatIsEmptyOrUnknown) {
  EXPECT_THAT(error_of(""), HasSubstr("empty"));
  EXPECT_THAT(error_of("\n \r\n"), HasSubstr("empty"));
  EXPECT_THAT(error_of(kHeader), HasSubstr("no requests"));
  EXPECT_THAT(error_of("a,b\n1,2"), HasSubstr("line 1: neither a JSON object"));
  EXPECT_THAT(error_of("TIMESTAMP,ContextTokens,GeneratedTokens,TIMESTAMP\n"), HasSubstr("line 1"));
}

TEST(Traces, BadAzureLinesAreRefusedByNumber) {
  const std::string fine = "2023-11-16 18:17:03,1,1\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"2023-11-16 18:17:03,1", "2 fields where the header has 3"},
      {"2023-11-16 18:17:03,1,1,1", "4 fields"},
      {"yesterday,1,1", "'yesterday' is no time"},
      {"2023-11-16 18:17:03,,1", "ContextTokens"},
      {"2023-11-16 18:17:03,0,1", "ContextTokens is 0"},
      {"2023-11-16 18:17:03,-1,1", "ContextTokens is -1"},
      {"2023-11-16 18:17:03,1.5,1", "'1.5'"},
      {"2023-11-16 18:17:03,1e3,1", "'1e3'"},
      {"2023-11-16 18:17:03,1,-1", "GeneratedTokens is -1"},
      {"2023-11-16 18:17:03,16777217,1", "ContextTokens is 16777217"},
      {"2023-11-16 18:17:03,99999999999999999999999,1", "ContextTokens"},
      {"2023-11-16 18:17:03,1,\x01", "\\x01"},
      {"{\"timestamp\": 0}", "a quote inside a field"},
  };
  for (const auto& [line, message] : cases) {
    const std::string error = error_of(azure(fine + "\n" + line + "\n" + fine));
    EXPECT_THAT(error, HasSubstr("line 4: ")) << line;
    EXPECT_THAT(error, HasSubstr(message)) << line;
  }
}

TEST(Traces, BadMooncakeLinesAreRefusedByNumber) {
  const auto line = [](const char* time, const char* input, const char* output, const char* ids) {
    return fmt::format("{{\"timestamp\": {}, \"input_length\": {}, \"output_length\": {}, \"hash_ids\": {}}}",
                       time, input, output, ids);
  };
  const std::string fine = line("0", "1024", "1", "[1, 2]");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{", "no JSON object"},
      {"[]", "no JSON object"},
      {"{} {}", "no JSON object"},
      {"2023-11-16 18:17:03,1,1", "no JSON object"},
      {"{}", "'timestamp' is missing"},
      {"{\"timestamp\": 1}", "'input_length' is missing"},
      {line("-1", "1", "1", "[]"), "'timestamp'"},
      {line("\"0\"", "1", "1", "[]"), "'timestamp'"},
      {line("1e300", "1", "1", "[]"), "'timestamp'"},
      {line("0", "0", "1", "[]"), "input_length is 0"},
      {line("0", "1.5", "1", "[]"), "'input_length' is no whole number"},
      {line("0", "18446744073709551615", "1", "[]"), "'input_length' is 18446744073709551615"},
      {line("0", "1", "-5", "[]"), "output_length is -5"},
      {line("0", "1", "1", "{}"), "'hash_ids' is no list"},
      {line("0", "512", "1", "[1, 2]"), "2 hash ids for 512 tokens"},
      {line("0", "1024", "1", "[1, -2]"), "hash id"},
      {line("0", "1024", "1", "[1, 9223372036854775808]"), "hash id"},
      {line("0", "1024", "1", "[1, \"2\"]"), "hash id"},
      {line("0", "1024", "1", "[3, 3]"), "hash id 3 comes twice"},
  };
  for (const auto& [bad, message] : cases) {
    const std::string error = error_of(fine + "\n" + bad + "\n" + fine);
    EXPECT_THAT(error, HasSubstr("line 2: ")) << bad;
    EXPECT_THAT(error, HasSubstr(message)) << bad;
  }
}

TEST(Traces, AFileIsNamedInItsErrors) {
  const StatusOr<Trace> trace = read_trace("/nowhere/trace.csv");
  ASSERT_FALSE(trace.ok());
  EXPECT_THAT(std::string(message_of(trace.status())), HasSubstr("/nowhere/trace.csv"));
}

}  // namespace
}  // namespace hadal
