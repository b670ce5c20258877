// hadal generate MODEL PROMPT: one completion on standard output, streamed, without a server.
#include <cstdio>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "cli/commands.h"
#include "cli/engine_options.h"

namespace hadal {
namespace {

struct GenerateOptions {
  EngineConfig engine;
  std::string prompt;
  bool chat = false;
  std::optional<std::string> system;
  bool thinking = false;
  int32_t max_tokens = 256;
  std::optional<double> temperature, top_p, min_p;
  std::optional<int32_t> top_k;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

/// Writes text as it comes and lets one thread wait for the end.
class PrintingSink final : public OutputSink {
 public:
  void deliver(RequestOutput output) override EXCLUDES(mutex_) {
    std::fwrite(output.text.data(), 1, output.text.size(), stdout);
    std::fflush(stdout);
    MutexLock lock(mutex_);
    last_ = std::move(output);
    if (last_.finish != FinishReason::kNone) changed_.notify_all();
  }

  RequestOutput wait() EXCLUDES(mutex_) {
    mutex_.lock();
    changed_.wait(mutex_, [this] { return last_.finish != FinishReason::kNone; });
    RequestOutput last = last_;
    mutex_.unlock();
    return last;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  RequestOutput last_ GUARDED_BY(mutex_);
};

StatusOr<std::vector<int32_t>> prompt_ids(const GenerateOptions& options, const LoadedEngine& loaded) {
  if (!options.chat) return loaded.tokenizer->encode(options.prompt, AddSpecial::kYes);
  if (loaded.chat_template == nullptr) {
    return failed_precondition("{} has no chat template; leave out --chat, or give one with --chat-template",
                               loaded.folder);
  }
  ChatRequest request;
  request.messages = nlohmann::ordered_json::array();
  if (options.system) request.messages.push_back({{"role", "system"}, {"content", *options.system}});
  request.messages.push_back({{"role", "user"}, {"content", options.prompt}});
  request.add_generation_prompt = true;
  request.kwargs = nlohmann::ordered_json::object();
  request.kwargs["thinking"] = options.thinking;
  request.kwargs["enable_thinking"] = options.thinking;
  request.bos_token = loaded.tokenizer->bos_token().value_or("");
  request.eos_token = loaded.tokenizer->eos_token().value_or("");
  ASSIGN_OR_RETURN(const std::string prompt, loaded.chat_template->render(request));
  return loaded.tokenizer->encode(prompt, AddSpecial::kNo);  // a template writes its own BOS
}

uint64_t random_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32 | device()) >> 1;
}

SamplingParams sampling(const GenerateOptions& options, const GenerationDefaults& defaults) {
  SamplingParams params;
  params.temperature = static_cast<float>(options.temperature.value_or(defaults.temperature.value_or(1.0)));
  params.top_p = static_cast<float>(options.top_p.value_or(defaults.top_p.value_or(1.0)));
  params.min_p = static_cast<float>(options.min_p.value_or(defaults.min_p.value_or(0.0)));
  params.top_k = options.top_k.value_or(defaults.top_k.value_or(0));
  params.seed = options.seed ? *options.seed : random_seed();
  return params;
}

Status generate(const GenerateOptions& options) {
  ASSIGN_OR_RETURN(LoadedEngine loaded, load_engine(options.engine));
  EngineRequest request;
  ASSIGN_OR_RETURN(request.prompt_ids, prompt_ids(options, loaded));
  request.sampling = sampling(options, loaded.config.generation);
  const auto room = loaded.max_model_len - static_cast<int32_t>(request.prompt_ids.size());
  request.stop.max_tokens = std::max(1, std::min(options.max_tokens, room));
  request.stop.stop = options.stop;
  request.stop.ignore_eos = options.ignore_eos;
  if (!options.ignore_eos) request.stop.stop_token_ids = loaded.config.eos;
  auto sink = std::make_shared<PrintingSink>();
  request.sink = sink;
  const auto prompt_tokens = request.prompt_ids.size();
  const MonotonicTime start = Clock::real().now();
  RETURN_IF_ERROR(loaded.engine->submit(std::move(request)).status());
  const RequestOutput last = sink->wait();
  std::fputc('\n', stdout);
  RETURN_IF_ERROR(last.error);
  log_info("{} prompt tokens, {} output tokens in {:.2f} s ({})", prompt_tokens, last.output_tokens,
           seconds_between(start, Clock::real().now()), finish_reason_name(last.finish));
  return OkStatus();
}

void declare(OptionTable& table, GenerateOptions& options) {
  add_model_option(table, options.engine);
  table.optional_positional("PROMPT", &options.prompt, "the prompt; without it standard input is read");
  table.option("--chat", &options.chat, "send the prompt as a user's message through the chat template");
  table.option("--system", &options.system, "system message, with --chat");
  table.option("--thinking", &options.thinking, "with --chat: let the model think first");
  table.option("--max-tokens", &options.max_tokens, "most tokens to generate");
  table.option("--temperature", &options.temperature, "0: greedy; default: the checkpoint's, else 1");
  table.option("--top-p", &options.top_p, "keep the most likely tokens up to this probability");
  table.option("--top-k", &options.top_k, "keep this many tokens; 0: all");
  table.option("--min-p", &options.min_p, "keep tokens at least this likely, relative to the likeliest");
  table.option("--seed", &options.seed, "same seed, same answer");
  table.option("--stop", &options.stop, "stop before any of these texts");
  table.option("--ignore-eos", &options.ignore_eos, "go on after the end-of-sequence token");
  table.option("--chat-template", &options.engine.chat_template_file,
               "Jinja file in place of the checkpoint's template");
  add_device_options(table, options.engine);
  table.option("--max-model-len", &options.engine.max_model_len, "longest context in tokens; 0: the model's");
  table.option("--kv-cache-memory-bytes", &options.engine.kv_cache_bytes,
               "bytes of KV cache; 0: what one sequence needs, at most 2 GiB");
}

}  // namespace

int run_generate(const Arguments& arguments) {
  GenerateOptions options;
  options.engine.max_num_seqs = 1;
  OptionTable table("hadal generate",
                    "Completes one prompt and writes the text to standard output as it is made.");
  declare(table, options);
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  if (options.prompt.empty()) {
    options.prompt.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  return report(generate(options));
}

}  // namespace hadal
