#include "server/tenants_file.h"

#include <gtest/gtest.h>

namespace hadal {
namespace {

/// The message of the error, "" for none.
std::string error_of(std::string_view json) {
  const auto file = parse_tenants(json);
  return file.ok() ? "" : std::string(message_of(file.status()));
}

TEST(TenantsFile, IsReadWhole) {
  const auto file = parse_tenants(R"({
    "tenants": [{"name": "search", "weight": 2, "kv_floor": 0.25, "kv_ceiling": 0.5, "max_running": 16, "max_queued": 64},
                {"name": "a b"}],
    "default": {"weight": 0.5, "kv_ceiling": 0.75, "max_running": 8, "max_queued": 32},
    "shared_prefixes": [{"system": "Be brief."}, {"text": "Once"}, {"token_ids": [0, 5]}]})");
  ASSERT_TRUE(file.ok()) << message_of(file.status());
  ASSERT_EQ(file->tenants.size(), 2u);
  const TenantSettings& search = file->tenants[0];
  EXPECT_EQ(search.name, "search");
  EXPECT_EQ(search.weight, 2.0);
  EXPECT_EQ(search.kv_floor, 0.25);
  EXPECT_EQ(search.kv_ceiling, 0.5);
  EXPECT_EQ(search.max_running, 16);
  EXPECT_EQ(search.max_queued, 64);
  EXPECT_EQ(file->tenants[1].name, "a b");
  EXPECT_EQ(file->tenants[1].weight, TenantSettings().weight);
  EXPECT_EQ(file->default_tenant.weight, 0.5);
  EXPECT_EQ(file->default_tenant.max_queued, 32);
  ASSERT_EQ(file->shared_prefixes.size(), 3u);
  EXPECT_EQ(file->shared_prefixes[0].kind, SharedPrefix::Kind::kSystem);
  EXPECT_EQ(file->shared_prefixes[0].text, "Be brief.");
  EXPECT_EQ(file->shared_prefixes[1].kind, SharedPrefix::Kind::kText);
  EXPECT_EQ(file->shared_prefixes[2].token_ids, (std::vector<int32_t>{0, 5}));
  EXPECT_TRUE(parse_tenants("{}").ok());
}

TEST(TenantsFile, EveryMistakeNamesItsPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "the file is not valid JSON"},
      {"[]", "object"},
      {R"({"tenant": []})", "tenant is not known"},
      {R"({"tenants": {}})", "tenants must be"},
      {R"({"tenants": [5]})", "tenants[0] must be"},
      {R"({"tenants": [{"weight": 1}]})", "tenants[0].name is required"},
      {R"({"tenants": [{"name": ""}]})", "tenants[0].name"},
      {R"({"tenants": [{"name": " a"}]})", "tenants[0].name"},
      {R"({"tenants": [{"name": "a\n"}]})", "tenants[0].name"},
      {R"({"tenants": [{"name": "a"}, {"name": "a"}]})", "tenants[1].name: 'a' is there twice"},
      {R"({"tenants": [{"name": "a", "wieght": 1}]})", "tenants[0].wieght is not known"},
      {R"({"tenants": [{"name": "a", "weight": 0}]})", "tenants[0].weight"},
      {R"({"tenants": [{"name": "a", "weight": -1}]})", "tenants[0].weight"},
      {R"({"tenants": [{"name": "a", "weight": 1e300}]})", "tenants[0].weight"},
      {R"({"tenants": [{"name": "a", "weight": "1"}]})", "tenants[0].weight"},
      {R"({"tenants": [{"name": "a", "weight": null}]})", "tenants[0].weight"},
      {R"({"tenants": [{"name": "a", "kv_floor": 1.5}]})", "tenants[0].kv_floor"},
      {R"({"tenants": [{"name": "a", "kv_floor": 0.5, "kv_ceiling": 0.4}]})", "tenants[0].kv_ceiling"},
      {R"({"tenants": [{"name": "a", "kv_ceiling": 0}]})", "tenants[0].kv_ceiling"},
      {R"({"tenants": [{"name": "a", "kv_floor": 0.6}, {"name": "b", "kv_floor": 0.5}]})", "over 1"},
      {R"({"tenants": [{"name": "a", "max_running": -1}]})", "tenants[0].max_running"},
      {R"({"tenants": [{"name": "a", "max_running": 1.5}]})", "tenants[0].max_running"},
      {R"({"tenants": [{"name": "a", "max_queued": 18446744073709551615}]})", "tenants[0].max_queued"},
      {R"({"tenants": [{"name": "a", "name": "b"}]})", "name"},
      {R"({"default": {"kv_floor": 0.1}})", "default.kv_floor"},
      {R"({"default": {"name": "a"}})", "default.name"},
      {R"({"default": []})", "default must be"},
      {R"({"shared_prefixes": [{}]})", "shared_prefixes[0]"},
      {R"({"shared_prefixes": [{"system": ""}]})", "shared_prefixes[0].system"},
      {R"({"shared_prefixes": [{"sytem": "a"}]})", "shared_prefixes[0].sytem is not known"},
      {R"({"shared_prefixes": [{"system": "a", "text": "b"}]})", "shared_prefixes[0]"},
      {R"({"shared_prefixes": [{"token_ids": []}]})", "shared_prefixes[0].token_ids"},
      {R"({"shared_prefixes": [{"token_ids": [1, -1]}]})", "shared_prefixes[0].token_ids[1]"},
      {R"({"shared_prefixes": [{"token_ids": [1, 2.0]}]})", "shared_prefixes[0].token_ids[1]"},
  };
  for (const auto& [json, part] : cases) {
    const std::string error = error_of(json);
    EXPECT_NE(error, "") << json;
    EXPECT_NE(error.find(part), std::string::npos) << json << ": " << error;
  }
}

}  // namespace
}  // namespace hadal
