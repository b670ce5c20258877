// All metadata of a step in one piece of memory, so that one copy brings it to the device. On the host there
// is one arena a step in flight (pinned), on the device one.
//
// Arrays lie at fixed offsets, small ones first and the block tables last, so that the copy ends with the
// last segment's table. There are two sets of offsets: most steps have few tokens, and need not carry the
// room of the largest. Graphs are captured with the small one.
//
// Threads: one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "device/device.h"

namespace hadal {

/// Offsets in bytes.
struct StepLayout {
  StepLayout(int32_t tokens, int32_t rows, const std::vector<int32_t>& table_strides);

  int32_t tokens;             // room for so many
  size_t live_tokens;         // [1]
  size_t query_start;         // [rows + 1]
  size_t context_len;         // [rows]
  size_t form;                // [rows] uint8_t
  size_t token_ids;           // [tokens]
  size_t positions;           // [tokens]
  size_t taken_from;          // [tokens] TakeTokensArgs::from
  size_t logit_rows;          // [tokens + rows]
  size_t copies;              // [groups][rows] pairs of blocks
  std::vector<size_t> slots;  // a group: [tokens]
  /// A segment's tables of all groups lie side by side: rows of `table_width` elements, group g at
  /// `table_at[g]`.
  size_t tables;
  int32_t table_width;
  std::vector<int32_t> table_at;
  size_t bytes;

  /// Bytes that a step of so many segments uses.
  size_t used(int32_t segments) const {
    return tables + static_cast<size_t>(segments) * static_cast<size_t>(table_width) * sizeof(int32_t);
  }
};

class StepArena {
 public:
  /// `slots`: steps in flight.
  static StatusOr<StepArena> create(Device& device, const StepLayout& largest, int32_t slots);

  template <typename T = int32_t>
  T* host(int32_t slot, size_t offset) const {
    return reinterpret_cast<T*>(host_[static_cast<size_t>(slot)].as<std::byte>() + offset);
  }
  template <typename T = int32_t>
  T* device(size_t offset) const {
    return reinterpret_cast<T*>(device_.as<std::byte>() + offset);
  }
  /// Starts the copy of a slot's first bytes. They must stay as they are until the stream has passed it.
  Status send(Device& device, BackendStream* stream, int32_t slot, size_t bytes) const {
    return device.copy(stream, device_.data(), host<std::byte>(slot, 0), bytes, CopyKind::kHostToDevice);
  }

 private:
  std::vector<Buffer> host_;
  Buffer device_;
};

}  // namespace hadal
