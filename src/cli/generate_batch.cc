// A batch of prompts: read, answered together, written line by line as answers come.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <set>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/mutex.h"
#include "cli/batch_lines.h"
#include "cli/generate_parts.h"

namespace hadal {
namespace {

/// Answers that come in any order, one writer at a time.
class BatchWriter {
 public:
  BatchWriter(std::FILE* out, size_t total, size_t done) : out_(out), total_(total), done_(done) {}

  void add(const BatchAnswer& answer) EXCLUDES(mutex_) {
    const std::string line = answer_line(answer);
    MutexLock lock(mutex_);
    failed_ =
        failed_ || std::fwrite(line.data(), 1, line.size(), out_) != line.size() || std::fflush(out_) != 0;
    ++done_;
    --running_;
    tokens_ += answer.output_tokens;
    show_progress();
    changed_.notify_all();
  }
  /// Waits until fewer than `most` run, then counts one more.
  void begin(size_t most) EXCLUDES(mutex_) {
    mutex_.lock();
    changed_.wait(mutex_, [&] { return running_ < most; });
    ++running_;
    mutex_.unlock();
  }
  Status finish() EXCLUDES(mutex_) {
    mutex_.lock();
    changed_.wait(mutex_, [&] { return running_ == 0; });
    const bool failed = failed_;
    mutex_.unlock();
    if (bar_) std::fputc('\n', stderr);
    return failed ? unavailable("the output cannot be written") : OkStatus();
  }

 private:
  void show_progress() REQUIRES(mutex_) {
    if (!bar_) return;
    constexpr size_t kWidth = 30;
    const size_t filled = total_ == 0 ? kWidth : done_ * kWidth / total_;
    const double seconds = seconds_between(began_, Clock::real().now());
    std::fprintf(stderr, "\r[%s%s] %zu/%zu  %.0f tokens/s ", std::string(filled, '#').c_str(),
                 std::string(kWidth - filled, '.').c_str(), done_, total_,
                 seconds > 0 ? static_cast<double>(tokens_) / seconds : 0.0);
  }

  std::FILE* const out_;
  const size_t total_;
  const bool bar_ = isatty(STDERR_FILENO) == 1;
  const MonotonicTime began_ = Clock::real().now();
  Mutex mutex_;
  CondVar changed_;
  size_t done_ GUARDED_BY(mutex_);
  size_t running_ GUARDED_BY(mutex_) = 0;
  int64_t tokens_ GUARDED_BY(mutex_) = 0;
  bool failed_ GUARDED_BY(mutex_) = false;
};

/// Gathers one answer of a batch.
class BatchSink final : public OutputSink {
 public:
  BatchSink(BatchAnswer answer, BatchWriter& writer) : answer_(std::move(answer)), writer_(writer) {}
  void deliver(RequestOutput output) override {
    answer_.text += output.text;
    if (output.finish == FinishReason::kNone) return;
    answer_.finish_reason = finish_reason_name(output.finish);
    answer_.prompt_tokens = output.prompt_tokens;
    answer_.output_tokens = output.output_tokens;
    if (!output.error.ok()) answer_.error = std::string(message_of(output.error));
    writer_.add(answer_);
  }

 private:
  BatchAnswer answer_;
  BatchWriter& writer_;
};

void submit_line(const BatchLine& line, const GenerateOptions& options, const LoadedEngine& loaded,
                 BatchWriter& writer) {
  BatchAnswer answer{.index = line.index, .id = line.id, .text = {}, .finish_reason = {}, .error = {}};
  auto ids = line.messages.is_null() ? prompt_ids(line.prompt, options, loaded)
                                     : chat_ids(line.messages, options, loaded);
  Status status = ids.status();
  if (status.ok()) {
    EngineRequest request = request_for(
        std::move(*ids), line.max_tokens > 0 ? line.max_tokens : options.max_tokens, options, loaded);
    // a line's answer does not depend on which others an earlier run has answered
    if (options.seed) request.sampling.choice = static_cast<uint32_t>(line.index);
    request.sink = std::make_shared<BatchSink>(answer, writer);
    status = loaded.engine->submit(std::move(request)).status();
    if (status.ok()) return;
  }
  answer.error = std::string(message_of(status));
  writer.add(answer);
}

StatusOr<std::string> read_all(const std::string& path) {
  if (path != "-") return read_file(path);
  return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
}

/// Cuts a last line that an earlier run did not finish, and opens the file behind the others.
StatusOr<std::FILE*> open_output(const std::string& path, std::set<int64_t>* done) {
  if (path.empty()) return stdout;
  if (file_exists(path)) {
    ASSIGN_OR_RETURN(const std::string before, read_file(path));
    *done = answered(before);
    if (whole_lines(before).size() != before.size()) RETURN_IF_ERROR(write_file(path, whole_lines(before)));
  }
  std::FILE* file = std::fopen(path.c_str(), "ab");
  if (file == nullptr) return unavailable("{} cannot be opened for writing", path);
  return file;
}

}  // namespace

Status generate_batch(const GenerateOptions& options) {
  ASSIGN_OR_RETURN(const std::string text, read_all(options.batch));
  ASSIGN_OR_RETURN(const std::vector<BatchLine> lines, read_batch(text));
  std::set<int64_t> done;
  ASSIGN_OR_RETURN(std::FILE * out, open_output(options.output, &done));
  ASSIGN_OR_RETURN(LoadedEngine loaded, load_engine(options.engine));
  if (!done.empty()) log_info("{} of {} prompts are answered already", done.size(), lines.size());
  BatchWriter writer(out, lines.size(), done.size());
  const size_t most =
      2 * static_cast<size_t>(loaded.options.max_num_seqs);  // so that the next are there at once
  for (const BatchLine& line : lines) {
    if (done.count(line.index) != 0) continue;
    writer.begin(most);
    submit_line(line, options, loaded, writer);
  }
  const Status status = writer.finish();
  if (out != stdout) std::fclose(out);
  return status;
}

}  // namespace hadal
