#include "kvcache/block_key.h"

#include <gtest/gtest.h>

#include <set>

namespace hadal {
namespace {

// From the reference implementation (github.com/veorq/SipHash, vectors.h, vectors_sip128): key 00 01 .. 0f,
// message 00 01 .. n-1.
TEST(BlockHasher, IsSipHash128) {
  const BlockHasher hasher(0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull);
  const BlockKey empty = hasher.hash("", 0);
  EXPECT_EQ(empty.low, 0xe6a825ba047f81a3ull);
  EXPECT_EQ(empty.high, 0x930255c71472f66dull);
  const char one[] = {0};
  const BlockKey first = hasher.hash(one, 1);
  EXPECT_EQ(first.low, 0x44af996bd8c187daull);
  EXPECT_EQ(first.high, 0x45fc229b11597634ull);
}

TEST(BlockHasher, EveryInputOfAChainCounts) {
  const BlockHasher hasher(1, 2), other(1, 3);
  const BlockKey root = hasher.root("a");
  const int32_t tokens[] = {5, 6, 7, 8};
  const int32_t changed[] = {5, 6, 7, 9};
  std::set<BlockKey> names;
  names.insert(root);
  names.insert(hasher.root("b"));
  names.insert(hasher.root(""));
  names.insert(hasher.chain(root, tokens, 4, 0));
  names.insert(hasher.chain(root, tokens, 3, 0));
  names.insert(hasher.chain(root, changed, 4, 0));
  names.insert(hasher.chain(root, tokens, 4, 1));
  names.insert(hasher.chain(hasher.root("b"), tokens, 4, 0));
  names.insert(hasher.salted(root, hasher.root("b")));
  names.insert(hasher.salted(hasher.root("b"), root));
  names.insert(other.chain(root, tokens, 4, 0));
  EXPECT_EQ(names.size(), 11u);
  EXPECT_EQ(hasher.chain(root, tokens, 4, 0), hasher.chain(root, tokens, 4, 0));
}

}  // namespace
}  // namespace hadal
