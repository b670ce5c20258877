#include "cli/option_sources.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/files.h"
#include "base/log.h"
#include "cli/config_file.h"
#include "cli/foreign_options.h"
#include "cli/serve_options.h"
#include "cli/vllm_spelling.h"

namespace hadal {
namespace {

struct Values {
  std::string model;
  int32_t port = 8000;
  bool exact = false;
  bool caching = true;
  std::optional<double> share;
  std::vector<std::string> names;
  std::vector<std::string> keys;
  std::string config;
};

OptionTable table_for(Values& values) {
  OptionTable table("hadal test", "A test.");
  table.option("--model", &values.model, "the model");
  table.optional_positional("MODEL", &values.model, "the model");
  table.option("--port", &values.port, "the port");
  table.option("--exact", &values.exact, "a flag");
  table.option("--enable-caching,!--no-enable-caching", &values.caching, "a flag that is on");
  table.option("--share", &values.share, "a share");
  table.option("--served-model-name", &values.names, "names");
  table.option("--api-key", &values.keys, "keys");
  table.option("--config", &values.config, "a file");
  return table;
}

class Sources : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"HADAL_PORT", "HADAL_API_KEY", "HADAL_CONFIG", "VLLM_CONFIG"}) unsetenv(name);
  }
  void TearDown() override { SetUp(); }

  std::string file(const std::string& text) {
    const std::string path = testing::TempDir() + "hadal_option_sources.yaml";
    EXPECT_TRUE(write_file(path, text).ok());
    return path;
  }
  /// The message of what went wrong, "" if nothing did.
  std::string parse(const std::vector<std::string>& arguments) {
    values_ = Values();
    const OptionTable table = table_for(values_);
    auto merged = merge_sources(table, arguments);
    if (!merged.ok()) return std::string(message_of(merged.status()));
    if (table.parse(merged->arguments)) return "not parsed";
    shown_ = show_config(table, *merged);
    return "";
  }

  Values values_;
  std::string shown_;
};

TEST_F(Sources, CommandLineThenEnvironmentThenFileThenDefault) {
  const std::string path = file(
      "# a comment\nmodel: from-file\nport: 1\nexact: true\nenable_caching: false\nshare: 0.5\n"
      "served_model_name: [a, 'b c']\n");
  ASSERT_EQ(parse({"--config", path}), "");
  EXPECT_EQ(values_.model, "from-file");
  EXPECT_EQ(values_.port, 1);
  EXPECT_TRUE(values_.exact);
  EXPECT_FALSE(values_.caching);
  EXPECT_EQ(values_.share, 0.5);
  EXPECT_EQ(values_.names, (std::vector<std::string>{"a", "b c"}));
  setenv("HADAL_PORT", "2", 1);
  setenv("HADAL_API_KEY", "x,y", 1);
  ASSERT_EQ(parse({"--config", path}), "");
  EXPECT_EQ(values_.port, 2);
  EXPECT_EQ(values_.keys, (std::vector<std::string>{"x", "y"}));
  EXPECT_NE(shown_.find("HADAL_PORT"), std::string::npos);
  EXPECT_EQ(shown_.find("x,"), std::string::npos) << "a key is not shown";
  ASSERT_EQ(parse({"typed", "--port=3", "--no-enable-caching", "--served-model-name", "c", "--config", path}),
            "");
  EXPECT_EQ(values_.model, "typed");
  EXPECT_EQ(values_.port, 3);
  EXPECT_EQ(values_.names, std::vector<std::string>{"c"});
}

TEST_F(Sources, TheFileMayBeJsonAndNamedByTheEnvironment) {
  setenv("VLLM_CONFIG", file(R"({"port": 7, "served-model-name": "one", "share": null})").c_str(), 1);
  ASSERT_EQ(parse({"m"}), "");
  EXPECT_EQ(values_.port, 7);
  EXPECT_EQ(values_.names, std::vector<std::string>{"one"});
  EXPECT_EQ(values_.share, std::nullopt);
}

TEST_F(Sources, WhatIsWrongIsSaid) {
  EXPECT_NE(parse({"--config", file("prot: 1\n")}).find("did you mean port"), std::string::npos);
  EXPECT_NE(parse({"--config", file("port: [1, 2]\n")}).find("one value"), std::string::npos);
  EXPECT_NE(parse({"--config", file("port: 1\nport: 2\n")}).find("twice"), std::string::npos);
  EXPECT_NE(parse({"--config", file("api_key: a\napi-key: b\n")}).find("twice"), std::string::npos);
  EXPECT_NE(parse({"--config", file("a: [1\n")}).find("line"), std::string::npos);
  EXPECT_NE(parse({"--config", file("- a\n")}).find("object"), std::string::npos);
  EXPECT_NE(parse({"--config", "/nowhere/at.yaml"}), "");
  EXPECT_EQ(parse({"--config", file("port: many\n")}), "not parsed");
}

TEST_F(Sources, AFileMaySwitchAFlagOffByItsOtherName) {
  ASSERT_EQ(parse({"--config", file("no-enable-caching: true\n")}), "");
  EXPECT_FALSE(values_.caching);
  ASSERT_EQ(parse({"--config", file("no_enable_caching: false\n")}), "");
  EXPECT_TRUE(values_.caching);
}

TEST_F(Sources, AKubernetesServiceLinkIsNoPort) {
  setenv("HADAL_PORT", "tcp://10.96.0.7:8000", 1);
  ASSERT_EQ(parse({"m"}), "");
  EXPECT_EQ(values_.port, 8000);
}

TEST_F(Sources, OptionsMayBeSpelledAsVllmLetsThem) {
  ASSERT_EQ(parse({"m", "--served_model_name", "a_b", "--no_enable_caching", "--port=x_9"}), "not parsed");
  ASSERT_EQ(parse({"m", "--served_model_name", "a_b", "--no_enable_caching", "--port", "2k"}), "");
  EXPECT_EQ(values_.names, std::vector<std::string>{"a_b"});
  EXPECT_FALSE(values_.caching);
  EXPECT_EQ(values_.port, 2000);
  ASSERT_EQ(parse({"--model.a", "1", "--model.b.c=x y", "--exact"}), "");
  EXPECT_EQ(values_.model, R"({"a":1,"b":{"c":"x y"}})");
  EXPECT_TRUE(values_.exact);
}

TEST(VllmSpelling, SizesWithLetters) {
  EXPECT_EQ(plain_integer("8k"), "8000");
  EXPECT_EQ(plain_integer("8K"), "8192");
  EXPECT_EQ(plain_integer("25.6k"), "25600");
  EXPECT_EQ(plain_integer("1G"), "1073741824");
  for (const char* other : {"", "k", "8", "-1", "1.5K", "8kk", "1..5k", ".5k", "auto", "0x8k"})
    EXPECT_EQ(plain_integer(other), other);
}

TEST(ConfigFile, AliasesCannotGrowForEver) {
  std::string bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\n";
  for (char c = 'b'; c < 'k'; ++c) {
    const std::string last(1, static_cast<char>(c - 1));
    bomb += fmt::format("{}: &{} [*{},*{},*{},*{},*{},*{},*{},*{},*{}]\n", c, c, last, last, last, last, last,
                        last, last, last, last);
  }
  EXPECT_FALSE(parse_config(bomb).ok());
  std::string long_text = "a: &a " + std::string(100'000, 'x') + "\nb: [";
  for (int i = 0; i < 5'000; ++i) long_text += "*a, ";
  EXPECT_FALSE(parse_config(long_text + "]\n").ok()) << "500 MB";
}

TEST(ForeignOptions, AreSilentWarnOrRefuse) {
  set_log_level(LogLevel::kOff);
  const auto check = [](const std::vector<std::string>& arguments) {
    ForeignOptions foreign;
    OptionTable table("hadal test", "A test.");
    foreign.declare(table);
    EXPECT_FALSE(table.parse(spelled_as_in(table, arguments)).has_value());
    const Status status = foreign.check("model");
    return std::string(message_of(status));
  };
  EXPECT_EQ(check({"--tensor-parallel-size", "1", "--enable-chunked-prefill", "--tokenizer", "model"}), "");
  EXPECT_EQ(check({"--disable-log-requests", "--max-log-len", "10", "--no-enable-log-outputs"}), "");
  EXPECT_NE(check({"-tp", "2"}).find("one device"), std::string::npos);
  EXPECT_NE(check({"--tokenizer", "other"}), "");
  EXPECT_NE(check({"--speculative-config", "{}"}), "");
  EXPECT_EQ(check({"--no-trust-remote-code", "-O3", "-cc", "{}", "--hf-token", "secret", "-ep", "--root-path", "/x"}), "");
  EXPECT_EQ(check({"--cudagraph-capture-sizes", "1", "2", "4", "--allowed-methods", "[\"*\"]", "--logprobs-mode", "raw_logprobs"}), "");
  EXPECT_NE(check({"--logits-processors", "a:B", "c:D"}).find("plugins"), std::string::npos);
  EXPECT_NE(check({"--rope-theta", "10000"}).find("config.json"), std::string::npos);
}

TEST(ForeignOptions, NoneIsAnOptionOfHadals) {
  ServeCommand command;
  OptionTable own("hadal serve", "");
  own.option("--model", &command.options.engine.model, "");
  add_serve_options(own, command);
  ForeignOptions foreign;
  OptionTable both = own;
  foreign.declare(both);
  EXPECT_FALSE(both.parse({"--enforce-eager", "--enable-sleep-mode"}).has_value()) << "CLI11 throws at a name's second use";
}

}  // namespace
}  // namespace hadal
