// The file of --tenants: what is accepted must be within the ranges that the engine's tables rely on.
// deps: hadal_server
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string_view>

#include "server/tenants_file.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_settings(const hadal::TenantSettings& settings) {
  require(settings.weight > 0 && settings.weight <= 1e6);
  require(settings.kv_floor >= 0 && settings.kv_floor <= settings.kv_ceiling && settings.kv_ceiling <= 1);
  require(settings.kv_ceiling > 0 && settings.max_running >= 0 && settings.max_queued >= 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = hadal::parse_tenants({reinterpret_cast<const char*>(data), size});
  if (!file.ok()) {
    require(!hadal::message_of(file.status()).empty());
    return 0;
  }
  std::set<std::string> names;
  double floors = 0;
  for (const hadal::TenantSettings& tenant : file->tenants) {
    check_settings(tenant);
    require(hadal::valid_tenant_name(tenant.name) && names.insert(tenant.name).second);
    floors += tenant.kv_floor;
  }
  require(floors <= 1.0 + 1e-6);
  check_settings(file->default_tenant);
  require(file->default_tenant.name.empty() && file->default_tenant.kv_floor == 0);
  for (const hadal::SharedPrefix& prefix : file->shared_prefixes) {
    require(prefix.text.empty() == (prefix.kind == hadal::SharedPrefix::Kind::kTokenIds));
    require(prefix.token_ids.empty() == (prefix.kind != hadal::SharedPrefix::Kind::kTokenIds));
    for (const int32_t id : prefix.token_ids) require(id >= 0);
  }
  return 0;
}
