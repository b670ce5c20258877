// For tests of runners: devices by name, and plans.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "device/testing/deferred_backend.h"
#include "kvcache/block_math.h"
#include "runner/device_runner.h"

namespace hadal::testing {

/// "ref", "cpu", or "deferred_ref", "deferred_cpu": the same as a GPU would be.
inline std::shared_ptr<Device> open_device(const std::string& name) {
  const std::string deferred = "deferred_";
  auto device = name.rfind(deferred, 0) == 0
                    ? Device::open(deferred_backend(name.substr(deferred.size())), {.threads = 2})
                    : Device::open(name, {.threads = 2});
  EXPECT_TRUE(device.ok()) << device.status();
  return *device;
}
inline bool is_deferred(const Device& device) { return device.backend_name() == "deferred"; }

inline DeviceRunnerOptions small_options() {
  DeviceRunnerOptions options;
  options.block_tokens = 4;
  options.num_blocks = 60;
  options.max_rows = 8;
  options.model.compute = DType::kF32;
  options.model.cache = DType::kF32;
  options.model.max_tokens = 48;
  options.model.max_logit_rows = 48;
  options.model.max_model_len = 96;
  return options;
}

inline std::vector<int32_t> prompt_of(int32_t size, int32_t salt = 0) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < size; ++i) ids.push_back((i * 37 + salt * 11 + 3) % 61);
  return ids;
}

/// Block tables for a sequence: `stride` spreads sequences over the pool, so that tables are neither dense
/// nor sorted.
inline std::vector<std::vector<int32_t>> tables_for(const Runner& runner, int32_t tokens, int32_t sequence) {
  std::vector<std::vector<int32_t>> tables;
  for (const RunnerCacheGroup& group : runner.info().groups) {
    std::vector<int32_t>& table = tables.emplace_back();
    const int32_t usable = group.num_blocks - 1;
    for (int32_t i = 0; i < blocks_for(tokens, group.block_tokens); ++i) {
      table.push_back(1 + (sequence * 13 + i * 7) % usable);
    }
  }
  return tables;
}

inline StepRow row_of(const Runner& runner, int32_t sequence, const std::vector<int32_t>& ids, int32_t from,
                      int32_t to, TokenForm form, LogitsWanted logits) {
  StepRow row;
  row.sequence = static_cast<SequenceId>(sequence);
  row.form = form;
  row.first_position = from;
  row.tokens.assign(ids.begin() + from, ids.begin() + to);
  row.block_table = tables_for(runner, to, sequence);
  row.logits = logits;
  if (logits == LogitsWanted::kSampleLast) {
    auto params = std::make_shared<SamplingParams>();
    params->temperature = 0;
    row.sampling = params;
  }
  return row;
}

inline StepResult run_plan(Runner& runner, StepPlan plan) {
  const StatusOr<Runner::Ticket> ticket = runner.launch(plan);
  EXPECT_TRUE(ticket.ok()) << ticket.status();
  if (!ticket.ok()) return {};
  StatusOr<StepResult> result = runner.collect(*ticket);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? std::move(*result) : StepResult{};
}

/// Logits of every token of a prompt, computed in pieces of `piece`.
inline std::vector<float> prompt_logits(Runner& runner, const std::vector<int32_t>& ids, int32_t piece,
                                        int32_t sequence) {
  std::vector<float> all;
  const auto size = static_cast<int32_t>(ids.size());
  for (int32_t at = 0; at < size; at += piece) {
    StepPlan plan;
    plan.rows = {row_of(runner, sequence, ids, at, std::min(size, at + piece), TokenForm::kPrompt,
                        LogitsWanted::kReturnAll)};
    const StepResult result = run_plan(runner, plan);
    if (result.rows.empty()) return {};
    all.insert(all.end(), result.rows[0].logits.begin(), result.rows[0].logits.end());
  }
  return all;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace hadal::testing
