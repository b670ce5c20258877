// For tests: what the stress test feeds the engine with, drawn from one seed: options, tenants, requests.
//
// Prompts come from a few stems, declared prefixes and earlier answers, so that prefix hits are common;
// caches are tiny, so that preemptions are. Weights are powers of two and deadlines no round numbers: so the
// twin's sums and the engine's are the same whatever their order, and no comparison is decided by the last
// bit.
#pragma once

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/test_support.h"

namespace hadal::testing {

/// Collects what came for each choice, in order; `clock` counts the events of all requests.
class StressSink : public OutputSink {
 public:
  struct Event {
    int32_t choice = 0;
    std::vector<int32_t> ids;
    FinishReason finish = FinishReason::kNone;
    ErrorKind error = ErrorKind::kNone;
    int32_t cached_tokens = 0;
    int64_t time = 0;
    std::string why;
  };
  StressSink(std::vector<Event>* events, int64_t* clock) : events_(events), clock_(clock) {}
  void deliver(RequestOutput output) override {
    Event event{output.choice,        {},        output.finish,          output.error_kind,
                output.cached_tokens, ++*clock_, output.error.ToString()};
    for (const OutputToken& token : output.tokens) event.ids.push_back(token.id);
    events_->push_back(std::move(event));
  }

 private:
  std::vector<Event>* events_;
  int64_t* clock_;
};

class StressWorkload {
 public:
  explicit StressWorkload(uint64_t seed) : random_(seed) {
    draw_cache();
    draw_budget();
    draw_policy();
    draw_stems();
    draw_tenants();
  }

  RunnerInfo info;
  EngineOptions options;
  ToyForms forms() const {
    return options.exact && info.forms_differ ? ToyForms::kMatter : ToyForms::kAreAlike;
  }

  uint64_t pick(uint64_t below) { return random_() % below; }
  bool one_in(uint64_t count) { return pick(count) == 0; }
  int32_t between(int32_t from, int32_t to) {
    return from + static_cast<int32_t>(pick(static_cast<uint64_t>(to - from + 1)));
  }

  /// A request without sink. `now`: for deadlines.
  EngineRequest draw_request(MonotonicTime now) {
    EngineRequest request;
    request.tenant = names_[pick(names_.size())];
    request.prompt_ids = draw_prompt();
    request.sampling.seed = random_();
    request.stop.max_tokens = between(1, one_in(2) ? 30 : 12);
    if (one_in(3)) request.stop.stop_token_ids = {between(0, 96), between(0, 96)};
    if (one_in(3)) request.stop.min_tokens = between(0, request.stop.max_tokens);
    if (one_in(3)) request.priority = between(-2, 2);
    if (one_in(10)) request.cache_salt = one_in(2) ? "salt" : "other";
    if (one_in(10)) request.return_prompt_logits = true;
    if (one_in(5)) {
      request.num_choices = between(1, options.max_num_seqs);
    } else if (one_in(6)) {
      draw_resume(request);
    }
    if (one_in(6)) {
      const int64_t ms = one_in(3) ? between(-20, 80) : 60000;
      request.deadline = now + std::chrono::milliseconds(ms) + std::chrono::microseconds(371);
    }
    return request;
  }

  std::vector<int32_t> expected(const EngineRequest& request, int32_t choice) const {
    return expected_tokens(info, request.prompt_ids, request.sampling, choice, request.stop.max_tokens,
                           request.stop.stop_token_ids, request.stop.min_tokens, forms());
  }
  /// A whole text that later prompts may go on with.
  void remember(std::vector<int32_t> text) {
    if (texts_.size() < 8) texts_.emplace_back();
    texts_[pick(texts_.size())] = std::move(text);
  }

 private:
  void draw_cache() {
    info = toy_info(between(8, 26), between(1, 6));
    info.max_model_len = 60;
    if (one_in(3)) info.groups.push_back({"window", between(1, 5), between(12, 40), between(1, 12)});
    options.prefix_caching = !one_in(8);
    options.exact = one_in(2);
    info.forms_differ = !one_in(3);
    options.salt_tenants = !one_in(4);
    options.eviction = one_in(2) ? EvictionPolicy::kLru : EvictionPolicy::kReuse;
    options.hash_secret = random_();
  }
  void draw_budget() {
    options.max_num_seqs = between(1, 8);
    options.max_num_batched_tokens = options.max_num_seqs + between(0, 29);
    info.max_rows_per_step = options.max_num_seqs + between(0, 2);
    if (one_in(5)) options.chunk = between(1, options.max_num_batched_tokens);
    if (options.chunk == 0 && one_in(4)) options.long_prefill_token_threshold = between(1, 12);
  }
  void draw_policy() {
    if (one_in(6)) options.policy = one_in(2) ? SchedulingPolicy::kFcfs : SchedulingPolicy::kStatic;
    if (one_in(4)) options.output_token_cost = 1.0;
  }
  void draw_stems() {
    for (int32_t i = 0; i < 4; ++i) stems_.push_back(draw_tokens(between(6, 45)));
    for (uint64_t i = pick(3); i > 0 && one_in(2); --i) {
      options.shared_prefixes.push_back(draw_tokens(between(2, 14)));
      if (most_floors() < 4) {  // leave the tenants something
        options.shared_prefixes.pop_back();
        continue;
      }
      stems_.insert(stems_.end(), 3, options.shared_prefixes.back());
    }
  }
  void draw_tenants() {
    const auto weight = [this] { return 0.25 * static_cast<double>(1 << pick(5)); };
    const auto limits = [&](TenantSettings& tenant) {
      tenant.weight = weight();
      if (one_in(4)) tenant.kv_ceiling = between(8, 16) / 16.0;
      if (one_in(4)) tenant.max_running = between(1, options.max_num_seqs);
    };
    limits(options.default_tenant);
    int32_t floors_left = most_floors();
    for (uint64_t i = one_in(6) ? 0 : 1 + pick(4); i > 0; --i) {
      TenantSettings tenant;
      tenant.name = "tenant " + std::to_string(i);
      limits(tenant);
      if (!one_in(3)) tenant.kv_floor = between(1, std::clamp(floors_left, 1, 8)) / 16.0;
      tenant.kv_floor = std::min(tenant.kv_floor, std::min(floors_left / 16.0, tenant.kv_ceiling));
      floors_left -= static_cast<int32_t>(tenant.kv_floor * 16);
      names_.push_back(tenant.name);
      options.tenants.push_back(std::move(tenant));
    }
    names_.emplace_back();
    if (one_in(3)) names_.emplace_back("a guest");
  }
  /// What tenants' floors may sum to beside the declared prefixes, in sixteenths.
  int32_t most_floors() const {
    int32_t most = 15;
    for (const RunnerCacheGroup& group : info.groups) {
      int32_t left = group.num_blocks - 1;
      for (const auto& prefix : options.shared_prefixes)
        left -= static_cast<int32_t>(prefix.size()) / group.block_tokens;
      most = std::min(most, left * 16 / (group.num_blocks - 1) - 1);
    }
    return std::max(0, most);
  }

  std::vector<int32_t> draw_tokens(int32_t count) {
    std::vector<int32_t> out;
    for (int32_t i = 0; i < count; ++i) out.push_back(between(0, 96));
    return out;
  }
  std::vector<int32_t> draw_prompt() {
    const bool goes_on = !texts_.empty() && one_in(4);
    std::vector<int32_t> prompt = goes_on ? texts_[pick(texts_.size())] : stems_[pick(stems_.size())];
    if (one_in(2)) prompt.resize(1 + pick(prompt.size() + 1), 7);
    if (prompt.size() > 52) prompt.resize(52);
    const std::vector<int32_t> tail = draw_tokens(one_in(3) ? 0 : between(0, 7));
    prompt.insert(prompt.end(), tail.begin(), tail.end());
    return prompt.empty() ? draw_tokens(1) : prompt;
  }
  /// The beginning of what the request gives, as if another engine had made it.
  void draw_resume(EngineRequest& request) {
    const std::vector<int32_t> all = expected(request, 0);
    request.resume_ids.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(pick(all.size() + 1)));
    request.return_prompt_logits = false;
  }

  std::mt19937_64 random_;
  std::vector<std::vector<int32_t>> stems_, texts_;
  std::vector<std::string> names_;
};

}  // namespace hadal::testing
