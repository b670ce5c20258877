// Who shares the engine: names, weights and limits, and the virtual token counters of the fair share
// (docs/contracts/scheduler.md).
//
// TenantTable gives names their numbers; any thread may ask. Tenants that nobody declared get the default
// settings, up to kMaxTenants names; all further ones share the tenant "other". Numbers are dense and never
// reused.
//
// FairClock holds the counters; it is the engine thread's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"

namespace hadal {

using TenantId = int32_t;
inline constexpr TenantId kDefaultTenant = 0;  // of requests without a tenant; its name is ""

struct TenantSettings {
  std::string name;
  double weight = 1.0;      // > 0
  double kv_floor = 0.0;    // share of every cache group's blocks that is guaranteed
  double kv_ceiling = 1.0;  // most it may use
  int32_t max_running = 0;  // sequences; 0: no limit of its own
  int32_t max_queued = 0;   // requests; 0: no limit of its own
};

class TenantTable {
 public:
  static constexpr int32_t kMaxTenants = 1000;

  /// `defaults`: of tenants that are not declared (its name is ignored, its floor must be 0).
  /// Errors: invalid_argument (weights, shares, floors over 1 together, a name twice, too many).
  static StatusOr<std::unique_ptr<TenantTable>> create(const std::vector<TenantSettings>& declared,
                                                       const TenantSettings& defaults);

  /// The number of a name; a new one if there is room.
  TenantId find_or_add(const std::string& name) EXCLUDES(mutex_);
  TenantSettings settings(TenantId tenant) const EXCLUDES(mutex_);
  int32_t size() const EXCLUDES(mutex_);

 private:
  explicit TenantTable(const TenantSettings& defaults) : defaults_(defaults) {}
  TenantSettings defaults_;
  mutable Mutex mutex_;
  std::map<std::string, TenantId> ids_ GUARDED_BY(mutex_);
  std::vector<TenantSettings> settings_ GUARDED_BY(mutex_);
};

/// Virtual token counters: what each tenant has been served, over its weight.
class FairClock {
 public:
  void add_tenant(double weight);
  /// A request came (or came back to life) of a tenant that may have been idle.
  void arrive(TenantId tenant);
  /// A request of the tenant ended.
  void leave(TenantId tenant);
  void charge(TenantId tenant, double virtual_tokens);  // already divided by the weight

  bool active(TenantId tenant) const { return tenants_[static_cast<size_t>(tenant)].requests > 0; }
  double counter(TenantId tenant) const { return tenants_[static_cast<size_t>(tenant)].counter; }
  double weight(TenantId tenant) const { return tenants_[static_cast<size_t>(tenant)].weight; }
  int32_t size() const { return static_cast<int32_t>(tenants_.size()); }

 private:
  void advance();  // virtual time to the lowest counter of active tenants
  struct Tenant {
    double weight = 1.0, counter = 0.0;
    int64_t requests = 0;
  };
  std::vector<Tenant> tenants_;
  double virtual_time_ = 0.0;
};

}  // namespace hadal
