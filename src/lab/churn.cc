#include "lab/churn.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "lab/bench_request.h"

namespace hadal {
namespace {

/// What the clients hear, for the one thread that drives them.
struct News {
  enum class Kind : uint8_t { kFirstToken, kHeardEnough, kEnded } kind;
  int64_t client = 0;
  FinishReason finish = FinishReason::kNone;
  Status error;
};

class NewsQueue {
 public:
  void push(News news) EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      news_.push_back(std::move(news));
    }
    changed_.notify_all();
  }
  std::vector<News> wait() EXCLUDES(mutex_) {
    mutex_.lock();
    changed_.wait(mutex_, [this] { return !news_.empty(); });
    std::vector<News> taken = std::exchange(news_, {});
    mutex_.unlock();
    return taken;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<News> news_ GUARDED_BY(mutex_);
};

/// One request's client; hangs up after `patience` tokens.
class Client final : public OutputSink {
 public:
  Client(std::shared_ptr<NewsQueue> news, int64_t number, int32_t patience)
      : news_(std::move(news)), number_(number), patience_(patience) {}

  void deliver(RequestOutput output) override {
    const auto before = tokens_;
    tokens_ += static_cast<int32_t>(output.tokens.size());
    if (before == 0 && tokens_ > 0) news_->push({News::Kind::kFirstToken, number_});
    if (before < patience_ && tokens_ >= patience_) news_->push({News::Kind::kHeardEnough, number_});
    if (output.finish != FinishReason::kNone)
      news_->push({News::Kind::kEnded, number_, output.finish, output.error});
  }

 private:
  const std::shared_ptr<NewsQueue> news_;
  const int64_t number_;
  const int32_t patience_;
  int32_t tokens_ = 0;  // the engine's thread alone
};

class Churn {
 public:
  Churn(LoadedEngine& loaded, GapRecorder& gaps, const ChurnOptions& options)
      : engine_(*loaded.engine), vocab_(loaded.config.vocab), gaps_(gaps), options_(options) {}

  StatusOr<ChurnReport> run() {
    for (int32_t i = 0; i < options_.batch; ++i) RETURN_IF_ERROR(join());
    while (first_tokens_ < options_.batch) RETURN_IF_ERROR(hear());
    begin();
    while (gaps_.count() < static_cast<size_t>(options_.steps)) RETURN_IF_ERROR(hear());
    ChurnReport report = end();
    replaces_ = false;
    for (const auto& [client, id] : running_) engine_.cancel(id);
    while (!running_.empty()) RETURN_IF_ERROR(hear());
    return report;
  }

 private:
  void begin() {
    gaps_.take();
    report_ = {};
    stats_ = engine_.stats();
    began_ = Clock::real().now();
  }
  ChurnReport end() {
    const EngineStats stats = engine_.stats();
    report_.seconds = seconds_between(began_, Clock::real().now());
    report_.steps = stats.steps - stats_.steps;
    report_.tokens_per_s =
        static_cast<double>(stats.generation_tokens - stats_.generation_tokens) / report_.seconds;
    report_.idle = gaps_.take();
    return report_;
  }

  int32_t between(int32_t least, int32_t most) {
    return std::uniform_int_distribution<int32_t>(least, std::max(least, most))(random_);
  }

  /// A third greedy, a third with every penalty, a third with a cut and a seed; one in eight hangs up.
  EngineRequest next_request(int32_t output) {
    EngineRequest request = bench_request(options_.prompt_tokens, output, vocab_, next_client_);
    SamplingParams& sampling = request.sampling;
    sampling.seed = static_cast<uint64_t>(next_client_);
    if (next_client_ % 3 == 1) {
      sampling.temperature = 0.8f;
      sampling.presence_penalty = 0.5f;
      sampling.frequency_penalty = 0.5f;
      sampling.repetition_penalty = 1.1f;
    } else if (next_client_ % 3 == 2) {
      sampling.temperature = 1.0f;
      sampling.top_p = 0.9f;
      sampling.top_k = 40;
    }
    return request;
  }

  Status join() {
    const int32_t output = between(std::max(options_.output_tokens / 2, 1), options_.output_tokens);
    const int32_t patience = between(1, 8) == 1 ? between(1, output) : output + 1;
    EngineRequest request = next_request(output);
    request.sink = std::make_shared<Client>(news_, next_client_, patience);
    ASSIGN_OR_RETURN(running_[next_client_], engine_.submit(std::move(request)));
    ++next_client_;
    ++report_.joined;
    return OkStatus();
  }

  Status hear() {
    for (const News& news : news_->wait()) {
      const auto client = running_.find(news.client);
      switch (news.kind) {
        case News::Kind::kFirstToken:
          ++first_tokens_;
          break;
        case News::Kind::kHeardEnough:  // that may have been its last token
          if (client != running_.end()) engine_.cancel(client->second);
          break;
        case News::Kind::kEnded:
          RETURN_IF_ERROR(news.error);
          running_.erase(news.client);
          ++report_.ended;
          report_.cancelled += news.finish == FinishReason::kAbort ? 1 : 0;
          if (replaces_) RETURN_IF_ERROR(join());
          break;
      }
    }
    return OkStatus();
  }

  Engine& engine_;
  const int32_t vocab_;
  GapRecorder& gaps_;
  const ChurnOptions options_;
  const std::shared_ptr<NewsQueue> news_ = std::make_shared<NewsQueue>();
  std::mt19937 random_{20};
  std::map<int64_t, RequestId> running_;
  int32_t next_client_ = 0;
  int32_t first_tokens_ = 0;
  bool replaces_ = true;
  ChurnReport report_;
  EngineStats stats_;
  MonotonicTime began_;
};

}  // namespace

StatusOr<ChurnReport> run_churn(LoadedEngine& loaded, GapRecorder& gaps, const ChurnOptions& options) {
  if (options.steps < 1 || options.batch < 1) return invalid_argument("a churn of no steps or no requests");
  return Churn(loaded, gaps, options).run();
}

}  // namespace hadal
