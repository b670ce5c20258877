// The file of --tenants: who shares the engine, and which prefixes all of them share.
//
//   {"tenants": [{"name": "search", "weight": 2, "kv_floor": 0.2, "kv_ceiling": 0.6, "max_running": 16,
//   "max_queued": 64}],
//    "default": {"weight": 1, "kv_ceiling": 0.5, "max_running": 8, "max_queued": 32},
//    "shared_prefixes": [{"system": "You are a helpful assistant."}, {"text": "Once upon"}, {"token_ids": [1,
//    2, 3]}]}
//
// All members may be left out; what they mean is said in engine/tenants.h. The file is read strictly: an
// unknown member, one given twice or a value out of range is an error that names its place, since a share
// that is misspelt would silently be another. Bytes are not trusted (fuzz/tenants_fuzz.cc).
//
// Threads: any. Errors: invalid_argument.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/tenants.h"

namespace hadal {

/// A prefix as it is declared; server/shared_prefixes.h makes token ids of it.
struct SharedPrefix {
  enum class Kind : uint8_t { kSystem, kText, kTokenIds };
  Kind kind = Kind::kText;
  std::string text;                // kSystem, kText
  std::vector<int32_t> token_ids;  // kTokenIds
};

struct TenantsFile {
  std::vector<TenantSettings> tenants;
  TenantSettings default_tenant;
  std::vector<SharedPrefix> shared_prefixes;
};

inline constexpr size_t kMaxTenantNameBytes = 256;
inline constexpr size_t kMaxSharedPrefixes = 256;

/// May a tenant be called this: 1 to kMaxTenantNameBytes bytes, printable ASCII without blanks at its ends?
bool valid_tenant_name(std::string_view name);

StatusOr<TenantsFile> parse_tenants(std::string_view json);

}  // namespace hadal
