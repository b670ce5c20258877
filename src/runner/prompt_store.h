// Prompts of sequences with a repetition penalty, on the device: they never change, so they are sent with the
// first token that is drawn and not with every one (a batch of 64 would send 280 KB a step).
//
// A ring of fixed size: a new prompt takes the place of the oldest ones, which are sent again when their
// sequences draw next. What an earlier step still reads may be overwritten, since copies and steps run on one
// stream; what the step being prepared uses is not.
//
// Threads: one. Ownership: shares the prompts that it keeps, so that their addresses name them.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "runner/step_plan.h"

namespace hadal {

class PromptStore {
 public:
  struct Place {
    int32_t* ids = nullptr;  // on the device
    bool is_new = false;     // the caller sends the prompt there, ahead of the step
  };

  /// `ids` of 4 bytes; 0: nothing is ever kept.
  static StatusOr<PromptStore> create(Device& device, int64_t ids);

  /// What comes now belongs to a new step. Prompts that were new in the last one and not sent are forgotten.
  void begin_step();
  /// The step's new prompts have been sent.
  void sent();

  /// Whether the prompt is there; if so it stays for this step, whatever new ones come.
  bool keep(const SharedIds& prompt);
  /// Where the prompt, which is not empty, lies or shall lie; nothing: there is no room in this step.
  std::optional<Place> place(const SharedIds& prompt);

 private:
  struct Entry {
    SharedIds prompt;
    int64_t first = 0;  // index in the ring
    uint64_t used = 0;  // the last step
    bool pending = false;
  };
  /// In steps of 16 bytes, so that copies go by the widest words.
  static int64_t extent(const std::vector<int32_t>& ids) { return (static_cast<int64_t>(ids.size()) + 3) / 4 * 4; }
  static int64_t end_of(const Entry& entry) { return entry.first + extent(*entry.prompt); }
  bool make_room(int64_t count);
  void forget_oldest();

  Buffer ring_;
  int64_t size_ = 0, head_ = 0;
  uint64_t step_ = 0;
  std::unordered_map<const void*, Entry> entries_;
  std::deque<const void*> order_;  // oldest first: as they lie in the ring, from the head on
};

}  // namespace hadal
