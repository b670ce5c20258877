// The options that every command with an engine takes.
#pragma once

#include "cli/options.h"
#include "server/engine_loader.h"

namespace hadal {

void add_model_option(OptionTable& table, EngineConfig& config);
void add_device_options(OptionTable& table, EngineConfig& config);
void add_capacity_options(OptionTable& table, EngineConfig& config);
/// How requests of many share the engine: queue, policy, tenants, prefix cache, watchdog.
void add_sharing_options(OptionTable& table, EngineConfig& config);

}  // namespace hadal
