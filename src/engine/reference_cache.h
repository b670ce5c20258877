// For tests: the cache's rules (docs/contracts/kv-cache.md) written a second time, slowly, over maps, sharing
// no code with kvcache/. Blocks are names and not numbers, their content is the whole text up to their end
// and not a hash, counts are made by counting, nothing is incremental.
//
// The twin knows no order of eviction. Where a block is really taken, the caller says which one the cache
// under test took (Pick), and the twin notes a fault if that one was not allowed to go. Where a step is only
// tried out, any allowed one goes: how many can be taken does not depend on which.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace hadal::testing {

using RefKey = std::pair<unsigned long long, int>;  // request, choice

/// A text as far as its tokens are known, and whose it is.
struct RefText {
  std::string salt;         // of tenant and request
  std::vector<int> tokens;  // prompt and output
  int prompt = 0;
  int shared = 0;     // leading tokens that belong to a declared shared prefix
  bool named = true;  // does it take hits, and can its blocks be found?
};

/// What a block holds: everything from the text's beginning to the block's end, so equal contents are equal
/// prefixes.
struct RefContent {
  std::string root;
  std::vector<int> tokens;
  int prompt_tokens = 0;  // of them, where forms count
  bool operator==(const RefContent& other) const = default;
};

class ReferenceCache {
 public:
  struct Group {
    int block_tokens = 0, usable = 0, window = 0;
  };
  struct Limits {
    int floor = 0, ceiling = std::numeric_limits<int>::max();
  };
  struct Counts {
    int held = 0, cached = 0;
  };
  using Name = int;
  /// The block of the cache under test that stands at this place of this sequence.
  using Pick = std::function<int(size_t group, const RefKey& key, int index)>;

  ReferenceCache() = default;
  ReferenceCache(const std::vector<Group>& groups, bool forms_count) : forms_count_(forms_count) {
    for (const Group& group : groups) pools_.push_back({group, {}, {}, {}});
  }

  /// Accounts are numbered as they come: first the shared one, then the tenants'. One entry per group.
  void add_account(const std::vector<Limits>& limits) {
    for (size_t g = 0; g < pools_.size(); ++g) pools_[g].limits.push_back(limits[g]);
  }

  size_t groups() const { return pools_.size(); }
  size_t accounts() const { return pools_[0].limits.size(); }
  const Group& group(size_t g) const { return pools_[g].facts; }
  int floor(size_t g, int account) const { return limits(g, account).floor; }
  int ceiling(size_t g, int account) const { return limits(g, account).ceiling; }

  Counts counts(size_t g, int account) const { return count_all(g)[static_cast<size_t>(account)]; }
  int usage(size_t g, int account) const {
    const Counts all = counts(g, account);
    return all.held + all.cached;
  }
  int held(size_t g, int account) const { return counts(g, account).held; }

  /// How many blocks the account can take; below the ceiling or not.
  int available_under_no_ceiling(size_t g, int account) const {
    const std::vector<Counts> all = count_all(g);
    int sum = free_in(g);
    for (size_t a = 0; a < all.size(); ++a) {
      sum += all[a].cached;
      if (static_cast<int>(a) == account) continue;
      sum -= std::min(all[a].cached, std::max(0, pools_[g].limits[a].floor - all[a].held));
    }
    return sum;
  }
  int room_under_ceiling(size_t g, int account) const { return ceiling(g, account) - held(g, account); }
  int available(size_t g, int account) const {
    return std::min(available_under_no_ceiling(g, account), room_under_ceiling(g, account));
  }

  /// Indices of the blocks that a sequence holds.
  std::set<int> indices(size_t g, const RefKey& key) const {
    std::set<int> out;
    for (const auto& [index, name] : table(g, key)) out.insert(index);
    return out;
  }
  /// Blocks to take for writing [from, to).
  int to_take(size_t g, const RefKey& key, int from, int to) const {
    int count = 0;
    for (const int index : touched(g, from, to)) count += writable(g, key, index) ? 0 : 1;
    return count;
  }

  /// The hit: most tokens, at most `most`, whose blocks every group has.
  int find(const RefText& text, int most) const {
    for (int tokens = text.named ? most : 0; tokens > 0; --tokens) {
      bool everywhere = true;
      for (size_t g = 0; g < pools_.size() && everywhere; ++g) everywhere = has(g, text, tokens);
      if (everywhere) return tokens;
    }
    return 0;
  }
  /// Blocks that a hit of so many tokens holds.
  std::vector<int> hit_indices(size_t g, int tokens) const {
    const Group& facts = pools_[g].facts;
    std::vector<int> out;
    for (int index = 0; (index + 1) * facts.block_tokens <= tokens; ++index) {
      if (seen_by(g, index, tokens)) out.push_back(index);
    }
    return out;
  }
  void hold(const RefKey& key, const RefText& text, int tokens) {
    for (size_t g = 0; g < pools_.size(); ++g) {
      for (const int index : hit_indices(g, tokens)) {
        pools_[g].tables[key][index] = named(g, content(g, text, index));
      }
    }
  }

  /// Makes [from, to) writable; false if blocks are short (the twin is then good for nothing more: try on a
  /// copy). `only`: in this group alone.
  bool write(const RefKey& key, int account, int from, int to, const Pick& pick = nullptr,
             std::optional<size_t> only = std::nullopt) {
    for (size_t g = 0; g < pools_.size(); ++g) {
      if (only && g != *only) continue;
      for (const int index : touched(g, from, to)) {
        if (writable(g, key, index)) continue;
        if (available(g, account) < 1) return false;
        pools_[g].tables[key][index] = take(g, account, key, index, pick);
      }
    }
    return true;
  }

  /// Takes blocks for nobody's table, to try out what is then left.
  bool set_aside(size_t g, int account, int count) {
    const RefKey nobody{~0ull, account};
    for (int i = 0; i < count; ++i) {
      if (available(g, account) < 1) return false;
      pools_[g].tables[nobody][i] = take(g, account, nobody, i, nullptr);
    }
    return true;
  }

  /// [0, computed) has been computed: complete blocks can be found. Those in a shared prefix are the shared
  /// account's.
  void publish(const RefKey& key, const RefText& text, int computed) {
    for (size_t g = 0; g < pools_.size(); ++g) {
      for (const auto& [index, name] : table(g, key)) {
        Block& block = pools_[g].blocks.at(name);
        if ((index + 1) * pools_[g].facts.block_tokens > computed || block.offered || !text.named) continue;
        block.offered = true;
        const RefContent what = content(g, text, index);
        if (named(g, what) != 0) continue;  // the first keeps the name
        block.content = std::make_shared<const RefContent>(what);
        if (in_shared(g, text, index)) block.account = 0;
      }
    }
  }
  /// Blocks that no query at `next` or later sees are given back.
  void trim(const RefKey& key, int next) {
    for (size_t g = 0; g < pools_.size(); ++g) {
      for (const int index : indices(g, key)) {
        if (!seen_by(g, index, next)) pools_[g].tables[key].erase(index);
      }
    }
    drop_unheld();
  }
  void fork(const RefKey& from, const RefKey& to) {
    for (Pool& pool : pools_) pool.tables[to] = pool.tables[from];
  }
  void release(const RefKey& key) {
    for (Pool& pool : pools_) pool.tables.erase(key);
    drop_unheld();
  }
  void forget() {
    for (Pool& pool : pools_) {
      for (auto& [name, block] : pool.blocks) block.content = nullptr;
    }
    drop_unheld();
  }

  /// The table as the cache under test should have it; 0 where a block was given back.
  std::vector<int> ids(size_t g, const RefKey& key) const {
    std::vector<int> out;
    for (const auto& [index, name] : table(g, key)) {
      out.resize(static_cast<size_t>(index) + 1, 0);
      out.back() = pools_[g].blocks.at(name).id;
    }
    return out;
  }
  /// Blocks taken by write() with a Pick since the last call: (group, id).
  std::vector<std::pair<size_t, int>> taken() { return std::exchange(taken_, {}); }
  std::vector<std::string> faults() { return std::exchange(faults_, {}); }

 private:
  struct Block {
    int account = 0;
    int id = 0;                                 // in the cache under test
    bool offered = false;                       // publish() has been through
    std::shared_ptr<const RefContent> content;  // if it can be found
  };
  struct Pool {
    Group facts;
    std::vector<Limits> limits;
    std::map<Name, Block> blocks;  // all that are not free
    std::map<RefKey, std::map<int, Name>> tables;
  };

  const Limits& limits(size_t g, int account) const { return pools_[g].limits[static_cast<size_t>(account)]; }
  int free_in(size_t g) const { return pools_[g].facts.usable - static_cast<int>(pools_[g].blocks.size()); }
  const std::map<int, Name>& table(size_t g, const RefKey& key) const {
    static const std::map<int, Name> kNone;
    const auto found = pools_[g].tables.find(key);
    return found == pools_[g].tables.end() ? kNone : found->second;
  }
  int holders(size_t g, Name name) const {
    int count = 0;
    for (const auto& [key, held] : pools_[g].tables) {
      for (const auto& [index, one] : held) count += one == name ? 1 : 0;
    }
    return count;
  }
  std::set<Name> held_names(size_t g) const {
    std::set<Name> out;
    for (const auto& [key, held] : pools_[g].tables) {
      for (const auto& [index, name] : held) out.insert(name);
    }
    return out;
  }
  std::vector<Counts> count_all(size_t g) const {
    std::vector<Counts> out(pools_[g].limits.size());
    const std::set<Name> held = held_names(g);
    for (const auto& [name, block] : pools_[g].blocks) {
      Counts& of = out[static_cast<size_t>(block.account)];
      ++(held.count(name) > 0 ? of.held : of.cached);
    }
    return out;
  }
  void drop_unheld() {
    for (size_t g = 0; g < pools_.size(); ++g) {
      const std::set<Name> held = held_names(g);
      std::map<Name, Block>& blocks = pools_[g].blocks;
      for (auto at = blocks.begin(); at != blocks.end();) {
        const bool stays = held.count(at->first) > 0 || at->second.content != nullptr;
        at = stays ? std::next(at) : blocks.erase(at);
      }
    }
  }

  std::vector<int> touched(size_t g, int from, int to) const {
    const int size = pools_[g].facts.block_tokens;
    std::vector<int> out;
    for (int index = from / size; index * size < to; ++index) out.push_back(index);
    return out;
  }
  /// There is a block, and nobody else holds it.
  bool writable(size_t g, const RefKey& key, int index) const {
    const auto found = table(g, key).find(index);
    return found != table(g, key).end() && holders(g, found->second) == 1;
  }
  /// Does a query at `next` or later read from the block?
  bool seen_by(size_t g, int index, int next) const {
    const Group& facts = pools_[g].facts;
    const int last = (index + 1) * facts.block_tokens - 1;
    return facts.window == 0 || last > next - facts.window;
  }

  bool in_shared(size_t g, const RefText& text, int index) const {
    return (index + 1) * pools_[g].facts.block_tokens <= text.shared;
  }
  RefContent content(size_t g, const RefText& text, int index) const {
    const int end = (index + 1) * pools_[g].facts.block_tokens;
    RefContent out;
    out.root = in_shared(g, text, index) ? "shared" : "of " + text.salt;
    out.tokens.assign(text.tokens.begin(), text.tokens.begin() + end);
    out.prompt_tokens = forms_count_ ? std::min(end, text.prompt) : 0;
    return out;
  }
  /// The block with this content; 0: none.
  Name named(size_t g, const RefContent& what) const {
    for (const auto& [name, block] : pools_[g].blocks) {
      if (block.content != nullptr && *block.content == what) return name;
    }
    return 0;
  }
  bool has(size_t g, const RefText& text, int tokens) const {
    if (tokens % pools_[g].facts.block_tokens != 0) return false;
    const std::vector<int> wanted = hit_indices(g, tokens);
    return std::all_of(wanted.begin(), wanted.end(),
                       [&](int index) { return named(g, content(g, text, index)) != 0; });
  }

  Name take(size_t g, int account, const RefKey& key, int index, const Pick& pick) {
    const std::set<Name> may_go = evictable(g, account);
    Name goes = may_go.empty() ? 0 : *may_go.begin();
    const int id = pick == nullptr ? 0 : pick(g, key, index);
    if (pick != nullptr) {
      goes = with_id(g, id);
      taken_.push_back({g, id});
      if (goes == 0 && !may_go.empty()) fault(g, key, index, id, "is free, and a cached one had to go");
      if (goes != 0 && held_names(g).count(goes) > 0) fault(g, key, index, id, "is held by another");
      if (goes != 0 && may_go.count(goes) == 0) {
        fault(g, key, index, id,
              may_go.empty() ? "was cached, and others are free" : "was not to be evicted");
      }
    }
    if (goes != 0) pools_[g].blocks.erase(goes);
    const Name name = ++last_name_;
    pools_[g].blocks[name] = {account, id, false, nullptr};
    return name;
  }
  /// Which cached blocks may make room for a take; empty: none, a free block is taken.
  std::set<Name> evictable(size_t g, int account) const {
    const std::vector<Counts> all = count_all(g);
    const auto used = [&](int a) {
      const Counts& of = all[static_cast<size_t>(a)];
      return of.held + of.cached;
    };
    const std::set<Name> held = held_names(g);
    std::set<Name> own, above_floor;
    for (const auto& [name, block] : pools_[g].blocks) {
      if (held.count(name) > 0) continue;
      if (block.account == account) own.insert(name);
      if (used(block.account) > floor(g, block.account)) above_floor.insert(name);
    }
    if (used(account) >= ceiling(g, account)) return own;
    if (free_in(g) > 0) return {};
    return above_floor.empty() ? own : above_floor;
  }
  Name with_id(size_t g, int id) const {
    for (const auto& [name, block] : pools_[g].blocks) {
      if (block.id == id) return name;
    }
    return 0;
  }
  void fault(size_t g, const RefKey& key, int index, int id, const std::string& what) {
    faults_.push_back("request " + std::to_string(key.first) + " choice " + std::to_string(key.second) +
                      " group " + std::to_string(g) + " entry " + std::to_string(index) + ": block " +
                      std::to_string(id) + " " + what);
  }

  bool forms_count_ = false;
  std::vector<Pool> pools_;
  Name last_name_ = 0;
  std::vector<std::pair<size_t, int>> taken_;
  std::vector<std::string> faults_;
};

}  // namespace hadal::testing
