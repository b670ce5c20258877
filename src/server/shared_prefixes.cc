#include "server/shared_prefixes.h"

#include <algorithm>

namespace hadal {
namespace {

StatusOr<std::vector<int32_t>> chat_ids(const std::string& system, const char* user,
                                        const PromptMaker& maker) {
  ChatRequest chat;
  chat.messages = nlohmann::ordered_json::array(
      {{{"role", "system"}, {"content", system}}, {{"role", "user"}, {"content", user}}});
  chat.add_generation_prompt = true;
  chat.bos_token = maker.tokenizer->bos_token().value_or("");
  chat.eos_token = maker.tokenizer->eos_token().value_or("");
  ASSIGN_OR_RETURN(const std::string prompt, maker.chat_template->render(chat));
  return maker.tokenizer->encode(prompt, AddSpecial::kNo);  // a template writes its own BOS
}

StatusOr<std::vector<int32_t>> system_ids(const std::string& system, const PromptMaker& maker) {
  if (maker.tokenizer == nullptr || maker.chat_template == nullptr)
    return failed_precondition("a shared system prompt needs a tokenizer and a chat template; use token_ids");
  // two texts without a common first character, so that what the prompts share ends before the user's words
  ASSIGN_OR_RETURN(std::vector<int32_t> ids, chat_ids(system, "Hello, who are you?", maker));
  ASSIGN_OR_RETURN(const std::vector<int32_t> other, chat_ids(system, "7 and 5 make", maker));
  const size_t shorter = std::min(ids.size(), other.size());
  const auto end =
      std::mismatch(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(shorter), other.begin());
  ids.erase(end.first, ids.end());
  const std::string text = maker.tokenizer->decode(ids, SkipSpecial::kNo);
  // the last characters may have been merged with what follows them
  const std::string_view most = std::string_view(system).substr(0, system.size() - system.size() / 4);
  if (text.find(most) == std::string::npos) {
    return invalid_argument(
        "the chat template does not begin a prompt with the system message as it is given; "
        "give the prefix as text or token_ids");
  }
  return ids;
}

}  // namespace

StatusOr<std::vector<int32_t>> shared_prefix_ids(const SharedPrefix& prefix, const PromptMaker& maker) {
  if (prefix.kind == SharedPrefix::Kind::kSystem) return system_ids(prefix.text, maker);
  std::vector<int32_t> ids = prefix.token_ids;
  if (prefix.kind == SharedPrefix::Kind::kText) {
    if (maker.tokenizer == nullptr)
      return failed_precondition("a shared text needs a tokenizer; use token_ids");
    ids = maker.tokenizer->encode(prefix.text, AddSpecial::kYes);
  }
  for (const int32_t id : ids) {
    if (id < 0 || id >= maker.vocab)
      return invalid_argument("token id {} is out of vocabulary (0 to {})", id, maker.vocab - 1);
  }
  return ids;
}

}  // namespace hadal
