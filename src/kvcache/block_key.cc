#include "kvcache/block_key.h"

#include <bit>
#include <cstring>

namespace hadal {
namespace {

/// SipHash's state and its round, section 2 of the paper.
struct SipState {
  uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void absorb(uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  uint64_t squeeze() {
    for (int i = 0; i < 4; ++i) round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

uint64_t load_little_endian(const unsigned char* from, size_t bytes) {
  uint64_t word = 0;
  for (size_t i = 0; i < bytes; ++i) word |= static_cast<uint64_t>(from[i]) << (8 * i);
  return word;
}

/// What a hash is for; the first bytes of its input, so that no two kinds can meet.
enum class Kind : uint32_t { kRoot = 1, kChain = 2, kSalted = 3 };

template <typename T>
void append(std::vector<unsigned char>& bytes, const T& value) {
  const auto* raw = reinterpret_cast<const unsigned char*>(&value);
  bytes.insert(bytes.end(), raw, raw + sizeof(T));
}

}  // namespace

BlockKey BlockHasher::hash(const void* data, size_t bytes) const {
  const auto* from = static_cast<const unsigned char*>(data);
  // the constant 0xee and the second squeeze are what makes it 128 bits
  SipState state{k0_ ^ 0x736f6d6570736575ull, k1_ ^ 0x646f72616e646f6dull ^ 0xee, k0_ ^ 0x6c7967656e657261ull,
                 k1_ ^ 0x7465646279746573ull};
  const size_t words = bytes / 8;
  for (size_t i = 0; i < words; ++i) state.absorb(load_little_endian(from + 8 * i, 8));
  state.absorb(static_cast<uint64_t>(bytes & 0xff) << 56 | load_little_endian(from + 8 * words, bytes % 8));
  state.v2 ^= 0xee;
  BlockKey key;
  key.low = state.squeeze();
  state.v1 ^= 0xdd;
  key.high = state.squeeze();
  return key;
}

BlockKey BlockHasher::root(std::string_view salt) const {
  std::vector<unsigned char> bytes;
  append(bytes, Kind::kRoot);
  bytes.insert(bytes.end(), salt.begin(), salt.end());
  return hash(bytes.data(), bytes.size());
}

BlockKey BlockHasher::chain(const BlockKey& parent, const int32_t* tokens, int32_t count,
                            uint32_t form) const {
  std::vector<unsigned char> bytes;
  bytes.reserve(24 + static_cast<size_t>(count) * sizeof(int32_t));
  append(bytes, Kind::kChain);
  append(bytes, form);
  append(bytes, parent.high);
  append(bytes, parent.low);
  const auto* raw = reinterpret_cast<const unsigned char*>(tokens);
  bytes.insert(bytes.end(), raw, raw + static_cast<size_t>(count) * sizeof(int32_t));
  return hash(bytes.data(), bytes.size());
}

BlockKey BlockHasher::salted(const BlockKey& parent, const BlockKey& salt) const {
  std::vector<unsigned char> bytes;
  append(bytes, Kind::kSalted);
  append(bytes, parent.high);
  append(bytes, parent.low);
  append(bytes, salt.high);
  append(bytes, salt.low);
  return hash(bytes.data(), bytes.size());
}

}  // namespace hadal
