#include "engine/choice_text.h"

#include <algorithm>

namespace hadal {

ChoiceText::ChoiceText(std::unique_ptr<TextStream> stream, const StopParams& stop)
    : params_(stop),
      stream_(std::move(stream)),
      stops_(stop.stop,
             stop.include_stop_str_in_output ? StopStrings::Include::kYes : StopStrings::Include::kNo) {}

ChoiceText::Added ChoiceText::add(int32_t token, int32_t count, bool last) {
  Added added;
  const auto& ids = params_.stop_token_ids;
  const bool stop_token = std::find(ids.begin(), ids.end(), token) != ids.end();
  // the token that ends the output is not part of the text, unless asked for
  const bool has_text = stream_ != nullptr && (!stop_token || params_.include_stop_str_in_output);
  if (has_text && look_for_stop(stream_->add(token), count, added)) return added;
  if (stop_token) {
    added.finish = FinishReason::kStop;
    added.stop_reason = std::to_string(token);
  } else if (last) {
    added.finish = FinishReason::kLength;
  }
  if (added.finish != FinishReason::kNone) finish_text(count, added);
  return added;
}

/// True if a stop string ended the choice.
bool ChoiceText::look_for_stop(std::string_view text, int32_t count, Added& added) {
  StopStrings::Piece piece =
      stops_.add(text, count > params_.min_tokens ? StopStrings::Counts::kYes : StopStrings::Counts::kNo);
  added.text += piece.text;
  if (piece.match < 0) return false;
  added.finish = FinishReason::kStop;
  added.stop_reason = params_.stop[static_cast<size_t>(piece.match)];
  added.stop_string = true;
  return true;
}

/// What detokenizer and stop check held back; the rest of a broken character may still complete a stop
/// string.
void ChoiceText::finish_text(int32_t count, Added& added) {
  if (stream_ == nullptr) return;
  if (!look_for_stop(stream_->finish(), count, added)) added.text += stops_.flush();
}

std::string ChoiceText::end() {
  if (stream_ == nullptr) return {};
  std::string text = stops_.add(stream_->finish(), StopStrings::Counts::kNo).text;
  return text + stops_.flush();
}

}  // namespace hadal
