// docs/request-fields.md, printed from the table.
#include <fmt/format.h>

#include <span>

#include "openai/request_fields.h"

namespace hadal::openai {
namespace {

constexpr const char* kNotes = R"(
## Headers

| header | from whom | meaning |
| --- | --- | --- |
| `x-hadal-tenant` | a trusted hop | whose request this is: its share of time and cache, and its own prefixes. Also `x-llm-d-inference-fairness-id`, and its old name `x-gateway-inference-fairness-id` |
| `x-hadal-hop-secret` | a trusted hop | over TCP: shows that it is one (`--trusted-hop-secret-file`, `HADAL_TRUSTED_HOP_SECRET`). Over a Unix socket (`--uds`) every client is trusted |
| `x-hadal-deadline-ms` | anyone | milliseconds from arrival in which the first token is wanted; a request that cannot have it is answered 503 (`deadline_unreachable`) at once instead of late |

Tenant headers from anybody else are ignored and counted in `hadal:untrusted_tenant_headers_total`. Answers carry
`x-hadal-seed`: the seed that was used, drawn if the request gave none.

## Refusals

429 `tenant_queue_full`: as many requests of this tenant wait as may. 503 `queue_full`, `deadline_unreachable`, `busy`,
`draining`, `engine_dead`. All carry `Retry-After` in seconds, from the rate at which the queue drains.

## Resume

A request that broke off on one engine goes on on another: the same body with `resume`, which brings the token ids that
were received (`return_token_ids`), the seed (`x-hadal-seed`) and the choice's index. `n` must be 1, with one prompt and without
`echo` or `prompt_logprobs`; `seed`, if given too, must be the same. The answer is exactly the rest, as its only choice (index 0):

- `max_tokens`, `min_tokens`, penalties and stop strings count what is there already; so does
  `usage.completion_tokens`. Reasoning goes on where it was.
- A chat stream begins with the usual chunk that has the role and empty content: a client that joins deltas
  sees the same text.
- `token_ids` and `logprobs` are of the new tokens; `prompt_token_ids` is sent again.
- If the tokens end the answer already, it ends at once.
)";

const char* endpoint_name(Endpoint endpoint) {
  return endpoint == Endpoint::kBoth ? "both" : endpoint == Endpoint::kChat ? "chat" : "completions";
}

const char* action_name(FieldAction action) {
  switch (action) {
    case FieldAction::kUsed: return "used";
    case FieldAction::kChecked: return "checked, no effect";
    case FieldAction::kIgnored: return "ignored";
    case FieldAction::kRefused: return "refused";
  }
  return "";
}

}  // namespace

std::string request_fields_markdown() {
  std::string page =
      "# Fields of a request\n\n"
      "What happens to each field of `/v1/chat/completions` and `/v1/completions`. `null` counts as not given. A field that\n"
      "is not in this table is ignored, as vLLM does. A refused field is answered 400 with its name in `param`, because\n"
      "ignoring it would give an answer that was not asked for.\n\n"
      "This page is printed from the table in `src/openai/request_fields.cc`; a test holds it to that.\n\n"
      "| field | endpoint | what happens | values |\n| --- | --- | --- | --- |\n";
  size_t count = 0;
  const FieldRow* rows = field_table(&count);
  for (const FieldRow& row : std::span(rows, count)) {
    page += fmt::format("| `{}` | {} | {} | {} |\n", row.name, endpoint_name(row.endpoint), action_name(row.action), row.note);
  }
  page += kNotes;
  return page;
}

}  // namespace hadal::openai
