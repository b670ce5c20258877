// The table behind ForeignOptions: which of vLLM's options are taken, and what is answered to them.
#pragma once

#include <cstdint>
#include <span>

namespace hadal {

struct ForeignRow {
  enum class Takes : uint8_t { kFlag, kValue, kList };
  enum class Answer : uint8_t { kWarn, kRefuse };

  const char* options;   // one or more by blanks, each with its other names by commas
  Takes takes;
  const char* harmless;  // the value that asks for what is the case anyway; "" where there is none
  Answer answer;         // to other values
  const char* reason;
};

std::span<const ForeignRow> foreign_rows();

}  // namespace hadal
