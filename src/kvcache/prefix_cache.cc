// The prefix cache's side of KvCache: names of blocks, hits, publishing.
#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "kvcache/kv_cache.h"

namespace hadal {
namespace {

constexpr std::string_view kSharedRoot = "shared";  // salts begin with another letter

}  // namespace

PrefixChain KvCache::new_chain(const std::vector<int32_t>& prompt, std::string_view salt, int32_t shared,
                               bool enabled) const {
  PrefixChain chain;
  chain.enabled_ = enabled && options_.enabled;
  if (!chain.enabled_) return chain;
  chain.tokens_ = prompt;
  chain.prompt_ = static_cast<int32_t>(prompt.size());
  chain.shared_ = std::min(shared, chain.prompt_);
  chain.salt_ = hasher_.root("t" + std::string(salt));
  const BlockKey root = hasher_.root(kSharedRoot);
  for (const CacheGroupSpec& group : groups_) {
    // the shared root only where a whole block lies in the declared prefix; else the salt enters at once
    const bool shares = chain.shared_ >= group.block_tokens;
    chain.keys_.push_back({shares ? root : hasher_.salted(root, chain.salt_)});
  }
  grow_keys(chain);
  return chain;
}

void KvCache::append(PrefixChain& chain, int32_t token) const {
  if (!chain.enabled_) return;
  chain.tokens_.push_back(token);
  grow_keys(chain);
}

/// Names the blocks that the known tokens have completed.
void KvCache::grow_keys(PrefixChain& chain) const {
  for (size_t g = 0; g < groups_.size(); ++g) {
    const int32_t size = groups_[g].block_tokens;
    std::vector<BlockKey>& keys = chain.keys_[g];
    for (auto i = static_cast<int32_t>(keys.size()) - 1; (i + 1) * size <= chain.tokens(); ++i) {
      const bool first_behind_shared = i > 0 && i == chain.shared_ / size;
      const BlockKey parent = first_behind_shared ? hasher_.salted(keys.back(), chain.salt_) : keys.back();
      const bool forms = options_.exact && options_.forms_differ;
      const int32_t prompt_tokens = std::clamp(chain.prompt_ - i * size, 0, size);
      keys.push_back(hasher_.chain(parent, chain.tokens_.data() + static_cast<std::ptrdiff_t>(i) * size, size,
                                   forms ? static_cast<uint32_t>(prompt_tokens) + 1 : 0));
    }
  }
}

bool KvCache::find_block(const PrefixChain& chain, size_t g, int32_t index, BlockId* block) const {
  const auto i = static_cast<size_t>(index);
  const std::vector<BlockKey>& keys = chain.keys_[g];
  if (i + 1 >= keys.size()) return false;
  const int32_t size = groups_[g].block_tokens;
  *block =
      pools_[g].find(keys[i], keys[i + 1], chain.tokens_.data() + static_cast<std::ptrdiff_t>(index) * size);
  return *block != kNullBlock;
}

PrefixHit KvCache::find_prefix(const PrefixChain& chain, int32_t most) const {
  PrefixHit hit;
  hit.tables.resize(groups_.size());
  if (!chain.enabled_) return hit;
  // a hit ends where a block of every group ends
  int32_t unit = 1;
  for (const CacheGroupSpec& group : groups_) unit = std::lcm(unit, group.block_tokens);
  int32_t tokens = std::min(most, chain.tokens()) / unit * unit;
  for (size_t g = 0; g < groups_.size() && tokens > 0; ++g) {
    if (groups_[g].window > 0) continue;
    const int32_t size = groups_[g].block_tokens;
    BlockId block = kNullBlock;
    int32_t found = 0;
    while (found * size < tokens && find_block(chain, g, found, &block)) {
      hit.tables[g].push_back(block);
      ++found;
    }
    tokens = std::min(tokens, found * size / unit * unit);
  }
  // window groups: the longest beginning whose visible end is all there
  for (; tokens > 0; tokens -= unit) {
    bool all = true;
    for (size_t g = 0; g < groups_.size() && all; ++g) {
      if (groups_[g].window <= 0) continue;
      const int32_t size = groups_[g].block_tokens;
      std::vector<BlockId>& table = hit.tables[g];
      table.assign(static_cast<size_t>(tokens / size), kNullBlock);
      for (int32_t i = tokens / size - 1; i >= first_visible(tokens, groups_[g].window) / size && all; --i)
        all = find_block(chain, g, i, &table[static_cast<size_t>(i)]);
    }
    if (all) break;
  }
  hit.tokens = std::max(tokens, 0);
  for (size_t g = 0; g < groups_.size(); ++g)
    hit.tables[g].resize(static_cast<size_t>(hit.tokens / groups_[g].block_tokens));
  return hit;
}

void KvCache::take_prefix(SequenceBlocks& blocks, const PrefixHit& hit) {
  if (hit.tokens == 0) return;
  for (size_t g = 0; g < groups_.size(); ++g) {
    CHECK(blocks.tables[g].empty());
    for (const BlockId block : hit.tables[g]) {
      if (block != kNullBlock) pools_[g].hit(block);
    }
    blocks.tables[g] = hit.tables[g];
    blocks.published[g] = static_cast<int32_t>(hit.tables[g].size());
  }
}

void KvCache::publish(SequenceBlocks& blocks, const PrefixChain& chain, int32_t computed) {
  if (!chain.enabled_) return;
  for (size_t g = 0; g < groups_.size(); ++g) {
    const int32_t size = groups_[g].block_tokens;
    int32_t& done = blocks.published[g];
    for (; (done + 1) * size <= computed; ++done) {
      const auto i = static_cast<size_t>(done);
      CHECK(i + 1 < chain.keys_[g].size() && i < blocks.tables[g].size());
      const BlockId block = blocks.tables[g][i];
      // null: before the window already; published: a fork's twin was here first
      if (block == kNullBlock || pools_[g].published(block)) continue;
      const bool shared = (done + 1) * size <= chain.shared_;
      pools_[g].publish(block, chain.keys_[g][i], chain.keys_[g][i + 1],
                        chain.tokens_.data() + static_cast<std::ptrdiff_t>(done) * size,
                        shared ? kSharedAccount : blocks.account);
    }
  }
}

int64_t KvCache::forget_prefixes() {
  int64_t freed = 0;
  for (BlockPool& pool : pools_) freed += pool.forget_all();
  return freed;
}

}  // namespace hadal
