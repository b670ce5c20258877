// Mutates inputs that hold JSON as JSON: half of the time a value becomes another, as a broken or hostile
// file would have it, and the input stays JSON. The other half is libFuzzer's own, byte by byte.
//
// An input is cut at its zero bytes; one part that is a JSON object or list is mutated. Linked into the fuzz
// targets whose source has the line `// mutator: json`.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using Json = nlohmann::ordered_json;
using Random = std::minstd_rand;

constexpr int kMaxDepth = 64;  // copying and writing a tree recurse

size_t pick(Random& random, size_t count) { return random() % count; }

/// All values of a tree, containers before their members; false where it is too deep.
bool collect(Json& node, std::vector<Json*>& nodes, int depth = 0) {
  if (depth > kMaxDepth) return false;
  nodes.push_back(&node);
  if (!node.is_structured()) return true;
  for (Json& child : node) {
    if (!collect(child, nodes, depth + 1)) return false;
  }
  return true;
}

/// What checks are forgotten for: ends of ranges, other types, nothing at all.
Json edge_value(Random& random) {
  static const Json kValues =
      Json::parse(R"([0, 1, -1, 2, 0.0, 0.5, 1e300, -1e300, 2147483647, 2147483648, 4294967295,
      8589934592, 9223372036854775807, 9223372036854775808, 18446744073709551615, -9223372036854775808, null, true,
      false, "", "x", [], {}, [1]])");
  return kValues[pick(random, kValues.size())];
}

void add_member(Json& container, const Json& value, const Json& other, Random& random) {
  if (container.is_array()) {
    container.push_back(value);
  } else if (other.is_object() && !other.empty()) {  // a key that some object has is likely to mean something
    const auto from = std::next(other.begin(), static_cast<ptrdiff_t>(pick(random, other.size())));
    const std::string key = from.key();
    container[key] = value;
  }
}

/// One change somewhere in the tree.
bool mutate(Json& root, Random& random) {
  std::vector<Json*> nodes, numbers, containers;
  if (!collect(root, nodes) || nodes.size() < 2) return false;
  for (Json* node : nodes) {
    if (node->is_number()) numbers.push_back(node);
    if (node->is_structured() && !node->empty()) containers.push_back(node);
  }
  const auto any = [&](const std::vector<Json*>& of) -> Json& { return *of[pick(random, of.size())]; };
  Json& node = *nodes[1 + pick(random, nodes.size() - 1)];  // never the root
  const Json other = any(nodes);
  Json& container = any(containers);
  switch (pick(random, numbers.empty() ? 4 : 6)) {
    case 0:
      node = edge_value(random);
      break;
    case 1:
      if (!node.is_structured()) node = other;
      break;
    case 2:
      container.erase(std::next(container.begin(), static_cast<ptrdiff_t>(pick(random, container.size()))));
      break;
    case 3:
      add_member(container, other, any(containers), random);
      break;
    case 4: {  // a number that another one is the bound of
      const Json number = any(numbers);
      any(numbers) = number;
      break;
    }
    default: {  // a bound that is off by one
      Json& number = any(numbers);
      if (number.is_number_integer() && number > INT64_MIN / 2 && number < INT64_MAX / 2) {
        number = number.get<int64_t>() + (pick(random, 2) == 0 ? 1 : -1);
      } else {
        number = edge_value(random);
      }
    }
  }
  return true;
}

/// Begin and end of the part to mutate; nothing where no part is JSON.
bool find_part(std::string_view input, Random& random, size_t& begin, size_t& end, Json& tree) {
  std::vector<std::pair<size_t, size_t>> parts;
  for (size_t at = 0; at < input.size();) {
    const size_t stop = std::min(input.find('\0', at), input.size());
    if (stop - at >= 2) parts.emplace_back(at, stop);
    at = stop + 1;
  }
  if (parts.empty()) return false;
  std::tie(begin, end) = parts[pick(random, parts.size())];
  tree = Json::parse(input.substr(begin, end - begin), nullptr, false);
  return tree.is_structured();
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  Random random(seed);
  random.discard(1);
  if (pick(random, 2) == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::string input(reinterpret_cast<const char*>(data), size);
  size_t begin = 0, end = 0;
  Json tree;
  if (!find_part(input, random, begin, end, tree)) return LLVMFuzzerMutate(data, size, max_size);
  for (size_t left = 1 + pick(random, 3); left > 0; --left) {
    if (!mutate(tree, random)) return LLVMFuzzerMutate(data, size, max_size);
  }
  const std::string text = tree.dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::string output = input.substr(0, begin) + text + input.substr(end);
  if (output.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, output.data(), output.size());
  return output.size();
}
