#include "engine/tenants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using ::testing::HasSubstr;

TEST(TenantTable, NumbersNamesAndFoldsWhatIsTooMany) {
  auto table = TenantTable::create({{.name = "a", .weight = 2.0}}, {.max_queued = 7});
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ((*table)->find_or_add(""), kDefaultTenant);
  EXPECT_EQ((*table)->find_or_add("a"), 1);
  EXPECT_EQ((*table)->settings(1).weight, 2.0);
  for (int i = 0; i < 3000; ++i) (*table)->find_or_add("name" + std::to_string(i));
  EXPECT_LE((*table)->size(), TenantTable::kMaxTenants);
  const TenantId last = (*table)->find_or_add("yet another");
  EXPECT_EQ((*table)->settings(last).name, "other");
  EXPECT_EQ((*table)->settings(last).max_queued, 7);
  EXPECT_EQ((*table)->find_or_add("one more"), last);
  EXPECT_EQ((*table)->find_or_add("name0"), 2) << "known names keep their numbers";
}

TEST(TenantTable, RefusesWhatCannotBeKept) {
  const auto refusal = [](std::vector<TenantSettings> declared, TenantSettings defaults = {}) {
    const auto table = TenantTable::create(declared, defaults);
    EXPECT_FALSE(table.ok());
    return std::string(message_of(table.status()));
  };
  EXPECT_THAT(refusal({{.name = "a", .weight = 0}}), HasSubstr("weight"));
  EXPECT_THAT(refusal({{.name = "a", .kv_floor = 0.6}, {.name = "b", .kv_floor = 0.6}}), HasSubstr("1.2"));
  EXPECT_THAT(refusal({{.name = "a", .kv_floor = 0.5, .kv_ceiling = 0.4}}), HasSubstr("kv_ceiling"));
  EXPECT_THAT(refusal({{.name = "a"}, {.name = "a"}}), HasSubstr("twice"));
  EXPECT_THAT(refusal({}, {.kv_floor = 0.1}), HasSubstr("default"));
  EXPECT_THAT(refusal({{.name = "a", .max_running = -1}}), HasSubstr("negative"));
}

TEST(FairClock, NobodySavesUpServiceWhileIdle) {
  FairClock clock;
  clock.add_tenant(1.0);
  clock.add_tenant(1.0);
  clock.arrive(0);
  clock.charge(0, 1000.0);
  clock.arrive(1);
  EXPECT_EQ(clock.counter(1), 1000.0) << "begins level with who has been working";
  clock.charge(1, 50.0);
  clock.leave(0);
  clock.leave(1);
  clock.arrive(0);
  EXPECT_EQ(clock.counter(0), 1050.0) << "the one who went on alone is not punished for it";
}

TEST(FairClock, WhoRanAheadKeepsItsCounter) {
  FairClock clock;
  clock.add_tenant(1.0);
  clock.add_tenant(1.0);
  clock.arrive(0);
  clock.arrive(1);
  clock.charge(0, 300.0);
  clock.leave(0);
  clock.arrive(0);
  EXPECT_EQ(clock.counter(0), 300.0) << "leaving and coming back washes nothing away";
}

}  // namespace
}  // namespace hadal
