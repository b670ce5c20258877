#include "server/tenants_file.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "openai/json_reader.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;
constexpr size_t kMaxPrefixTokens = size_t{1} << 20;
constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

std::string shown(std::string_view text) { return std::string(text.substr(0, 60)); }

Status wrong(const std::string& place, const char* wanted) {
  return invalid_argument("{} must be {}", place, wanted);
}

StatusOr<std::string> read_text(const Json& value, const std::string& place) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty())
    return wrong(place, "a string that is not empty");
  return value.get<std::string>();
}

StatusOr<double> read_share(const Json& value, const std::string& place) {
  if (!value.is_number()) return wrong(place, "a number from 0 to 1");
  const auto share = value.get<double>();
  if (!(share >= 0.0 && share <= 1.0)) return wrong(place, "a number from 0 to 1");
  return share;
}

StatusOr<double> read_weight(const Json& value, const std::string& place) {
  // far from where counters would lose their last tokens; the engine's own limits
  constexpr double kLeast = 1e-3, kMost = 1e6;
  if (!value.is_number()) return wrong(place, "a number over 0");
  const auto weight = value.get<double>();
  if (!(weight >= kLeast && weight <= kMost)) return wrong(place, "a number from 0.001 to 1000000");
  return weight;
}

StatusOr<int32_t> read_count(const Json& value, const std::string& place) {
  const char* kWanted = "a whole number from 0 (no limit) to 2147483647";
  if (!value.is_number_integer()) return wrong(place, kWanted);
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(kMaxInt32))
    return wrong(place, kWanted);
  const auto count = value.get<int64_t>();
  if (count < 0 || count > kMaxInt32) return wrong(place, kWanted);
  return static_cast<int32_t>(count);
}

StatusOr<std::string> read_name(const Json& value, const std::string& place) {
  if (!value.is_string() || !valid_tenant_name(value.get_ref<const std::string&>()))
    return wrong(place, "a name of 1 to 256 printable ASCII characters, no blank at its ends");
  return value.get<std::string>();
}

Status read_member(const std::string& key, const Json& value, const std::string& place,
                   TenantSettings& settings) {
  if (key == "weight") {
    ASSIGN_OR_RETURN(settings.weight, read_weight(value, place));
  } else if (key == "kv_ceiling") {
    ASSIGN_OR_RETURN(settings.kv_ceiling, read_share(value, place));
  } else if (key == "max_running") {
    ASSIGN_OR_RETURN(settings.max_running, read_count(value, place));
  } else if (key == "max_queued") {
    ASSIGN_OR_RETURN(settings.max_queued, read_count(value, place));
  } else if (key == "kv_floor") {
    ASSIGN_OR_RETURN(settings.kv_floor, read_share(value, place));
  } else if (key == "name") {
    ASSIGN_OR_RETURN(settings.name, read_name(value, place));
  } else {
    return invalid_argument(
        "{} is not known; a tenant has name, weight, kv_floor, kv_ceiling, max_running and max_queued",
        place);
  }
  return OkStatus();
}

StatusOr<TenantSettings> read_tenant(const Json& value, const std::string& place) {
  if (!value.is_object()) return wrong(place, "an object");
  TenantSettings settings;
  for (const auto& [key, member] : value.items())
    RETURN_IF_ERROR(read_member(key, member, place + "." + shown(key), settings));
  if (settings.kv_ceiling <= 0.0 || settings.kv_floor > settings.kv_ceiling)
    return wrong(place + ".kv_ceiling", "over 0 and not under kv_floor");
  return settings;
}

Status read_default(const Json& value, TenantSettings& settings) {
  if (value.is_object()) {
    // a floor for everybody who may turn up would promise more blocks than there are
    if (value.contains("kv_floor"))
      return invalid_argument("default.kv_floor: only declared tenants have a floor");
    if (value.contains("name")) return invalid_argument("default.name: the default has no name");
  }
  ASSIGN_OR_RETURN(settings, read_tenant(value, "default"));
  return OkStatus();
}

Status read_tenants(const Json& value, std::vector<TenantSettings>& tenants) {
  if (!value.is_array()) return wrong("tenants", "a list");
  constexpr int32_t kMost = TenantTable::kMaxTenants - 2;  // beside the default one and "other"
  if (value.size() > static_cast<size_t>(kMost))
    return invalid_argument("tenants: at most {} may be declared", kMost);
  std::set<std::string> names;
  double floors = 0.0;
  for (size_t index = 0; index < value.size(); ++index) {
    const std::string place = fmt::format("tenants[{}]", index);
    ASSIGN_OR_RETURN(TenantSettings settings, read_tenant(value[index], place));
    if (settings.name.empty()) return invalid_argument("{}.name is required", place);
    if (!names.insert(settings.name).second)
      return invalid_argument("{}.name: '{}' is there twice", place, settings.name);
    floors += settings.kv_floor;
    tenants.push_back(std::move(settings));
  }
  if (floors > 1.0 + 1e-9) return invalid_argument("tenants: the kv_floors together are {}, over 1", floors);
  return OkStatus();
}

StatusOr<std::vector<int32_t>> read_ids(const Json& value, const std::string& place) {
  if (!value.is_array() || value.empty() || value.size() > kMaxPrefixTokens)
    return wrong(place, "a list of token ids that is not empty");
  std::vector<int32_t> ids;
  for (size_t index = 0; index < value.size(); ++index) {
    if (!value[index].is_number_integer()) return wrong(fmt::format("{}[{}]", place, index), "a token id");
    ASSIGN_OR_RETURN(const int32_t id, read_count(value[index], fmt::format("{}[{}]", place, index)));
    ids.push_back(id);
  }
  return ids;
}

StatusOr<SharedPrefix> read_prefix(const Json& value, const std::string& place) {
  const char* kWanted = "an object with one of system, text and token_ids";
  if (!value.is_object() || value.size() != 1) return wrong(place, kWanted);
  const std::string key = value.begin().key();
  const std::string member = place + "." + shown(key);
  SharedPrefix prefix;
  if (key == "token_ids") {
    prefix.kind = SharedPrefix::Kind::kTokenIds;
    ASSIGN_OR_RETURN(prefix.token_ids, read_ids(value.begin().value(), member));
  } else if (key == "system" || key == "text") {
    prefix.kind = key == "system" ? SharedPrefix::Kind::kSystem : SharedPrefix::Kind::kText;
    ASSIGN_OR_RETURN(prefix.text, read_text(value.begin().value(), member));
  } else {
    return invalid_argument("{} is not known; a shared prefix has one of system, text and token_ids", member);
  }
  return prefix;
}

Status read_prefixes(const Json& value, std::vector<SharedPrefix>& prefixes) {
  if (!value.is_array()) return wrong("shared_prefixes", "a list");
  if (value.size() > kMaxSharedPrefixes)
    return invalid_argument("shared_prefixes: at most {} may be declared", kMaxSharedPrefixes);
  for (size_t index = 0; index < value.size(); ++index) {
    ASSIGN_OR_RETURN(SharedPrefix prefix,
                     read_prefix(value[index], fmt::format("shared_prefixes[{}]", index)));
    prefixes.push_back(std::move(prefix));
  }
  return OkStatus();
}

}  // namespace

bool valid_tenant_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxTenantNameBytes || name.front() == ' ' || name.back() == ' ')
    return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

StatusOr<TenantsFile> parse_tenants(std::string_view json) {
  Json tree;
  if (const auto error = openai::read_json(json, {.max_depth = 8}, &tree)) {
    std::string message = error->message;  // made for a request
    if (const size_t body = message.find("the body"); body != std::string::npos)
      message.replace(body, 8, "the file");
    return invalid_argument("{}", message);
  }
  if (!tree.is_object())
    return invalid_argument("a JSON object of tenants, default and shared_prefixes is wanted");
  TenantsFile file;
  for (const auto& [key, value] : tree.items()) {
    if (key == "tenants") {
      RETURN_IF_ERROR(read_tenants(value, file.tenants));
    } else if (key == "default") {
      RETURN_IF_ERROR(read_default(value, file.default_tenant));
    } else if (key == "shared_prefixes") {
      RETURN_IF_ERROR(read_prefixes(value, file.shared_prefixes));
    } else {
      return invalid_argument("{} is not known; there are tenants, default and shared_prefixes", shown(key));
    }
  }
  return file;
}

}  // namespace hadal
