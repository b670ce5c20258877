// How requests come into the core: the core is made, tenants become known, a request gets its sequences and,
// if it is resumed, its output.
#include <algorithm>
#include <random>
#include <utility>

#include "base/check.h"
#include "engine/engine_core.h"

namespace hadal {
namespace {

/// A salt that no other (tenant, salt) has.
std::string salt_of(const std::string* tenant, const std::string& salt) {
  return tenant == nullptr ? "-" + salt : fmt::format("{}:{}{}", tenant->size(), *tenant, salt);
}

/// Tokens of the longest declared prefix that the prompt begins with.
int32_t declared_prefix(const std::vector<std::vector<int32_t>>& prefixes,
                        const std::vector<int32_t>& prompt) {
  size_t longest = 0;
  for (const std::vector<int32_t>& prefix : prefixes) {
    const bool begins =
        prefix.size() <= prompt.size() && std::equal(prefix.begin(), prefix.end(), prompt.begin());
    if (begins) longest = std::max(longest, prefix.size());
  }
  return static_cast<int32_t>(longest);
}

std::pair<uint64_t, uint64_t> draw_secret(const std::optional<uint64_t>& given) {
  if (given) return {*given, ~*given};
  std::random_device device;
  const auto draw = [&device] { return uint64_t{device()} << 32 | device(); };
  const uint64_t high = draw();
  return {high, draw()};
}

}  // namespace

StatusOr<std::unique_ptr<EngineCore>> EngineCore::create(const EngineOptions& options,
                                                         std::unique_ptr<Runner> runner,
                                                         TextStreamFactory make_text,
                                                         std::shared_ptr<EngineObserver> observer,
                                                         const Clock& clock) {
  if (runner == nullptr) return invalid_argument("the engine needs a runner");
  RETURN_IF_ERROR(check_options(options, runner->info()));
  const std::vector<CacheGroupSpec> groups = cache_specs(runner->info());
  const auto [high, low] = draw_secret(options.hash_secret);
  ASSIGN_OR_RETURN(KvCache cache, KvCache::create(groups, {.enabled = options.prefix_caching,
                                                           .exact = options.exact,
                                                           .forms_differ = runner->info().forms_differ,
                                                           .secret_high = high,
                                                           .secret_low = low,
                                                           .policy = options.eviction}));
  ASSIGN_OR_RETURN(CacheShares shares, CacheShares::create(options, groups));
  ASSIGN_OR_RETURN(std::unique_ptr<TenantTable> tenants,
                   TenantTable::create(options.tenants, options.default_tenant));
  if (observer == nullptr) observer = std::make_shared<EngineObserver>();
  return std::unique_ptr<EngineCore>(
      new EngineCore(options, {std::move(runner), std::move(cache), std::move(shares), std::move(tenants)},
                     std::move(make_text), std::move(observer), clock));
}

EngineCore::EngineCore(const EngineOptions& options, Parts parts, TextStreamFactory make_text,
                       std::shared_ptr<EngineObserver> observer, const Clock& clock)
    : options_(options),
      budget_(step_budget(options, parts.runner->info())),
      runner_(std::move(parts.runner)),
      cache_(std::move(parts.cache)),
      shares_(std::move(parts.shares)),
      tenants_(std::move(parts.tenants)),
      make_text_(std::move(make_text)),
      observer_(std::move(observer)),
      clock_(clock) {
  stats_.blocks_total = cache_.accounts().total;
  cache_.set_limits(kSharedAccount, shares_.shared_limits());
  cache_.watch_lives(options.cache_metrics);
  know_tenants();
}

TenantId EngineCore::tenant_of(const EngineRequest& request) const {
  return options_.policy == SchedulingPolicy::kFair ? tenants_->find_or_add(request.tenant) : kDefaultTenant;
}

Status EngineCore::check(const EngineRequest& request) const {
  return check_request(request, tenants_->settings(tenant_of(request)), runner_->info(), budget_, shares_,
                       make_text_ != nullptr);
}

/// Accounts, counters and lists of tenants that have been named since the last time.
void EngineCore::know_tenants() {
  for (TenantId tenant = fair_.size(); tenant < tenants_->size(); ++tenant) {
    const TenantSettings settings = tenants_->settings(tenant);
    CHECK(cache_.add_account(shares_.limits_of(settings)) == account_of_tenant(tenant));
    fair_.add_tenant(settings.weight);
    lists_.add_tenant();
    tenant_limits_.push_back({.max_running = settings.max_running});
    queued_by_tenant_.push_back(0);
    stats_.tenants.push_back({.name = settings.name});
  }
}

SequenceOrigin EngineCore::origin_of(const AcceptedRequest& submission) {
  const EngineRequest& request = submission.request;
  // by name and not by number: policies that know one tenant, and the one that is for all without room, keep
  // prefixes apart, too
  const std::string salt = salt_of(options_.salt_tenants ? &request.tenant : nullptr, request.cache_salt);
  const int32_t shared =
      request.cache_salt.empty() ? declared_prefix(options_.shared_prefixes, request.prompt_ids) : 0;
  return {.first_id = next_sequence_,
          .no_blocks = cache_.new_sequence(account_of_tenant(submission.tenant)),
          .chain = cache_.new_chain(request.prompt_ids, salt, shared, !request.wants_prompt_logits()),
          .vocab = runner_->info().vocab_size,
          .priority = options_.policy == SchedulingPolicy::kFair ? request.priority : 0};
}

void EngineCore::add(AcceptedRequest submission) {
  know_tenants();
  const RequestId id = submission.id;
  const TenantId tenant = submission.tenant;
  const SequenceOrigin origin = origin_of(submission);
  auto state = make_request_state(std::move(submission), origin, make_text_);
  next_sequence_ += state->choices.size();
  for (const auto& choice : state->choices) {
    Sequence& one = choice->sequence;
    one.most_output =
        std::min(state->request.stop.max_tokens, runner_->info().max_model_len - one.prompt_size());
  }
  for (const auto& choice : state->choices) places_[choice->sequence.id] = {state.get(), choice.get()};
  lists_.wait(&state->choices[0]->sequence);
  fair_.arrive(tenant);
  if (queued_ == 0) drained_.restart(clock_.now());
  ++queued_;
  ++queued_by_tenant_[static_cast<size_t>(tenant)];
  queued_tokens_ += state->choices[0]->sequence.prompt_size();
  RequestState& request = *(requests_[id] = std::move(state));
  if (!health_.ok()) {
    end_request(request, FinishReason::kError, health_, ErrorKind::kEngineDead);
    reap();
  } else if (!feed_resumed(request)) {
    reap();
  }
}

/// Gives a resumed request the output that it came with. False if that ended it.
bool EngineCore::feed_resumed(RequestState& request) {
  const std::vector<int32_t> ids = std::exchange(request.request.resume_ids, {});
  Choice& choice = *request.choices[0];
  Sequence& sequence = choice.sequence;
  for (const int32_t id : ids) {
    sequence.append(id);
    cache_.append(sequence.chain, id);
    const auto count = static_cast<int32_t>(sequence.output.size());
    const bool last =
        count >= request.request.stop.max_tokens || sequence.known() >= runner_->info().max_model_len;
    ChoiceText::Added added = choice.text->add(id, count, last);
    request.resumed_text += added.text;
    request.resumed = count;
    if (added.finish == FinishReason::kNone) continue;
    RequestOutput output = make_output(request, choice);
    output.resumed_text = std::exchange(request.resumed_text, {});
    output.finish = added.finish;
    output.stop_reason = std::move(added.stop_reason);
    output.stop_string = added.stop_string;
    finish_choice(request, choice, std::move(output));
    return false;
  }
  if (!ids.empty()) ++stats_.resumed;
  return true;
}

}  // namespace hadal
