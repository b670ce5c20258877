// The sinks of all requests that are not finished, so that they can be told of the engine's death by another
// thread when the engine's own hangs in a step.
//
// Threads: any. After fail_all() nothing reaches a sink any more.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "base/mutex.h"
#include "engine/request.h"

namespace hadal {

class LiveSinks {
 public:
  /// A sink to give the engine in place of `sink`; it forwards, and forgets itself after the last finish.
  std::shared_ptr<OutputSink> watch(std::shared_ptr<OutputSink> sink, int32_t num_choices);

  /// Every sink gets kError for each choice that is not finished. Call once.
  void fail_all(const Status& why);

 private:
  class Watched;
  struct Shared {
    mutable Mutex mutex;
    std::map<uint64_t, std::weak_ptr<Watched>> live GUARDED_BY(mutex);
    uint64_t next GUARDED_BY(mutex) = 1;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace hadal
