#include "engine/tenants.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace hadal {
namespace {

constexpr const char* kOverflowName = "other";

Status check_settings(const TenantSettings& one) {
  const auto share = [](double value) { return std::isfinite(value) && value >= 0 && value <= 1; };
  if (!std::isfinite(one.weight) || one.weight < 1e-3 || one.weight > 1e6) {
    return invalid_argument("tenant '{}': weight {} must lie between 0.001 and 1000000", one.name,
                            one.weight);
  }
  if (!share(one.kv_floor) || !share(one.kv_ceiling)) {
    return invalid_argument("tenant '{}': kv_floor {} and kv_ceiling {} must be shares between 0 and 1",
                            one.name, one.kv_floor, one.kv_ceiling);
  }
  if (one.kv_floor > one.kv_ceiling) {
    return invalid_argument("tenant '{}': kv_floor {} is over kv_ceiling {}", one.name, one.kv_floor,
                            one.kv_ceiling);
  }
  if (one.max_running < 0 || one.max_queued < 0) {
    return invalid_argument("tenant '{}': max_running and max_queued must not be negative", one.name);
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<TenantTable>> TenantTable::create(const std::vector<TenantSettings>& declared,
                                                           const TenantSettings& defaults) {
  RETURN_IF_ERROR(check_settings(defaults));
  if (defaults.kv_floor > 0) {
    return invalid_argument(
        "default tenant: kv_floor must be 0, since tenants without a declaration are any number");
  }
  std::unique_ptr<TenantTable> table(new TenantTable(defaults));
  double floors = 0.0;
  bool declares_default = false;
  for (const TenantSettings& one : declared) declares_default |= one.name.empty();
  MutexLock lock(table->mutex_);
  if (!declares_default) {
    table->ids_[""] = kDefaultTenant;
    table->settings_.push_back(defaults);
    table->settings_.back().name.clear();
  }
  for (int pass = 0; pass < 2; ++pass) {  // the nameless one is number 0
    for (const TenantSettings& one : declared) {
      if (one.name.empty() != (pass == 0)) continue;
      RETURN_IF_ERROR(check_settings(one));
      if (one.name.size() > 256)
        return invalid_argument("a tenant's name of {} bytes; at most 256", one.name.size());
      if (!table->ids_.emplace(one.name, static_cast<TenantId>(table->settings_.size())).second) {
        return invalid_argument("tenant '{}' is declared twice", one.name);
      }
      table->settings_.push_back(one);
      floors += one.kv_floor;
    }
  }
  if (table->settings_.size() >= kMaxTenants) {
    return invalid_argument("{} tenants; at most {} can be declared", declared.size(), kMaxTenants - 2);
  }
  if (floors > 1.0 + 1e-9) {
    return invalid_argument("the tenants' kv_floor add up to {}, which is more than the whole cache", floors);
  }
  return table;
}

TenantId TenantTable::find_or_add(const std::string& name) {
  MutexLock lock(mutex_);
  const auto found = ids_.find(name);
  if (found != ids_.end()) return found->second;
  // the last number is for everybody who found no room
  const bool room = settings_.size() + 1 < kMaxTenants;
  const std::string& kept = room ? name : kOverflowName;
  const auto [entry, is_new] = ids_.emplace(kept, static_cast<TenantId>(settings_.size()));
  if (is_new) {
    settings_.push_back(defaults_);
    settings_.back().name = kept;
  }
  return entry->second;
}

TenantSettings TenantTable::settings(TenantId tenant) const {
  MutexLock lock(mutex_);
  return settings_[static_cast<size_t>(tenant)];
}

int32_t TenantTable::size() const {
  MutexLock lock(mutex_);
  return static_cast<int32_t>(settings_.size());
}

void FairClock::add_tenant(double weight) {
  tenants_.emplace_back();
  tenants_.back().weight = weight;
}

void FairClock::arrive(TenantId tenant) {
  advance();
  Tenant& one = tenants_[static_cast<size_t>(tenant)];
  if (one.requests++ == 0) one.counter = std::max(one.counter, virtual_time_);
}

void FairClock::leave(TenantId tenant) {
  advance();
  Tenant& one = tenants_[static_cast<size_t>(tenant)];
  CHECK(one.requests > 0);
  --one.requests;
}

void FairClock::charge(TenantId tenant, double virtual_tokens) {
  tenants_[static_cast<size_t>(tenant)].counter += virtual_tokens;
}

void FairClock::advance() {
  double lowest = -1.0;
  for (const Tenant& one : tenants_) {
    if (one.requests > 0 && (lowest < 0 || one.counter < lowest)) lowest = one.counter;
  }
  virtual_time_ = std::max(virtual_time_, lowest);
}

}  // namespace hadal
