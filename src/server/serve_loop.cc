#include "server/serve_loop.h"

#include <unistd.h>

#include "base/log.h"

namespace hadal {
namespace {

constexpr long kHealthPollNs = 100'000'000;
constexpr std::chrono::milliseconds kLastWords{1'500};  // for clients to take the errors
constexpr std::chrono::milliseconds kLastLines{1'000};  // for the log's reader to take what it says

/// The signal, or 0 when the engine died first.
int wait_for_signal(const ApiServer& server, const sigset_t& signals) {
  const timespec poll{0, kHealthPollNs};
  while (server.engine_health().ok()) {
    const int signal = sigtimedwait(&signals, nullptr, &poll);
    if (signal > 0) return signal;
  }
  return 0;
}

[[noreturn]] void end_after_death(ApiServer& server) {
  log_error("the engine died: {}; the server ends", message_of(server.engine_health()));
  server.give_up(kLastWords);
  flush_log(kLastLines);
  _exit(1);
}

}  // namespace

int serve_until_end(ApiServer& server, const sigset_t& signals, std::chrono::milliseconds grace) {
  const int signal = wait_for_signal(server, signals);
  if (signal == 0) end_after_death(server);
  log_info("{}: finishing what runs (at most {} s)", signal == SIGINT ? "SIGINT" : "SIGTERM",
           std::chrono::duration_cast<std::chrono::seconds>(grace).count());
  // a second signal ends the process at once
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  if (!server.shut_down(grace)) {
    if (!server.engine_health().ok()) end_after_death(server);
    log_warning("some requests were cut");
  }
  return 0;
}

}  // namespace hadal
