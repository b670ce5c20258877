#include "kernels/cpu/membench.h"

#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstring>

#include "kernels/cpu/cpu_device.h"

namespace hadal::cpu {
namespace {

constexpr int64_t kPiece = 1 << 20;  // of the buffer, a task

}  // namespace

struct ReadProbe::State {
  State(int threads, int64_t size, char* memory) : pool(threads), bytes(size), data(memory) {}
  ~State() { munmap(data, static_cast<size_t>(bytes)); }
  ThreadPool pool;
  int64_t bytes;
  char* data;
  int32_t (*read)(const char*, int64_t) = kernels_of(best_isa()).vector->read_all;
  std::atomic<int32_t> sink{0};
};

ReadProbe::ReadProbe(std::unique_ptr<State> state) : state_(std::move(state)) {}
ReadProbe::~ReadProbe() = default;
int64_t ReadProbe::bytes() const { return state_->bytes; }
int ReadProbe::threads() const { return state_->pool.threads(); }

StatusOr<std::unique_ptr<ReadProbe>> ReadProbe::create(const ReadProbeOptions& options) {
  const int threads = options.threads > 0 ? options.threads : usable_processors();
  if (threads > kMaxThreads)
    return invalid_argument("read probe: {} threads, at most {}", threads, kMaxThreads);
  if (options.mebibytes < 1) return invalid_argument("read probe: a buffer of {} MiB", options.mebibytes);
  const int64_t bytes = options.mebibytes << 20;
  void* data =
      mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return resource_exhausted("read probe: no memory for {} MiB", options.mebibytes);
  madvise(data, static_cast<size_t>(bytes), options.pages == Pages::kHuge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  auto state = std::make_unique<State>(threads, bytes, static_cast<char*>(data));
  // every page must be one of its own: untouched pages are all the same page of zeros
  state->pool.run(bytes / kPiece, [&](int64_t piece, int) {
    std::memset(state->data + piece * kPiece, static_cast<int>(piece % 251) + 1, kPiece);
  });
  return std::unique_ptr<ReadProbe>(new ReadProbe(std::move(state)));
}

double ReadProbe::pass() {
  const auto start = std::chrono::steady_clock::now();
  state_->pool.run(state_->bytes / kPiece, [&](int64_t piece, int) {
    state_->sink.fetch_add(state_->read(state_->data + piece * kPiece, kPiece), std::memory_order_relaxed);
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return static_cast<double>(state_->bytes) / seconds.count();
}

}  // namespace hadal::cpu
