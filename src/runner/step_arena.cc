#include "runner/step_arena.h"

namespace hadal {
namespace {

/// Cuts arrays off, each on a line of its own.
class Cutter {
 public:
  size_t take(int64_t count, size_t size = sizeof(int32_t)) {
    constexpr size_t kLine = 64;
    const size_t at = used_;
    used_ = (at + static_cast<size_t>(count) * size + kLine - 1) / kLine * kLine;
    return at;
  }
  size_t used() const { return used_; }

 private:
  size_t used_ = 0;
};

}  // namespace

StepLayout::StepLayout(int32_t room, int32_t rows, const std::vector<int32_t>& table_strides) : tokens(room) {
  Cutter cutter;
  const int64_t all_tokens = room, all_rows = rows;
  live_tokens = cutter.take(1);
  query_start = cutter.take(all_rows + 1);
  context_len = cutter.take(all_rows);
  form = cutter.take(all_rows, sizeof(uint8_t));
  token_ids = cutter.take(all_tokens);
  positions = cutter.take(all_tokens);
  taken_from = cutter.take(all_tokens);
  logit_rows = cutter.take(all_tokens + all_rows);
  copies = cutter.take(2 * all_rows * static_cast<int64_t>(table_strides.size()));
  table_width = 0;
  for (const int32_t stride : table_strides) {
    slots.push_back(cutter.take(all_tokens));
    table_at.push_back(table_width);
    table_width += stride;
  }
  tables = cutter.take(all_rows * table_width);
  bytes = cutter.used();
}

StatusOr<StepArena> StepArena::create(Device& device, const StepLayout& largest, int32_t slots) {
  StepArena arena;
  for (int32_t slot = 0; slot < slots; ++slot) {
    ASSIGN_OR_RETURN(Buffer host, device.allocate(largest.bytes, MemoryKind::kHostPinned));
    arena.host_.push_back(std::move(host));
  }
  ASSIGN_OR_RETURN(arena.device_, device.allocate(largest.bytes));
  return arena;
}

}  // namespace hadal
