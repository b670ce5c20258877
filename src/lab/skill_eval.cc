#include "lab/skill_eval.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/mutex.h"
#include "http/client.h"

namespace hadal {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr const char* kEndpoint = "/v1/chat/completions";
constexpr std::string_view kThinkEnd = "</think>";
constexpr size_t kLongestError = 300;

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

void fail(std::string text, SkillOutcome* outcome) {
  outcome->failed = true;
  outcome->said = std::move(text);
}

class SkillRunner {
 public:
  SkillRunner(const std::vector<SkillQuestion>& questions, const SkillEvalOptions& options,
              const OnProgress& on_progress)
      : questions_(questions), options_(options), on_progress_(on_progress) {
    for (size_t pass = 0; pass < options.passes.size(); ++pass) {
      for (size_t question = 0; question < questions.size(); ++question) {
        if (!options.passes[pass].thinking || questions[question].thinking)
          outcomes_.push_back({.question = question, .pass = pass});
      }
    }
  }

  StatusOr<std::vector<SkillOutcome>> run() {
    const size_t count = std::min(outcomes_.size(), static_cast<size_t>(options_.max_concurrency));
    std::vector<http::Client> clients;
    for (size_t i = 0; i < count; ++i) {
      http::ClientOptions client_options;
      client_options.read_timeout = options_.target.timeout;
      ASSIGN_OR_RETURN(http::Client client, http::Client::create(options_.target.url, client_options));
      clients.push_back(std::move(client));
    }
    std::vector<std::thread> threads;
    for (http::Client& client : clients) threads.emplace_back([this, &client] { work(client); });
    for (std::thread& thread : threads) thread.join();
    return std::move(outcomes_);
  }

 private:
  void work(http::Client& client) {
    for (size_t index = next_.fetch_add(1); index < outcomes_.size(); index = next_.fetch_add(1)) {
      SkillOutcome& outcome = outcomes_[index];
      ask(client, outcome);
      MutexLock lock(mutex_);
      ++done_;
      if (outcome.failed) ++failed_;
      if (on_progress_) on_progress_(done_, failed_, outcomes_.size());
    }
  }

  void ask(http::Client& client, SkillOutcome& outcome) {
    const SkillQuestion& question = questions_[outcome.question];
    const std::string body = skill_request(question, options_.passes[outcome.pass], options_.target.model,
                                           options_.seed + outcome.question);
    http::Headers headers = options_.target.headers;
    headers.set("Content-Type", "application/json");
    const auto answer = client.request("POST", kEndpoint, headers, body);
    if (!answer.ok()) {
      fail(std::string(message_of(answer.status())), &outcome);
    } else if (answer->status != 200) {
      fail(fmt::format("HTTP {}: {}", answer->status, answer->body.substr(0, kLongestError)), &outcome);
    } else {
      read_skill_answer(question, answer->body, &outcome);
    }
  }

  const std::vector<SkillQuestion>& questions_;
  const SkillEvalOptions& options_;
  const OnProgress& on_progress_;
  std::vector<SkillOutcome> outcomes_;  // each written by the thread that took it
  std::atomic<size_t> next_{0};
  Mutex mutex_;
  size_t done_ GUARDED_BY(mutex_) = 0, failed_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

std::string skill_request(const SkillQuestion& question, const SkillPass& pass, const std::string& model,
                          uint64_t seed) {
  OrderedJson body;
  body["model"] = model;
  body["messages"] = question.messages;
  if (question.tools.is_array()) body["tools"] = question.tools;
  body["max_tokens"] = question.max_tokens;
  if (pass.sampling == SkillSampling::kGreedy) {
    body["temperature"] = 0;
  } else {
    body["seed"] = seed;
  }
  body["chat_template_kwargs"] = {{"thinking", pass.thinking}, {"enable_thinking", pass.thinking}};
  return body.dump();
}

void read_skill_answer(const SkillQuestion& question, const std::string& body, SkillOutcome* outcome) {
  const Json completion = Json::parse(body, nullptr, false);
  const bool has_choice = completion.is_object() && completion.contains("choices") &&
                          completion["choices"].is_array() && !completion["choices"].empty();
  if (!has_choice || !completion["choices"][0].is_object() ||
      !completion["choices"][0].value("message", Json()).is_object()) {
    return fail("no chat completion: " + body.substr(0, kLongestError), outcome);
  }
  const Json& choice = completion["choices"][0];
  const Json& message = choice["message"];
  SkillAnswer answer{.content = text_at(message, "content"),
                     .tool_calls = message.value("tool_calls", Json())};
  // a server that does not part reasoning from the answer leaves both in the content
  const size_t thought = answer.content.rfind(kThinkEnd);
  if (thought != std::string::npos) answer.content.erase(0, thought + kThinkEnd.size());
  outcome->said =
      answer.tool_calls.is_array() && !answer.tool_calls.empty() ? answer.tool_calls.dump() : answer.content;
  outcome->ran_on = text_at(choice, "finish_reason") == "length";
  outcome->verdict = outcome->ran_on ? Verdict{} : judge(question, answer);
}

StatusOr<std::vector<SkillOutcome>> run_skill_eval(const std::vector<SkillQuestion>& questions,
                                                   const SkillEvalOptions& options,
                                                   const OnProgress& on_progress) {
  if (options.max_concurrency < 1 || options.max_concurrency > kMostThreads) {
    return invalid_argument("1 to {} questions can be under way at once", kMostThreads);
  }
  return SkillRunner(questions, options, on_progress).run();
}

}  // namespace hadal
