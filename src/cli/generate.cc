// hadal generate MODEL: completions without a server. One prompt (an argument, a file, standard input) is
// streamed to standard output; a batch of JSON lines is answered together, line by line, and goes on where it
// was stopped.
#include <cstdio>
#include <iostream>
#include <iterator>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/mutex.h"
#include "cli/commands.h"
#include "cli/engine_options.h"
#include "cli/generate_parts.h"

namespace hadal {
namespace {

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

Status generate(const GenerateOptions& options) {
  ASSIGN_OR_RETURN(LoadedEngine loaded, load_engine(options.engine));
  ASSIGN_OR_RETURN(std::vector<int32_t> ids, prompt_ids(options.prompt, options, loaded));
  EngineRequest request = request_for(std::move(ids), options.max_tokens, options, loaded);
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
  table.option("--file", &options.file, "read the prompt from this file");
  table.option(
      "--batch", &options.batch,
      "JSON lines of {\"prompt\"} or {\"messages\"} (with id and max_tokens if wanted); - is standard input");
  table.option(
      "--output", &options.output,
      "with --batch: JSON lines of answers, as they come; what is there already is not answered again");
  table.option("--max-num-seqs", &options.engine.max_num_seqs, "with --batch: sequences that run together");
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
  OptionTable table("hadal generate", "Completes one prompt, or a batch of them, without a server.");
  declare(table, options);
  if (const auto exit_code = table.parse(arguments)) return *exit_code;
  if (!options.batch.empty()) return report(generate_batch(options));
  options.engine.max_num_seqs = 1;
  if (!options.file.empty()) {
    auto text = read_file(options.file);
    if (!text.ok()) return report(text.status());
    options.prompt = std::move(*text);
  }
  if (options.prompt.empty()) {
    options.prompt.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  return report(generate(options));
}

}  // namespace hadal
