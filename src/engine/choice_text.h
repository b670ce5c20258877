// The text side of one choice: detokenizes, looks for stop strings, decides when the choice is finished.
//
// Threads: the engine's.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/request.h"
#include "engine/stop_strings.h"
#include "engine/text_stream.h"

namespace hadal {

class ChoiceText {
 public:
  /// `stream` null: no text, and `stop.stop` is empty. `stop` outlives this.
  ChoiceText(std::unique_ptr<TextStream> stream, const StopParams& stop);

  struct Added {
    std::string text;
    FinishReason finish = FinishReason::kNone;
    std::string stop_reason;
    bool stop_string = false;
  };
  /// The output got `token` as its `count`th (from 1). `last`: there can be no further one (max_tokens,
  /// context).
  Added add(int32_t token, int32_t count, bool last);

  /// The choice ends here for another reason: the text that was still held back.
  std::string end();

 private:
  bool look_for_stop(std::string_view text, int32_t count, Added& added);
  void finish_text(int32_t count, Added& added);

  const StopParams& params_;
  std::unique_ptr<TextStream> stream_;
  StopStrings stops_;
};

}  // namespace hadal
