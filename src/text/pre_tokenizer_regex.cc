#include "text/pre_tokenizer_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <atomic>
#include <chrono>

#include "base/log.h"
#include "text/pre_tokenizer_oniguruma.h"

namespace hadal::tok {
namespace {

constexpr size_t kMaxPatternBytes = 1u << 20;
constexpr uint32_t kMatchLimit = 10'000'000;  // steps of one attempt
constexpr uint32_t kHeapLimitKiB =
    64 * 1024;  // of the interpreter, which serves where the JIT stack is too small
constexpr size_t kJitStackBytes = 1u << 20;
constexpr size_t kStartsPerSearch = 4096;  // attempts between two looks at the clock
constexpr std::chrono::milliseconds kTimePerCall{2000};
constexpr std::chrono::milliseconds kTimePerMiB{1000};

using Clock = std::chrono::steady_clock;

// What a thread needs to match, whatever the pattern: one pair of offsets, limits, a stack.
struct Scratch {
  pcre2_match_data_8* data = pcre2_match_data_create_8(1, nullptr);
  pcre2_match_context_8* context = pcre2_match_context_create_8(nullptr);
  pcre2_jit_stack_8* stack = pcre2_jit_stack_create_8(32 * 1024, kJitStackBytes, nullptr);
  bool budgeted = false;
  bool exhausted = false;
  Clock::time_point deadline;

  Scratch() {
    pcre2_set_match_limit_8(context, kMatchLimit);
    pcre2_set_heap_limit_8(context, kHeapLimitKiB);
    pcre2_jit_stack_assign_8(context, nullptr, stack);
  }
  ~Scratch() {
    pcre2_jit_stack_free_8(stack);
    pcre2_match_context_free_8(context);
    pcre2_match_data_free_8(data);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

Scratch& scratch() {
  thread_local Scratch instance;
  return instance;
}

void give_up(Scratch& own, std::string_view why) {
  own.exhausted = own.budgeted;  // a search outside a budget stands for itself
  static std::atomic<bool> told{false};
  if (!told.exchange(true)) {
    log_warning(
        "tokenizer: matching a pattern of tokenizer.json was stopped ({}); the rest of that text is split "
        "without it",
        why);
  }
}

std::string pcre2_message(int code) {
  unsigned char buffer[256] = {};
  pcre2_get_error_message_8(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

}  // namespace

void Regex::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free_8(code); }

StatusOr<Regex> Regex::compile(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return invalid_argument("the regular expression has {} bytes, more than {}", pattern.size(),
                            kMaxPatternBytes);
  }
  ASSIGN_OR_RETURN(const std::string translated, oniguruma_to_pcre2(pattern));
  const std::unique_ptr<pcre2_compile_context_8, decltype(&pcre2_compile_context_free_8)> context(
      pcre2_compile_context_create_8(nullptr), &pcre2_compile_context_free_8);
  pcre2_set_newline_8(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit_8(context.get(), 100);
  constexpr uint32_t kOptions =
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code_8* code = pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(translated.data()), translated.size(),
                                       kOptions, &error, &offset, context.get());
  if (code == nullptr) {
    return invalid_argument("regular expression '{}': {} (at byte {} of '{}')", pattern, pcre2_message(error),
                            offset, translated);
  }
  pcre2_jit_compile_8(code, PCRE2_JIT_COMPLETE);  // where it fails the interpreter serves
  return Regex(code);
}

bool Regex::find(std::string_view text, size_t from, Match& match) const {
  Scratch& own = scratch();
  // The text is valid UTF-8 and `from` a character's start: both are this library's own doing.
  uint32_t options = PCRE2_NO_UTF_CHECK;
  const auto subject = reinterpret_cast<PCRE2_SPTR8>(text.data());
  while (!own.exhausted) {
    const size_t last_start = std::min(from + kStartsPerSearch, text.size());
    pcre2_set_offset_limit_8(own.context, last_start);
    const int result = pcre2_match_8(code_.get(), subject, text.size(), from, options, own.data, own.context);
    if (result >= 0) {
      const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer_8(own.data);
      match = {offsets[0], offsets[1]};
      return match.begin <= match.end && match.begin >= from;  // \K in a lookahead may turn them round
    }
    if (result == PCRE2_ERROR_JIT_STACKLIMIT && (options & PCRE2_NO_JIT) == 0) {
      options |= PCRE2_NO_JIT;
      continue;
    }
    if (result != PCRE2_ERROR_NOMATCH) {
      give_up(own, pcre2_message(result));
      return false;
    }
    if (last_start == text.size()) return false;
    if (own.budgeted && Clock::now() > own.deadline) {
      give_up(own, "time limit");
      return false;
    }
    from = last_start + 1;  // last_start itself was tried; go on with the next character after it
    while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0) == 0x80) ++from;
  }
  return false;
}

MatchBudget::MatchBudget(size_t text_bytes) : outermost_(!scratch().budgeted) {
  if (!outermost_) return;
  Scratch& own = scratch();
  own.budgeted = true;
  own.exhausted = false;
  own.deadline = Clock::now() + kTimePerCall + kTimePerMiB * (text_bytes >> 20);
}

MatchBudget::~MatchBudget() {
  if (outermost_) {
    scratch().budgeted = false;
    scratch().exhausted = false;
  }
}

}  // namespace hadal::tok
