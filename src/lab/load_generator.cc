#include "lab/load_generator.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"
#include "http/client.h"

namespace hadal {
namespace {

using Json = nlohmann::ordered_json;

bool is_chat(std::string_view endpoint) {
  return endpoint.find("chat/completions") != std::string_view::npos;
}

/// Words that a chat's prompt is made of; a word is a token or a few, which `usage` tells.
std::string as_words(const std::vector<int32_t>& tokens) {
  std::string text;
  for (const int32_t token : tokens) text += fmt::format("{} ", token);
  return text;
}

std::string_view kind_of(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return "timeout";
    case absl::StatusCode::kUnavailable:
      return "connection failed";
    case absl::StatusCode::kDataLoss:
      return "malformed answer";
    default:
      return "client error";
  }
}

StatusOr<http::Client> connect(const LoadTarget& target) {
  http::ClientOptions options;
  options.read_timeout = target.timeout;
  return http::Client::create(target.url, options);
}

/// One request over the worker's connection, timed by `now`.
template <typename Now>
void send(http::Client& client, const LoadTarget& target, const std::string& body, const Now& now,
          RequestOutcome* outcome) {
  TokenStream stream;
  outcome->start_s = now();
  const auto answer = client.post_sse(
      target.endpoint, body,
      [&](const http::SseEvent& event) {
        stream.event(event.data,
                     now());  // what follows the end is read too, so that the connection can be kept
        return true;
      },
      target.headers);
  outcome->end_s = now();
  outcome->token_s = stream.times();
  outcome->output_tokens = stream.output_tokens();
  outcome->counted_by = stream.counted_by();
  outcome->cached_tokens = std::max<int64_t>(0, stream.cached_tokens());
  if (stream.prompt_tokens() >= 0) outcome->input_tokens = stream.prompt_tokens();
  if (!answer.ok()) {
    outcome->error_kind = kind_of(answer.status());
    outcome->error_text = message_of(answer.status());
  } else if (answer->status != 200) {
    outcome->error_kind = fmt::format("HTTP {}", answer->status);
    outcome->error_text = answer->body.substr(0, 300);
  } else {
    outcome->error_kind = stream.error_kind();
    outcome->error_text = stream.error_text();
  }
}

class LoadRunner {
 public:
  LoadRunner(const Workload& workload, const LoadOptions& options, const OnProgress& on_progress)
      : workload_(workload), options_(options), on_progress_(on_progress) {}

  StatusOr<LoadRun> run() {
    const size_t total = workload_.requests.size();
    const size_t places =
        options_.max_concurrency > 0 ? static_cast<size_t>(options_.max_concurrency) : total;
    const size_t count = std::min({places, total, static_cast<size_t>(kMostThreads)});
    outcomes_.resize(total);
    std::vector<http::Client> clients;
    for (size_t i = 0; i < count; ++i) {
      ASSIGN_OR_RETURN(http::Client client, connect(options_.target));
      clients.push_back(std::move(client));
    }
    start_ = Clock::real().now();
    std::vector<std::thread> threads;
    for (http::Client& client : clients) threads.emplace_back([this, &client] { work(client); });
    for (std::thread& thread : threads) thread.join();
    LoadRun run{.outcomes = std::move(outcomes_)};
    for (const RequestOutcome& outcome : run.outcomes)
      run.duration_s = std::max(run.duration_s, outcome.end_s);
    return run;
  }

 private:
  double now() const { return seconds_between(start_, Clock::real().now()); }

  /// Takes requests in the order of their arrival until none is left.
  void work(http::Client& client) {
    while (const auto index = take()) {
      const PlannedRequest& request = workload_.requests[*index];
      RequestOutcome& outcome = outcomes_[*index];
      outcome.planned_s = request.arrival_s;
      outcome.input_tokens = request.input_tokens;
      const std::string body = request_body(request, workload_.tokens, options_);
      std::this_thread::sleep_until(
          start_ + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(request.arrival_s)));
      send(
          client, options_.target, body, [this] { return now(); }, &outcome);
      finished(outcome);
    }
  }

  std::optional<size_t> take() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (next_ >= workload_.requests.size()) return std::nullopt;
    return next_++;
  }

  void finished(const RequestOutcome& outcome) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ++done_;
    if (!outcome.error_kind.empty()) ++failed_;
    if (on_progress_) on_progress_(done_, failed_, workload_.requests.size());
  }

  const Workload& workload_;
  const LoadOptions& options_;
  const OnProgress& on_progress_;
  MonotonicTime start_{};
  std::vector<RequestOutcome> outcomes_;  // each written by the thread that took it
  Mutex mutex_;
  size_t next_ GUARDED_BY(mutex_) = 0, done_ GUARDED_BY(mutex_) = 0, failed_ GUARDED_BY(mutex_) = 0;
};

}  // namespace

std::string request_body(const PlannedRequest& request, const TokenSource& source,
                         const LoadOptions& options) {
  const std::vector<int32_t> tokens = prompt_tokens(request, source);
  Json body;
  body["model"] = options.target.model;
  if (is_chat(options.target.endpoint)) {
    body["messages"] = Json::array({{{"role", "user"}, {"content", as_words(tokens)}}});
  } else {
    body["prompt"] = tokens;
  }
  body["max_tokens"] = request.output_tokens;
  body["temperature"] = options.temperature;
  if (options.ignore_eos) body["ignore_eos"] = true;
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  body["return_token_ids"] =
      true;  // tokens whose text is still open (half a character) are seen as they come
  return body.dump();
}

StatusOr<LoadRun> run_load(const Workload& workload, const LoadOptions& options,
                           const OnProgress& on_progress) {
  if (options.max_concurrency < 0 || options.max_concurrency > kMostThreads) {
    return invalid_argument("at most {} requests can be under way at once", kMostThreads);
  }
  return LoadRunner(workload, options, on_progress).run();
}

StatusOr<ServedModel> ask_model(const LoadTarget& target, const std::string& wanted) {
  ASSIGN_OR_RETURN(http::Client client, connect(target));
  ASSIGN_OR_RETURN(const http::Response answer, client.request("GET", "/v1/models", target.headers));
  if (answer.status != 200) {
    return unavailable("GET /v1/models: HTTP {}: {}", answer.status, answer.body.substr(0, 300));
  }
  const auto list = nlohmann::json::parse(answer.body, nullptr, false);
  if (!list.is_object() || !list.contains("data") || !list["data"].is_array()) {
    return data_loss("GET /v1/models gave no list of models");
  }
  for (const auto& entry : list["data"]) {
    if (!entry.is_object() || !entry.contains("id") || !entry["id"].is_string()) continue;
    ServedModel model{.name = entry["id"].get<std::string>()};
    if (!wanted.empty() && model.name != wanted) continue;
    const auto length = entry.find("max_model_len");
    if (length != entry.end() && length->is_number_integer()) {
      model.max_model_len =
          static_cast<int32_t>(std::clamp<int64_t>(length->get<int64_t>(), 0, kMaxTraceTokens));
    }
    return model;
  }
  if (wanted.empty()) return not_found("the server lists no model; name one with --model");
  return not_found("the server does not list the model '{}'", wanted);
}

}  // namespace hadal
