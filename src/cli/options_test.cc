#include "cli/options.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

struct Values {
  std::string model;
  int32_t port = 8000;
  bool verbose = false;
  std::optional<double> share;
  std::vector<std::string> names;
  std::string kind = "auto";
  bool caching = true;
};

OptionTable table_for(Values& values) {
  OptionTable table("hadal test", "A test.");
  table.positional("MODEL", &values.model, "the model");
  table.option("--port", &values.port, "the port");
  table.option("--verbose,-v", &values.verbose, "more");
  table.option("--share", &values.share, "a share");
  table.option("--served-model-name", &values.names, "names");
  table.option("--caching,!--no-caching", &values.caching, "a flag that can be switched off");
  table.option("--kind", &values.kind, "a kind", {"auto", "cpu"});
  return table;
}

TEST(OptionTable, FillsEveryKindOfTarget) {
  Values values;
  const auto exit_code = table_for(values).parse(
      {"folder", "--port", "9", "-v", "--share=0.5", "--served-model-name", "a", "b", "--kind", "cpu"});
  EXPECT_EQ(exit_code, std::nullopt);
  EXPECT_EQ(values.model, "folder");
  EXPECT_EQ(values.port, 9);
  EXPECT_TRUE(values.verbose);
  EXPECT_EQ(values.share, 0.5);
  EXPECT_EQ(values.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(values.kind, "cpu");
}

TEST(OptionTable, AWrongFlagNamesTheNearestRightOne) {
  Values values;
  testing::internal::CaptureStderr();
  EXPECT_EQ(table_for(values).parse({"folder", "--prot", "9"}), kExitUsage);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("unknown option --prot; did you mean --port?"), std::string::npos) << said;
}

TEST(OptionTable, AFlagMayHaveANameThatSwitchesItOff) {
  Values values;
  EXPECT_EQ(table_for(values).parse({"folder", "--no-caching"}), std::nullopt);
  EXPECT_FALSE(values.caching);
  EXPECT_EQ(table_for(values).parse({"folder", "--caching"}), std::nullopt);
  EXPECT_TRUE(values.caching);
  testing::internal::CaptureStderr();
  EXPECT_EQ(table_for(values).parse({"folder", "--no-caching", "--prot", "9"}), kExitUsage);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("unknown option --prot"), std::string::npos);
}

TEST(OptionTable, WrongValuesAndMissingPositionalsAreUsageErrors) {
  Values values;
  EXPECT_EQ(table_for(values).parse({"folder", "--port", "many"}), kExitUsage);
  EXPECT_EQ(table_for(values).parse({"folder", "--kind", "tpu"}), kExitUsage);
  EXPECT_EQ(table_for(values).parse({}), kExitUsage);
}

TEST(OptionTable, HelpListsEveryRow) {
  Values values;
  const OptionTable table = table_for(values);
  const std::string help = table.help();
  for (const OptionRow& row : table.rows()) {
    EXPECT_NE(help.find(row.names.substr(0, row.names.find(','))), std::string::npos) << row.names;
    EXPECT_NE(help.find(row.help), std::string::npos) << row.names;
  }
}

TEST(NearestName, FarNamesAreNotOffered) {
  EXPECT_EQ(nearest_name("--max-model-length", {"--max-model-len", "--port"}), "--max-model-len");
  EXPECT_EQ(nearest_name("sevre", {"serve", "eval"}), "serve");
  EXPECT_EQ(nearest_name("--zzzzzzzz", {"--max-model-len", "--port"}), std::nullopt);
}

}  // namespace
}  // namespace hadal
