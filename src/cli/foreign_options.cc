#include "cli/foreign_options.h"

#include <array>

#include "base/log.h"

namespace hadal {
namespace {

enum class Takes : uint8_t { kFlag, kValue };
enum class Answer : uint8_t { kWarn, kRefuse };

struct ForeignRow {
  const char* names;
  Takes takes;
  const char* harmless;  // the value that asks for what is the case anyway; "" where there is none
  Answer answer;         // to other values
  const char* reason;
};

constexpr const char* kOneDevice = "this version runs a model on one device";

constexpr std::array kForeign = {
    ForeignRow{"--tensor-parallel-size,-tp", Takes::kValue, "1", Answer::kRefuse, kOneDevice},
    ForeignRow{"--pipeline-parallel-size,-pp", Takes::kValue, "1", Answer::kRefuse, kOneDevice},
    ForeignRow{"--data-parallel-size,-dp", Takes::kValue, "1", Answer::kRefuse, kOneDevice},
    ForeignRow{"--expert-parallel-size", Takes::kValue, "1", Answer::kRefuse, kOneDevice},
    ForeignRow{"--decode-context-parallel-size,-dcp", Takes::kValue, "1", Answer::kRefuse, kOneDevice},
    ForeignRow{"--enable-expert-parallel", Takes::kFlag, "", Answer::kWarn,
               "with one device every expert is on it"},
    ForeignRow{"--tokenizer", Takes::kValue, "", Answer::kRefuse, "the tokenizer is the checkpoint's own"},
    ForeignRow{"--speculative-config", Takes::kValue, "", Answer::kRefuse,
               "speculative decoding is not built in yet"},
    ForeignRow{"--kv-transfer-config", Takes::kValue, "", Answer::kRefuse,
               "transfer of KV cache is not built in yet"},
    ForeignRow{"--enable-lora", Takes::kFlag, "", Answer::kRefuse, "adapters are not built in yet"},
    ForeignRow{"--cpu-offload-gb", Takes::kValue, "0", Answer::kRefuse, "weights are not offloaded"},
    ForeignRow{"--response-role", Takes::kValue, "assistant", Answer::kRefuse, "answers are the assistant's"},
    ForeignRow{"--runner", Takes::kValue, "generate", Answer::kRefuse, "the models served here make text"},
    ForeignRow{"--task", Takes::kValue, "generate", Answer::kRefuse, "the models served here make text"},
    ForeignRow{"--quantization,-q", Takes::kValue, "", Answer::kWarn, "it is read off the checkpoint"},
    ForeignRow{"--tokenizer-mode", Takes::kValue, "auto", Answer::kWarn, "there is one tokenizer"},
    ForeignRow{"--trust-remote-code", Takes::kFlag, "", Answer::kWarn, "a checkpoint's code is never run"},
    ForeignRow{"--revision", Takes::kValue, "", Answer::kWarn,
               "the snapshot that the local cache has is served"},
    ForeignRow{"--download-dir", Takes::kValue, "", Answer::kWarn, "nothing is downloaded"},
    ForeignRow{"--seed", Takes::kValue, "0", Answer::kWarn,
               "a request has its own seed, or one is drawn and reported"},
    ForeignRow{"--enable-chunked-prefill,!--no-enable-chunked-prefill", Takes::kFlag, "", Answer::kWarn,
               "prompts are always computed in pieces"},
    ForeignRow{"--async-scheduling,!--no-async-scheduling", Takes::kFlag, "", Answer::kWarn,
               "the device decides how many steps are in flight"},
    ForeignRow{"--max-num-partial-prefills", Takes::kValue, "", Answer::kWarn,
               "as many as a step has room for"},
    ForeignRow{"--prefix-caching-hash-algo", Takes::kValue, "", Answer::kWarn,
               "there is one, keyed at each start"},
    ForeignRow{"--compilation-config,-O", Takes::kValue, "", Answer::kWarn, "nothing is compiled at start"},
    ForeignRow{"--distributed-executor-backend", Takes::kValue, "", Answer::kWarn, kOneDevice},
    ForeignRow{"--swap-space", Takes::kValue, "", Answer::kWarn, "preempted sequences are computed again"},
    ForeignRow{"--calculate-kv-scales", Takes::kFlag, "", Answer::kWarn, "the cache needs no scales"},
    ForeignRow{"--max-logprobs", Takes::kValue, "20", Answer::kWarn, "at most 20 are told"},
    ForeignRow{"--guided-decoding-backend", Takes::kValue, "", Answer::kWarn,
               "constrained output is not built in yet"},
    ForeignRow{"--disable-log-requests", Takes::kFlag, "", Answer::kWarn,
               "requests are logged with --enable-log-requests alone"},
    ForeignRow{"--enable-log-outputs,!--no-enable-log-outputs", Takes::kFlag, "", Answer::kWarn,
               "texts are never logged"},
    ForeignRow{"--max-log-len", Takes::kValue, "", Answer::kWarn, "texts are never logged"},
    ForeignRow{"--uvicorn-log-level", Takes::kValue, "", Answer::kWarn, "this is no uvicorn"},
    ForeignRow{"--disable-frontend-multiprocessing", Takes::kFlag, "", Answer::kWarn, "there is one process"},
};

std::string first_name(const ForeignRow& row) {
  const std::string names = row.names;
  return names.substr(0, names.find(','));
}

}  // namespace

ForeignOptions::ForeignOptions() : given_(kForeign.size()) {}

void ForeignOptions::declare(OptionTable& table) {
  for (size_t i = 0; i < kForeign.size(); ++i) {
    if (kForeign[i].takes == Takes::kFlag) {
      table.hidden_option(kForeign[i].names, &given_[i].flag);
    } else {
      table.hidden_option(kForeign[i].names, &given_[i].value);
    }
  }
}

Status ForeignOptions::check(const std::string& model) const {
  for (size_t i = 0; i < kForeign.size(); ++i) {
    const ForeignRow& row = kForeign[i];
    const std::optional<std::string>& value = given_[i].value;
    if (!given_[i].flag && !value) continue;
    if (value && (*value == row.harmless || (first_name(row) == "--tokenizer" && *value == model))) continue;
    const std::string shown = first_name(row) + (value ? " " + *value : "");
    if (row.answer == Answer::kRefuse) return invalid_argument("{}: {}", shown, row.reason);
    log_warning("{} has no effect: {}", shown, row.reason);
  }
  return OkStatus();
}

}  // namespace hadal
