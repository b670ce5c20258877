// Asks the questions of test sets over the OpenAI API, Hadal's or another's, and judges the answers.
//
// Each pass asks all questions in one way: greedy or as the server samples by default, without thinking or
// (those that can) with it. Questions of a pass go out side by side, `max_concurrency` at once, each thread
// with a connection of its own. The errors of single requests are outcomes and count as wrong;
// run_skill_eval() itself fails only where nothing can be sent at all.
//
// Thinking is asked for by chat_template_kwargs {"thinking": true, "enable_thinking": true}, which DeepSeek's
// and others' templates know. An answer that does not end by itself (finish_reason length) is wrong.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "lab/load_generator.h"
#include "lab/skill_match.h"
#include "lab/skill_sets.h"

namespace hadal {

enum class SkillSampling : uint8_t { kGreedy, kDefault };

struct SkillPass {
  SkillSampling sampling = SkillSampling::kGreedy;
  bool thinking = false;
};

struct SkillEvalOptions {
  LoadTarget target;  // url, model, headers; its endpoint is not used
  std::vector<SkillPass> passes;
  int32_t max_concurrency = 32;
  uint64_t seed = 1;  // of sampled answers; question i of a pass gets seed + i
};

struct SkillOutcome {
  size_t question = 0, pass = 0;  // indices
  Verdict verdict;
  bool ran_on = false;
  std::string said;     // the answer, or what the error said
  bool failed = false;  // no answer came
};

/// Outcomes pass by pass, in the questions' order. `on_progress` as in run_load.
StatusOr<std::vector<SkillOutcome>> run_skill_eval(const std::vector<SkillQuestion>& questions,
                                                   const SkillEvalOptions& options,
                                                   const OnProgress& on_progress);

/// The JSON body of one request.
std::string skill_request(const SkillQuestion& question, const SkillPass& pass, const std::string& model,
                          uint64_t seed);
/// Reads the body of a chat completion into `outcome` and judges it.
void read_skill_answer(const SkillQuestion& question, const std::string& body, SkillOutcome* outcome);

}  // namespace hadal
