// hadal bench load MODEL: from files to a device, beside the bandwidth of either.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/engine_options.h"
#include "lab/load_speed.h"
#include "server/device_choice.h"
#include "tensor/hub_cache.h"

namespace hadal {
namespace {

struct LoadArguments {
  EngineConfig engine;
  LoadSpeedOptions speed;
  bool as_json = false;
};

void print_row(const char* name, const LoadSpeed& speed, double to_device) {
  std::printf("%-5s %10.2f %20.2f %10.2f %8.2f %14.0f%% %14.0f%%\n", name, speed.file_gb_per_s, to_device,
              speed.load_gb_per_s, speed.load_s, 100 * speed.ratio, 100 * speed.cached_share);
}

void print_table(const LoadSpeedReport& report) {
  std::printf("%s, %.2f GB in %d files, %d readers\n", report.device.c_str(),
              static_cast<double>(report.bytes) * 1e-9, report.files, report.readers);
  std::printf("%-5s %10s %20s %10s %8s %15s %15s\n", "", "file GB/s", "host to device GB/s", "load GB/s",
              "load s", "of the lower", "cached before");
  print_row("cold", report.cold, report.host_to_device_gb_per_s);
  print_row("warm", report.warm, report.host_to_device_gb_per_s);
}

nlohmann::ordered_json to_json(const LoadSpeed& speed) {
  return {{"file_gb_per_s", speed.file_gb_per_s},
          {"load_gb_per_s", speed.load_gb_per_s},
          {"load_s", speed.load_s},
          {"cached_share", speed.cached_share},
          {"share_of_the_lower_bandwidth", speed.ratio}};
}

nlohmann::ordered_json to_json(const LoadSpeedReport& report) {
  return {{"device", report.device},
          {"bytes", report.bytes},
          {"files", report.files},
          {"readers", report.readers},
          {"host_to_device_gb_per_s", report.host_to_device_gb_per_s},
          {"cold", to_json(report.cold)},
          {"warm", to_json(report.warm)}};
}

Status run(LoadArguments& arguments) {
  const EngineConfig& engine = arguments.engine;
  ASSIGN_OR_RETURN(const ResolvedModel model, resolve_model(engine.model));
  ASSIGN_OR_RETURN(const ModelConfig config, load_model_config(model.folder));
  arguments.speed.folder = model.folder;
  ASSIGN_OR_RETURN(arguments.speed.compute, compute_dtype(engine.dtype, config));
  ASSIGN_OR_RETURN(const std::shared_ptr<Device> device,
                   choose_device({.name = engine.device, .options = {.threads = engine.threads}}));
  ASSIGN_OR_RETURN(const LoadSpeedReport found, measure_loading(device, config, arguments.speed));
  if (arguments.as_json) {
    std::printf("%s\n", to_json(found).dump(2).c_str());
  } else {
    print_table(found);
  }
  return OkStatus();
}

}  // namespace

int run_bench_load(const Arguments& arguments) {
  LoadArguments options;
  OptionTable table(
      "hadal bench load",
      "Measures how fast a checkpoint's weights come to a GPU, beside what its files and the way "
      "to the device give: cold (the files are taken out of the page cache first) and warm.");
  add_model_option(table, options.engine);
  table.option("--device", &options.engine.device, "where to load; a CPU reads weights in place",
               {"auto", "cpu", "cuda", "ref"});
  table.option("--dtype", &options.engine.dtype, "dtype of activations and matrix products",
               {"auto", "float32", "bfloat16"});
  table.option("--rounds", &options.speed.rounds, "rounds of each kind; the medians are shown");
  table.option("--readers", &options.speed.readers,
               "threads that read the files for their own figure; 0: as many as cores, from 4 to 16");
  table.option("--json", &options.as_json, "as one JSON object");
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  return report(run(options));
}

}  // namespace hadal
