// What the server itself costs, around an engine that costs nothing: CPU time of a request (read, parse,
// validate, render the template, tokenize, submit, answer) and of a streamed token (detokenize, parse the
// answer, build the chunk, send it).
//
// The time of all the process's threads, less the client's (which runs here too) and the stub engine's
// outside of what a real one would call: the detokenizer and the sink. System calls count. Bars: `p50_us`
// under 100 for a request, under 5 for a token.
//
//   request/200/32  32 connections that send a request each at the same moment, again and again: prompts of
//   about 200 tokens, one
//                   token answered. With 1 connection a request pays for waking three threads by itself
//   request_logged/20/32  the same by turns without the access log, with it as text and as JSON
//   token/64        64 streams at once, each given a token a step as a batch would; CPU of a step over its
//   streams
//
// `engine_us` is the share of the engine's thread, which makes the chunks and hands them over.
// `send_us` is the share that no server is without: one send() of a chunk's size over the loopback, measured
// in the same run.
#include <benchmark/benchmark.h>
#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/log.h"
#include "http/testing.h"
#include "server/api_server.h"
#include "server/fake_engine.h"
#include "text/detokenizer.h"

namespace hadal {
namespace {

using Json = nlohmann::json;
using http::testing::RawClient;

double cpu_us(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

double percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

void report(benchmark::State& state, const std::vector<double>& values) {
  state.counters["p50_us"] = percentile(values, 0.5);
  state.counters["p99_us"] = percentile(values, 0.99);
}

struct House {
  explicit House(bool access_log = false) {
    set_log_level(access_log ? LogLevel::kInfo : LogLevel::kOff);
    auto made = std::make_unique<FakeEngine>();
    engine = made.get();
    ServeOptions options;
    options.port = 0;
    options.disable_access_log = !access_log;
    options.served_model_names = {"demo"};
    LoadedEngine loaded = demo_around(std::move(made));
    tokenizer = loaded.tokenizer;
    server = *ApiServer::start(options, std::move(loaded));
  }
  FakeEngine* engine = nullptr;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<ApiServer> server;
};

std::string chat_request(int64_t words, bool stream) {
  std::string text;
  for (int64_t i = 0; i < words; ++i) text += i % 2 == 0 ? "capital " : "story ";
  Json body = {{"model", "demo"},
               {"messages", Json::array({{{"role", "system"}, {"content", "You answer in a few words."}},
                                         {{"role", "user"}, {"content", text}}})},
               {"temperature", 0.7},
               {"max_tokens", 1024}};
  if (stream) body["stream"] = true;
  const std::string data = body.dump();
  return fmt::format(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: bench/1.0\r\nAccept: "
      "application/json\r\n"
      "Content-Type: application/json\r\nAuthorization: Bearer none\r\nContent-Length: {}\r\n\r\n{}",
      data.size(), data);
}

RequestOutput token_output(int32_t id, std::string text, int32_t count) {
  RequestOutput output;
  output.text = std::move(text);
  output.tokens.push_back({.id = id, .logprob = -1.0f, .rank = 1, .top = {}});
  output.output_tokens = count;
  return output;
}

/// Connections that send a request each at the same moment.
class Crowd {
 public:
  Crowd(House& house, int64_t words, size_t width) : bytes_(chat_request(words, /*stream=*/false)) {
    house.engine->on_submit([tokenizer = house.tokenizer](const EngineRequest& asked) {
      Detokenizer detokenizer(tokenizer, SkipSpecial::kYes);
      RequestOutput output = token_output(300, detokenizer.push(300), 1);
      output.text += detokenizer.flush();
      output.finish = FinishReason::kStop;
      asked.sink->deliver(std::move(output));
    });
    for (size_t i = 0; i < width; ++i) clients_.push_back(std::make_unique<RawClient>(house.server->port()));
    for (int i = 0; i < 100; ++i) ask();
  }

  /// What a request costs the server.
  double cost_us() {
    const double all = cpu_us(CLOCK_PROCESS_CPUTIME_ID), mine = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    ask();
    // the answer is here a little before its threads are asleep again, and its line in the log written
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    flush_log(std::chrono::milliseconds(100));
    const double cost = cpu_us(CLOCK_PROCESS_CPUTIME_ID) - all - (cpu_us(CLOCK_THREAD_CPUTIME_ID) - mine);
    return cost / static_cast<double>(clients_.size());
  }

 private:
  void ask() {
    for (const auto& client : clients_) {
      client->forget();
      client->send(bytes_);
    }
    for (const auto& client : clients_) client->read_until("\"usage\"");
  }

  const std::string bytes_;
  std::vector<std::unique_ptr<RawClient>> clients_;
};

void request(benchmark::State& state) {
  House house;
  Crowd crowd(house, state.range(0), static_cast<size_t>(state.range(1)));
  std::vector<double> costs;
  for (auto _ : state) costs.push_back(crowd.cost_us());
  report(state, costs);
}
BENCHMARK(request)
    ->ArgsProduct({{20, 200}, {1, 32}})
    ->Iterations(1000)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

/// Standard error in a file that nobody sees, for as long as this lives.
class QuietStandardError {
 public:
  QuietStandardError() : was_(::dup(STDERR_FILENO)), file_(std::tmpfile()) {
    ::dup2(::fileno(file_), STDERR_FILENO);
  }
  ~QuietStandardError() {
    flush_log(std::chrono::seconds(10));
    ::dup2(was_, STDERR_FILENO);
    ::close(was_);
    std::fclose(file_);
  }

 private:
  const int was_;
  std::FILE* const file_;
};

/// Rounds without the access log, with it as text and with it as JSON take turns, so that whatever else the
/// machine does meets all three alike: the ratios are what counts.
void request_logged(benchmark::State& state) {
  start_log_thread();
  const QuietStandardError quiet;
  House without(/*access_log=*/false), with(/*access_log=*/true);
  const auto width = static_cast<size_t>(state.range(1));
  Crowd silent(without, state.range(0), width), logged(with, state.range(0), width);
  std::vector<double> off, text, json;
  for (auto _ : state) {
    off.push_back(silent.cost_us());
    set_log_format(LogFormat::kText);
    text.push_back(logged.cost_us());
    set_log_format(LogFormat::kJson);
    json.push_back(logged.cost_us());
  }
  set_log_format(LogFormat::kText);
  state.counters["off_us"] = percentile(off, 0.5);
  state.counters["text_ratio"] = percentile(text, 0.5) / percentile(off, 0.5);
  state.counters["json_ratio"] = percentile(json, 0.5) / percentile(off, 0.5);
}
BENCHMARK(request_logged)
    ->ArgsProduct({{20, 200}, {32}})
    ->Iterations(1000)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

/// p50 of a bare send() of a chunk to each of `width` sockets in turn, whose peers read in between.
double bare_send_us(size_t width) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(listener, reinterpret_cast<sockaddr*>(&address), size);
  ::listen(listener, 1024);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::vector<std::unique_ptr<RawClient>> peers;
  std::vector<int> ours;
  for (size_t i = 0; i < width; ++i) {
    peers.push_back(std::make_unique<RawClient>(ntohs(address.sin_port)));
    ours.push_back(::accept(listener, nullptr, nullptr));
  }
  const std::string chunk(240, 'x');
  std::vector<double> costs;
  for (int step = 0; step < 500; ++step) {
    const double before = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    for (const int one : ours) ::send(one, chunk.data(), chunk.size(), MSG_NOSIGNAL);
    costs.push_back((cpu_us(CLOCK_THREAD_CPUTIME_ID) - before) / static_cast<double>(width));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    for (const auto& peer : peers) peer->discard();
  }
  for (const int one : ours) ::close(one);
  ::close(listener);
  return percentile(costs, 0.5);
}

/// Streams that wait for their tokens.
class Streams {
 public:
  void add(std::shared_ptr<OutputSink> sink, const std::shared_ptr<const Tokenizer>& tokenizer) {
    MutexLock lock(mutex_);
    streams_.push_back({std::move(sink), Detokenizer(tokenizer, SkipSpecial::kYes)});
  }
  size_t size() {
    MutexLock lock(mutex_);
    return streams_.size();
  }
  /// One token for each.
  void step(int32_t count, bool last) {
    MutexLock lock(mutex_);
    for (auto& [sink, detokenizer] : streams_) {
      const int32_t id = 300 + (count * 37) % 3000;
      RequestOutput output = token_output(id, detokenizer.push(id), count);
      if (last) output.finish = FinishReason::kLength;
      sink->deliver(std::move(output));
    }
  }

 private:
  struct Stream {
    std::shared_ptr<OutputSink> sink;
    Detokenizer detokenizer;
  };
  Mutex mutex_;
  std::vector<Stream> streams_ GUARDED_BY(mutex_);
};

void token(benchmark::State& state) {
  House house;
  Streams streams;
  house.engine->on_submit([&](const EngineRequest& asked) { streams.add(asked.sink, house.tokenizer); });
  const auto width = static_cast<size_t>(state.range(0));
  std::vector<std::unique_ptr<RawClient>> clients;
  const std::string bytes = chat_request(20, /*stream=*/true);
  for (size_t i = 0; i < width; ++i) {
    clients.push_back(std::make_unique<RawClient>(house.server->port()));
    clients.back()->send(bytes);
  }
  http::testing::eventually([&] { return streams.size() == width; });

  std::vector<double> costs, engine_costs;
  int32_t count = 0;
  for (auto _ : state) {
    // This thread is the engine; what it does in step() is what a real one's would. The clients read only
    // after the measured part, from the kernel's buffers.
    const double all = cpu_us(CLOCK_PROCESS_CPUTIME_ID), begin = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    streams.step(++count, /*last=*/false);
    const double mine = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    engine_costs.push_back((mine - begin) / static_cast<double>(width));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const double waited = cpu_us(CLOCK_THREAD_CPUTIME_ID) - mine;
    costs.push_back((cpu_us(CLOCK_PROCESS_CPUTIME_ID) - all - waited) / static_cast<double>(width));
    for (const auto& client : clients) client->discard();
  }
  streams.step(++count, /*last=*/true);
  for (const auto& client : clients) client->read_until("[DONE]");
  report(state, costs);
  state.counters["engine_us"] = percentile(engine_costs, 0.5);
  state.counters["send_us"] = bare_send_us(width);
}
BENCHMARK(token)->Arg(1)->Arg(64)->Arg(256)->Iterations(500)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace hadal
