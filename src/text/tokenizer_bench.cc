// Tokenizer speed with the published vocabularies: HADAL_ORACLE_DIR names the folder of recorded cases
// (default: beside the repository). The bound that matters: 1 MB of mixed text in under 0.5 s on one core.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace hadal {
namespace {

std::filesystem::path tokenizer_folder(const std::string& name) {
  if (const char* named = std::getenv("HADAL_ORACLE_DIR"); named != nullptr) {
    return std::filesystem::path(named) / "tokenizers" / name;
  }
  const auto repository = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
  return repository.parent_path() / "shared" / "oracle" / "tokenizers" / name;
}

/// English, Chinese and code in turn, with words drawn so that no cache can hold them all.
std::string mixed_text(size_t bytes) {
  static const std::vector<std::string> kEnglish = {
      "the",     "model",      "answers", "question", "in",     "of",         "streaming", "tokenizer",
      "because", "however",    "1984",    "latency",  "don't",  "we're",      "and",       "to",
      "is",      "scheduling", "request", "(see",     "below)", "throughput,"};
  static const std::vector<std::string> kCode = {"for (int i = 0; i < n; ++i) {\n",
                                                 "    return std::move(value);\n",
                                                 "}\n\n",
                                                 "#include <vector>\n",
                                                 "def f(self, x):\n    yield x ** 2\n",
                                                 "\tif err != nil { return err }\n",
                                                 "x = a[b_0][\"key\"] + 0x7f;\n",
                                                 "// TODO: 1234567 items\n"};
  std::mt19937 random(7);
  const auto below = [&random](size_t n) { return static_cast<size_t>(random()) % n; };
  std::string text;
  while (text.size() < bytes) {
    for (int i = 0; i < 60; ++i) {
      text += kEnglish[below(kEnglish.size())];
      if (below(6) == 0) {  // an invented word
        for (size_t n = 2 + below(8); n > 0; --n) text += static_cast<char>('a' + below(26));
      }
      text += below(12) == 0 ? ".\n" : " ";
    }
    for (size_t i = 0; i < 120; ++i) {
      const auto c = static_cast<uint32_t>(0x4E00 + below(3000));
      text += {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
               static_cast<char>(0x80 | (c & 0x3F))};
      if (below(14) == 0) text += "，";
    }
    for (int i = 0; i < 12; ++i) text += kCode[below(kCode.size())];
  }
  return text;
}

std::shared_ptr<const Tokenizer> loaded(benchmark::State& state, const std::string& name) {
  auto tokenizer = Tokenizer::load(tokenizer_folder(name));
  if (tokenizer.ok()) return *tokenizer;
  state.SkipWithError(std::string(message_of(tokenizer.status())).c_str());
  return nullptr;
}

void encode(benchmark::State& state, const std::string& name, const std::string& text) {
  const auto tokenizer = loaded(state, name);
  if (tokenizer == nullptr) return;
  size_t ids = 0;
  for (auto _ : state) ids = tokenizer->encode(text, AddSpecial::kNo).size();
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
  state.counters["ids"] = static_cast<double>(ids);
}

void load(benchmark::State& state, const std::string& name) {
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::load(tokenizer_folder(name)).ok());
}

void decode_stream(benchmark::State& state, const std::string& name) {
  const auto tokenizer = loaded(state, name);
  if (tokenizer == nullptr) return;
  const std::vector<int32_t> ids = tokenizer->encode(mixed_text(100'000), AddSpecial::kNo);
  for (auto _ : state) {
    Detokenizer detokenizer(tokenizer, SkipSpecial::kYes);
    size_t bytes = 0;
    for (const int32_t id : ids) bytes += detokenizer.push(id).size();
    benchmark::DoNotOptimize(bytes += detokenizer.flush().size());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * ids.size()));
}

const std::string kMixed = mixed_text(1'000'000);

BENCHMARK_CAPTURE(load, v3, "deepseek-v3")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(load, llama3, "llama3-r1-distill")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, v3_mixed_1MB, "deepseek-v3", kMixed)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, llm_mixed_1MB, "deepseek-llm", kMixed)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, qwen2_mixed_1MB, "qwen2-r1-distill", kMixed)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, llama3_mixed_1MB, "llama3-r1-distill", kMixed)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, v3_one_letter_1MB, "deepseek-v3", std::string(1'000'000, 'a'))
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, v3_spaces_1MB, "deepseek-v3", std::string(1'000'000, ' ') + "x")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, llm_spaces_thai_1MB, "deepseek-llm", std::string(1'000'000, ' ') + "ก")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, v3_short_prompt, "deepseek-v3", kMixed.substr(0, 600))
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(decode_stream, v3, "deepseek-v3")->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace hadal
