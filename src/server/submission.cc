#include "server/submission.h"

#include <algorithm>

#include "server/reply.h"
#include "server/request_log.h"

namespace hadal {
namespace {

openai::MaybeError check_prompts(const Service& service, const Submission& submission) {
  for (const std::vector<int32_t>& prompt : submission.prompts) {
    if (prompt.empty()) return openai::invalid_request("The prompt is empty.", "prompt");
    for (const int32_t id : prompt) {
      if (id >= 0 && id < service.loaded.config.vocab) continue;
      return openai::invalid_request(
          fmt::format("Token id {} is out of vocabulary (0 to {}).", id, service.loaded.config.vocab - 1),
          "prompt");
    }
  }
  return std::nullopt;
}

/// A bad word as the tokens that write it at the beginning of a text, and behind a blank.
void add_bad_word(const Tokenizer& tokenizer, const std::string& word, DrawRules& rules) {
  const std::string bare = word.substr(std::min(word.find_first_not_of(' '), word.size() - 1));
  for (const std::string& form : {bare, " " + bare}) {
    std::vector<int32_t> ids = tokenizer.encode(form, AddSpecial::kNo);
    const bool known =
        std::find(rules.bad_words.begin(), rules.bad_words.end(), ids) != rules.bad_words.end();
    if (!ids.empty() && !known) rules.bad_words.push_back(std::move(ids));
  }
}

openai::Result<DrawRules> draw_rules(const Service& service, const Submission& submission) {
  DrawRules rules;
  const Tokenizer* tokenizer = service.loaded.tokenizer.get();
  rules.allowed_token_ids = submission.fields.allowed_token_ids;
  if (!submission.fields.bad_words.empty() && tokenizer == nullptr) {
    return openai::invalid_request(
        "bad_words need a tokenizer, and this server runs with --skip-tokenizer-init", "bad_words");
  }
  for (const std::string& word : submission.fields.bad_words) add_bad_word(*tokenizer, word, rules);
  if (!submission.thinking_token_budget || !submission.answer.begins_with_reasoning()) return rules;
  const auto end = tokenizer->token_to_id("</think>");
  if (!end) {
    return openai::invalid_request("This model's vocabulary has no token that ends thinking.",
                                   "thinking_token_budget");
  }
  rules.thinking_budget = *submission.thinking_token_budget;
  rules.end_of_thinking = *end;
  return rules;
}

struct Prepared {
  std::vector<EngineParams> params;  // a prompt each
  DrawRules rules;
};

openai::Result<Prepared> prepare(const Service& service, Submission& submission) {
  for (std::vector<int32_t>& prompt : submission.prompts) truncate_prompt(service, submission.fields, prompt);
  if (auto error = check_prompts(service, submission)) return *error;
  Prepared prepared;
  for (const auto& prompt : submission.prompts) {
    auto made = engine_params(service, submission.fields, submission.logprobs, submission.default_length,
                              prompt.size());
    if (!made.ok()) return made.error();
    prepared.params.push_back(std::move(*made));
    // one seed is reported for the whole answer
    prepared.params.back().sampling.seed = prepared.params.front().sampling.seed;
  }
  auto rules = draw_rules(service, submission);
  if (!rules.ok()) return rules.error();
  prepared.rules = std::move(*rules);
  // a format whose marks are special tokens needs them in the text
  const Tokenizer* tokenizer = service.loaded.tokenizer.get();
  if (submission.answer.tools != nullptr && tokenizer != nullptr) {
    const auto mark = tokenizer->token_to_id(submission.answer.tools->opening);
    if (mark && tokenizer->is_special(*mark)) submission.fields.skip_special_tokens = false;
  }
  return prepared;
}

EngineRequest engine_request(const Service& service, const Submission& submission, const Prepared& prepared,
                             size_t index) {
  EngineRequest request;
  const int32_t n = submission.fields.n;
  request.prompt_ids = submission.prompts[index];
  request.sampling = prepared.params[index].sampling;
  // the choices of one answer must differ although they share the seed
  if (!submission.fields.resume)
    request.sampling.choice = static_cast<uint32_t>(index) * static_cast<uint32_t>(n);
  request.stop = prepared.params[index].stop;
  request.num_choices = n;
  request.detokenize = service.loaded.tokenizer != nullptr;
  request.skip_special_tokens = submission.fields.skip_special_tokens;
  request.rules = prepared.rules;
  if (submission.prompt_logprobs != PromptLogprobs::kNone)
    request.prompt_logprobs = submission.prompt_alternatives;
  request.priority = submission.fields.priority;
  request.tenant = submission.origin.tenant;
  request.cache_salt = submission.fields.cache_salt;
  request.deadline = submission.origin.deadline;
  if (submission.fields.resume) request.resume_ids = submission.fields.resume->output_token_ids;
  return request;
}

std::string answer_id(const Submission& submission) {
  const std::string& given =
      submission.fields.request_id.empty() ? submission.origin.request_id : submission.fields.request_id;
  return given.empty() ? openai::make_id(submission.id_prefix) : submission.id_prefix + given;
}

/// Pings while the stream is silent. A timer holds the reply only while it looks at it.
void watch_silence(Timers& timers, Duration interval, std::weak_ptr<Reply> reply, MonotonicTime due) {
  timers.at(due, [&timers, interval, reply = std::move(reply)] {
    const std::shared_ptr<Reply> alive = reply.lock();
    if (alive == nullptr) return;
    if (const auto next = alive->keep_open(Clock::real().now(), interval))
      watch_silence(timers, interval, reply, *next);
  });
}

}  // namespace

void truncate_prompt(const Service& service, const openai::CommonRequest& fields,
                     std::vector<int32_t>& prompt) {
  if (!fields.truncate_prompt_tokens) return;
  int64_t most = *fields.truncate_prompt_tokens;
  if (most < 0) most = service.loaded.max_model_len - std::max(fields.max_tokens.value_or(1), 1);
  const auto size = static_cast<int64_t>(prompt.size());
  if (most <= 0 || size <= most) return;
  if (fields.truncate_keeps_first) {
    prompt.resize(static_cast<size_t>(most));
  } else {
    prompt.erase(prompt.begin(), prompt.end() - most);
  }
}

openai::CommonRequest with_server_forms(const Service& service, openai::CommonRequest fields) {
  fields.include_usage |= service.force_include_usage;
  fields.return_tokens_as_token_ids |= service.tokens_as_token_ids;
  return fields;
}

std::vector<int32_t> encode_prompt(const Service& service, const openai::CommonRequest& fields,
                                   std::string_view text, AddSpecial by_default) {
  AddSpecial special = by_default;
  if (fields.add_special_tokens) special = *fields.add_special_tokens ? AddSpecial::kYes : AddSpecial::kNo;
  return service.loaded.tokenizer->encode(text, special);
}

void submit_to_engine(const std::shared_ptr<const Service>& service, Submission submission,
                      WriterPtr writer) {
  const auto prepared = prepare(*service, submission);
  if (!prepared.ok()) return respond_error(*writer, prepared.error(), submission.error_form);
  std::vector<EngineRequest> requests;
  for (size_t index = 0; index < submission.prompts.size(); ++index)
    requests.push_back(engine_request(*service, submission, *prepared, index));
  const openai::ResponseMeta meta{.id = answer_id(submission),
                                  .created = static_cast<int64_t>(Clock::real().unix_seconds()),
                                  .model = submission.model,
                                  .system_fingerprint = service->fingerprint};
  if (service->log_requests) log_request(submission, meta.id, requests.front());
  const bool pings = submission.fields.stream && service->ping_interval > Duration::zero();
  auto reply =
      std::make_shared<Reply>(std::move(submission), meta, requests.front().sampling.seed, service, writer);
  if (pings)
    watch_silence(*service->timers, service->ping_interval, reply,
                  Clock::real().now() + service->ping_interval);
  writer->on_disconnect([weak = std::weak_ptr<Reply>(reply)] {
    if (auto alive = weak.lock()) alive->client_gone();
  });
  for (size_t index = 0; index < requests.size(); ++index) {
    requests[index].sink = reply->sink(index);
    const auto id = service->loaded.engine->submit(std::move(requests[index]));
    if (!id.ok()) return reply->fail(submit_error(*service, id.status()));
    reply->add_request(*id);
  }
}

}  // namespace hadal
