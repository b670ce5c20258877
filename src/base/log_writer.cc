#include "base/log_writer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

namespace hadal {
namespace {

constexpr int kRetryMs = 1'000;

/// What of `text` the descriptor did not take: all of it, or nothing.
std::string_view write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {  // somebody else made it so
      pollfd one{.fd = fd, .events = POLLOUT, .revents = 0};
      ::poll(&one, 1, kRetryMs);
    } else if (errno != EINTR) {
      break;  // its reader is gone, or its disk is full: the next lines may fare better
    }
  }
  return text;
}

uint64_t lines_in(std::string_view text) {
  return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

LogWriter::LogWriter(int fd, size_t max_bytes, LostLine lost_line)
    : fd_(fd), max_bytes_(max_bytes), lost_line_(std::move(lost_line)), thread_([this] { run(); }) {}

LogWriter::~LogWriter() {
  {
    MutexLock lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool LogWriter::write(std::string_view line) {
  {
    MutexLock lock(mutex_);
    if (pending_.size() + line.size() > max_bytes_) {
      ++lost_;
      ++untold_;
      return false;
    }
    pending_ += line;
  }
  changed_.notify_all();
  return true;
}

bool LogWriter::flush(std::chrono::milliseconds limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  MutexLock lock(mutex_);
  while (!pending_.empty() || writing_) {
    if (changed_.wait_until(mutex_, until) == std::cv_status::timeout) return pending_.empty() && !writing_;
  }
  return true;
}

uint64_t LogWriter::lost() const {
  MutexLock lock(mutex_);
  return lost_;
}

void LogWriter::run() {
  sigset_t all;  // a signal is for a thread that expects it, and a reader that has gone is no reason to end
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  mutex_.lock();
  for (;;) {
    while (!ends_ && pending_.empty()) changed_.wait(mutex_);
    if (pending_.empty()) break;
    std::string batch = std::exchange(pending_, {});
    // told where lines are missing: behind what was there before them
    if (untold_ > 0) batch += lost_line_(std::exchange(untold_, 0));
    writing_ = true;
    mutex_.unlock();
    const std::string_view rest = write_all(fd_, batch);
    mutex_.lock();
    writing_ = false;
    if (!rest.empty()) lost_ += lines_in(rest);
    changed_.notify_all();
  }
  mutex_.unlock();
}

}  // namespace hadal
