// The life of `hadal serve` from the moment it listens to its end.
//
//   a stop signal     refuse new requests, finish what runs for up to `grace`, return 0; a second signal
//   kills the engine died   (a step threw, or the watchdog saw one hang) /health says 503, the errors that
//   the engine left go out to the
//                     clients, and the process ends with exit code 1: it never lingers as a server that
//                     cannot serve
//
// A thread that hangs cannot be joined, so after the engine's death the process ends by _exit(), not by
// return.
#pragma once

#include <chrono>
#include <csignal>

#include "server/api_server.h"

namespace hadal {

/// `signals` must be blocked in every thread. Returns the exit code.
int serve_until_end(ApiServer& server, const sigset_t& signals, std::chrono::milliseconds grace);

}  // namespace hadal
