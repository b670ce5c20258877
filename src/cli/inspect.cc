// hadal inspect MODEL [--json]
#include "lab/inspect.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/engine_options.h"

namespace hadal {
namespace {

nlohmann::ordered_json to_json(const CheckpointReport& report) {
  nlohmann::ordered_json json;
  json["folder"] = report.folder;
  json["architecture"] = architecture_name(report.config.architecture);
  json["model_type"] = report.config.model_type;
  json["layers"] = report.config.layers;
  json["parameters"] = report.parameters;
  json["active_parameters"] = report.active_parameters;
  json["mtp_parameters"] = report.mtp_parameters;
  json["weight_bytes"] = report.weight_bytes;
  json["bytes_by_dtype"] = report.bytes_by_dtype;
  json["cache_bytes_per_token"] = report.cache_bytes_per_token;
  json["max_model_len"] = report.max_model_len;
  json["memory_bytes"] = report.memory_bytes;
  json["compute_dtype"] = std::string(dtype_name(report.compute));
  json["cache_dtype"] = std::string(dtype_name(report.cache));
  json["device"] = report.device;
  json["kernels"] = report.kernels;
  return json;
}

}  // namespace

int run_inspect(const Arguments& arguments) {
  EngineConfig config;
  bool as_json = false;
  OptionTable table(
      "hadal inspect",
      "Shows a checkpoint's architecture, parameters, bytes of cache a token, the memory it needs, and which "
      "kernels run it here (seen in a trial step through its first layers).");
  add_model_option(table, config);
  add_device_options(table, config);
  table.option("--max-model-len", &config.max_model_len,
               "context that the memory figure is for; 0: the model's");
  table.option("--json", &as_json, "as one JSON object");
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  const auto found = inspect_checkpoint(config);
  if (!found.ok()) return report(found.status());
  std::printf("%s", as_json ? (to_json(*found).dump(2) + "\n").c_str() : to_text(*found).c_str());
  return kExitOk;
}

}  // namespace hadal
