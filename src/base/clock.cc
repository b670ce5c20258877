#include "base/clock.h"

namespace hadal {
namespace {

class RealClock final : public Clock {
 public:
  MonotonicTime now() const override { return std::chrono::steady_clock::now(); }
  double unix_seconds() const override {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  }
};

}  // namespace

const Clock& Clock::real() {
  static const RealClock instance;
  return instance;
}

}  // namespace hadal
