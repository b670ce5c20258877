// What a server is told, or reads off its checkpoint, about answers: how reasoning and tool calls are marked,
// which variables templates get, which keys open what.
#pragma once

#include "base/status.h"
#include "openai/request.h"
#include "server/access.h"
#include "server/api_server.h"
#include "text/answer/tool_parser.h"
#include "text/reasoning_parser.h"

namespace hadal {

struct AnswerParsers {
  ReasoningKind reasoning = ReasoningKind::kNone;
  const ToolFormat* tools = nullptr;  // null: calls stay in the text
};

/// By the options; "auto" by vocabulary and template: templates with a `thinking` switch (V3.1 on) open
/// reasoning in the prompt where it is wanted, R1's always reason; calls are in the form that the template or
/// encoder writes. Errors: invalid_argument for a name that is not known.
StatusOr<AnswerParsers> choose_parsers(const ServeOptions& options, const LoadedEngine& loaded);

/// A JSON object, or null for "". Errors: invalid_argument.
StatusOr<openai::JsonPtr> read_template_kwargs(const std::string& text);

/// Keys of the options, else of HADAL_API_KEY, VLLM_API_KEY (several by commas) and HADAL_ADMIN_API_KEY.
/// Errors: invalid_argument for one that no header could carry.
StatusOr<AccessControl> read_access(const ServeOptions& options);

}  // namespace hadal
