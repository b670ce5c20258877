#include "server/request_origin.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/files.h"

namespace hadal {
namespace {

http::Request request_with(std::initializer_list<http::Headers::Field> fields, bool unix_socket = false) {
  http::Request request;
  request.headers = http::Headers(fields);
  request.peer.is_unix_socket = unix_socket;
  request.received = MonotonicTime(std::chrono::seconds(1000));
  return request;
}

TEST(RequestOrigin, ATenantCountsOnlyFromATrustedHop) {
  const HopTrust trust("s3cret");
  const auto plain = read_origin(request_with({{"x-hadal-tenant", "a"}}), trust);
  EXPECT_EQ(plain->tenant, "");
  EXPECT_TRUE(plain->tenant_ignored);
  const auto wrong =
      read_origin(request_with({{"x-hadal-tenant", "a"}, {"x-hadal-hop-secret", "s3creT"}}), trust);
  EXPECT_TRUE(wrong->tenant_ignored);
  const auto right =
      read_origin(request_with({{"X-Hadal-Tenant", "a"}, {"X-Hadal-Hop-Secret", "s3cret"}}), trust);
  EXPECT_EQ(right->tenant, "a");
  EXPECT_FALSE(right->tenant_ignored);
  const auto local = read_origin(request_with({{"x-hadal-tenant", "a"}}, true), HopTrust());
  EXPECT_EQ(local->tenant, "a");
  // no secret is set: an empty one must not match it
  const auto empty =
      read_origin(request_with({{"x-hadal-tenant", "a"}, {"x-hadal-hop-secret", ""}}), HopTrust());
  EXPECT_TRUE(empty->tenant_ignored);
  const auto none = read_origin(request_with({}), trust);
  EXPECT_EQ(none->tenant, "");
  EXPECT_FALSE(none->tenant_ignored);
}

TEST(RequestOrigin, TheRoutersNamesAreUnderstood) {
  EXPECT_EQ(read_origin(request_with({{"x-gateway-inference-fairness-id", "old"}}, true), HopTrust())->tenant,
            "old");
  EXPECT_EQ(read_origin(request_with({{"x-gateway-inference-fairness-id", "old"},
                                      {"x-llm-d-inference-fairness-id", "new"}},
                                     true),
                        HopTrust())
                ->tenant,
            "new");
  EXPECT_EQ(read_origin(request_with({{"x-llm-d-inference-fairness-id", "b"}, {"x-hadal-tenant", "a"}}, true),
                        HopTrust())
                ->tenant,
            "a");
  EXPECT_EQ(read_origin(request_with({{"x-hadal-tenant", ""}, {"x-llm-d-inference-fairness-id", "b"}}, true),
                        HopTrust())
                ->tenant,
            "b");
  const auto bad = read_origin(request_with({{"x-hadal-tenant", std::string(257, 'a')}}, true), HopTrust());
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().param, "x-hadal-tenant");
}

TEST(RequestOrigin, DeadlinesAreMillisecondsFromArrival) {
  const auto given = read_origin(request_with({{"x-hadal-deadline-ms", "250"}}), HopTrust());
  EXPECT_EQ(given->deadline, MonotonicTime(std::chrono::milliseconds(1000250)));
  EXPECT_EQ(read_origin(request_with({}), HopTrust())->deadline, MonotonicTime::max());
  for (const char* text : {"", "0", "-5", "1.5", "1s", " 1", "0x10", "1000000000", "99999999999999999999"}) {
    const auto bad = read_origin(request_with({{"x-hadal-deadline-ms", text}}), HopTrust());
    ASSERT_FALSE(bad.ok()) << text;
    EXPECT_EQ(bad.error().status, 400);
    EXPECT_EQ(bad.error().param, "x-hadal-deadline-ms");
  }
}

TEST(HopSecret, ComesFromAFileOrTheEnvironment) {
  const std::string path = testing::TempDir() + "hadal_hop_secret";
  unsetenv(kHopSecretVariable);
  EXPECT_EQ(*read_hop_secret(""), "");
  ASSERT_TRUE(write_file(path, "  s3cret\r\n").ok());
  EXPECT_EQ(*read_hop_secret(path), "s3cret");
  setenv(kHopSecretVariable, "other", 1);
  EXPECT_EQ(*read_hop_secret(""), "other");
  EXPECT_EQ(*read_hop_secret(path), "s3cret") << "a file goes before the environment";
  setenv(kHopSecretVariable, "", 1);
  EXPECT_FALSE(read_hop_secret("").ok()) << "set and empty is a mistake, not the absence of a secret";
  unsetenv(kHopSecretVariable);
  ASSERT_TRUE(write_file(path, "\n").ok());
  EXPECT_FALSE(read_hop_secret(path).ok());
  ASSERT_TRUE(write_file(path, "two\nlines").ok());
  EXPECT_FALSE(read_hop_secret(path).ok());
  EXPECT_FALSE(read_hop_secret(path + "-is-not-there").ok());
}

TEST(HopSecret, ComparesWhole) {
  EXPECT_TRUE(constant_time_equal("abc", "abc"));
  EXPECT_FALSE(constant_time_equal("abcabc", "abc"));
  EXPECT_FALSE(constant_time_equal("ab", "abc"));
  EXPECT_FALSE(constant_time_equal("", "abc"));
  EXPECT_FALSE(constant_time_equal("abd", "abc"));
}

}  // namespace
}  // namespace hadal
