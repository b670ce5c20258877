#include "text/tokenizer_decoder_steps.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "text/tokenizer_bytes.h"
#include "text/tokenizer_utf8.h"

namespace hadal::tok {
namespace {

/// Makes stages of type `Stage` from stored arguments, which the stages refer to.
template <typename Stage, typename Config>
class StepOf : public DecoderStep {
 public:
  explicit StepOf(Config config) : config_(std::move(config)) {}
  std::unique_ptr<DecodeStage> stage() const override { return std::make_unique<Stage>(config_); }

 private:
  Config config_;
};
struct NoConfig {};

/// Stages that must see whole tokens.
class WholeTokenStage : public DecodeStage {
 public:
  void push(std::string_view part, bool ends, bool literal) override {
    if (ends && held_.empty()) {
      token(part, literal);
      return;
    }
    held_ += part;
    if (!ends) return;
    const std::string whole = std::exchange(held_, {});
    token(whole, literal);
  }

 protected:
  virtual void token(std::string_view text, bool literal) = 0;

 private:
  std::string held_;
};

// Letters to bytes; the bytes of all tokens together are one text.
class ByteLevelStage : public WholeTokenStage {
 public:
  explicit ByteLevelStage(const NoConfig&) {}

  void finish() override {
    std::string rest;
    append_valid_utf8(rest, bytes_);
    bytes_.clear();
    next_->push(rest, true, false);
    next_->finish();
  }

 protected:
  void token(std::string_view text, bool literal) override {
    std::optional<std::string> bytes;
    if (!literal) bytes = bytes_of_letters(text);
    bytes_ += bytes ? std::string_view(*bytes) : text;
    const size_t settled = settled_utf8_length(bytes_);
    if (settled == 0) return;
    std::string out;
    append_valid_utf8(out, std::string_view(bytes_).substr(0, settled));
    bytes_.erase(0, settled);
    next_->push(out, false, false);
  }

 private:
  std::string bytes_;  // of a character not yet complete
};

// <0xNN> to bytes. A run of them is text if it is valid as a whole, and a U+FFFD for each byte otherwise, so
// nothing of it is settled before its end.
class ByteFallbackStage : public WholeTokenStage {
 public:
  explicit ByteFallbackStage(const NoConfig&) {}

  void finish() override {
    end_run();
    next_->finish();
  }

 protected:
  void token(std::string_view text, bool literal) override {
    const int byte = literal ? -1 : fallback_byte(text);
    if (byte >= 0) {
      run_.push_back(static_cast<char>(byte));
      return;
    }
    end_run();
    next_->push(text, true, literal);
  }

 private:
  void end_run() {
    if (run_.empty()) return;
    const std::string run = std::exchange(run_, {});
    if (is_valid_utf8(run)) {
      next_->push(run, true, false);
      return;
    }
    for (size_t i = 0; i < run.size(); ++i) next_->push(kReplacement, true, false);
  }

  std::string run_;
};

class FuseStage : public DecodeStage {
 public:
  explicit FuseStage(const NoConfig&) {}
  void push(std::string_view part, bool, bool literal) override {
    if (!part.empty()) next_->push(part, false, literal);
  }
  void finish() override {
    next_->push("", true, false);
    next_->finish();
  }
};

class JoinStage : public DecodeStage {
 public:
  explicit JoinStage(const NoConfig&) {}
  void push(std::string_view part, bool ends, bool literal) override {
    if (between_) next_->push(" ", false, false);
    between_ = ends;
    next_->push(part, false, literal);
  }
  void finish() override { next_->finish(); }

 private:
  bool between_ = false;
};

struct ReplaceConfig {
  std::unique_ptr<Delimiter> pattern;
  std::string content;
};

class ReplaceStage : public WholeTokenStage {
 public:
  explicit ReplaceStage(const ReplaceConfig& config) : config_(config) {}
  void finish() override { next_->finish(); }

 protected:
  void token(std::string_view text, bool literal) override {
    const MatchBudget budget(text.size());
    next_->push(replace_all(*config_.pattern, config_.content, text), true, literal);
  }

 private:
  const ReplaceConfig& config_;
};

struct MetaspaceConfig {
  std::string mark;
  bool drop_first;
};

class MetaspaceStage : public DecodeStage {
 public:
  explicit MetaspaceStage(const MetaspaceConfig& config) : config_(config) {}
  void push(std::string_view part, bool ends, bool literal) override {
    std::string out;
    for (size_t at = 0; at < part.size();) {
      const size_t length = utf8_length(part[at]);
      const std::string_view character = part.substr(at, length);
      if (character != config_.mark)
        out += character;
      else if (!first_ || !config_.drop_first)
        out += ' ';
      at += length;
    }
    if (ends) first_ = false;
    next_->push(out, ends, literal);
  }
  void finish() override { next_->finish(); }

 private:
  const MetaspaceConfig& config_;
  bool first_ = true;
};

struct StripConfig {
  std::string content;
  size_t start, stop;
};

class StripStage : public DecodeStage {
 public:
  explicit StripStage(const StripConfig& config) : config_(config) {}

  void push(std::string_view part, bool ends, bool literal) override {
    std::string out;
    for (size_t at = 0; at < part.size();) {
      const size_t length = utf8_length(part[at]);
      take(part.substr(at, length), out);
      at += length;
    }
    if (ends) {
      held_ = stripped_ = 0;
      at_start_ = true;
    }
    next_->push(out, ends, literal);
  }
  void finish() override { next_->finish(); }

 private:
  // Holds back as many of the last characters as may yet turn out to be the end.
  void take(std::string_view character, std::string& out) {
    const bool match = character == config_.content;
    if (at_start_ && match && stripped_ < config_.start) {
      ++stripped_;
      return;
    }
    at_start_ = false;
    if (match && held_ < config_.stop) {
      ++held_;
      return;
    }
    if (match) {  // one more than may be stripped: the first held is text
      out += config_.content;
      return;
    }
    for (; held_ > 0; --held_) out += config_.content;
    out += character;
  }

  const StripConfig& config_;
  bool at_start_ = true;
  size_t stripped_ = 0, held_ = 0;
};

}  // namespace

std::string replace_all(const Delimiter& pattern, std::string_view content, std::string_view text) {
  constexpr size_t kMaxGrowth =
      1u << 20;  // contents come from a checkpoint; past this the text stays as it is
  std::string result;
  DelimiterWalk walk(pattern, text);
  size_t at = 0;
  for (Match match; walk.next(match); at = match.end) {
    result += text.substr(at, match.begin - at);
    result += content;
    if (result.size() > text.size() * 64 + kMaxGrowth) return std::string(text);
  }
  result += text.substr(at);
  return result;
}

std::unique_ptr<DecoderStep> byte_level_decoder() {
  return std::make_unique<StepOf<ByteLevelStage, NoConfig>>(NoConfig{});
}
std::unique_ptr<DecoderStep> byte_fallback_decoder() {
  return std::make_unique<StepOf<ByteFallbackStage, NoConfig>>(NoConfig{});
}
std::unique_ptr<DecoderStep> fuse_decoder() {
  return std::make_unique<StepOf<FuseStage, NoConfig>>(NoConfig{});
}
std::unique_ptr<DecoderStep> join_decoder() {
  return std::make_unique<StepOf<JoinStage, NoConfig>>(NoConfig{});
}
std::unique_ptr<DecoderStep> replace_decoder(std::unique_ptr<Delimiter> pattern, std::string content) {
  return std::make_unique<StepOf<ReplaceStage, ReplaceConfig>>(
      ReplaceConfig{std::move(pattern), std::move(content)});
}
std::unique_ptr<DecoderStep> metaspace_decoder(std::string mark, bool drop_first) {
  return std::make_unique<StepOf<MetaspaceStage, MetaspaceConfig>>(
      MetaspaceConfig{std::move(mark), drop_first});
}
std::unique_ptr<DecoderStep> strip_decoder(std::string content, size_t start, size_t stop) {
  return std::make_unique<StepOf<StripStage, StripConfig>>(StripConfig{std::move(content), start, stop});
}

}  // namespace hadal::tok
