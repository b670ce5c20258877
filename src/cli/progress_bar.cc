#include "cli/progress_bar.h"

#include <unistd.h>

#include <cstdio>

#include "base/clock.h"

namespace hadal {

OnProgress progress_bar() {
  if (::isatty(STDERR_FILENO) == 0) return nullptr;
  return [last = MonotonicTime{}](size_t done, size_t failed, size_t total) mutable {
    const MonotonicTime now = Clock::real().now();
    if (done < total && seconds_between(last, now) < 0.1) return;
    last = now;
    constexpr size_t kWidth = 40;
    const size_t filled = kWidth * done / total;
    std::fprintf(stderr, "\r[%s%s] %zu/%zu", std::string(filled, '#').c_str(),
                 std::string(kWidth - filled, '.').c_str(), done, total);
    if (failed > 0) std::fprintf(stderr, ", %zu failed", failed);
    if (done == total) std::fputc('\n', stderr);
    std::fflush(stderr);
  };
}

}  // namespace hadal
