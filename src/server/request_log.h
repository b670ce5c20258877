// --enable-log-requests: a line when a request goes to the engine and one when its answer ends, with its id,
// its parameters and counts of tokens. Never texts, token ids or salts: of stop strings and the like the line
// has how many there are.
//
// Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "engine/engine.h"
#include "openai/response.h"
#include "server/submission.h"

namespace hadal {

/// `first`: what the engine gets of the first prompt; the others' parameters are the same.
void log_request(const Submission& submission, const std::string& id, const EngineRequest& first);

/// `reason`: those of its choices, or the code of the error that ended it, or "client_gone".
void log_request_end(const std::string& id, std::string_view reason, const openai::Usage& usage,
                     double seconds);

}  // namespace hadal
