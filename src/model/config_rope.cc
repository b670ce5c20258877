#include <nlohmann/json.hpp>

#include "model/config_parts.h"
#include "tensor/printable.h"

namespace hadal {
namespace {

using Json = nlohmann::json;

constexpr ConfigReader::NumberRange kTheta = {1.0 + 1e-6, 1e12};
constexpr ConfigReader::NumberRange kFactor = {1.0, 1e6};
constexpr ConfigReader::NumberRange kSmall = {0.0, 1e6};

void read_yarn(ConfigReader& in, RopeConfig& rope) {
  rope.beta_fast = in.number_or("beta_fast", {1e-6, 1e6}, 32.0);
  rope.beta_slow = in.number_or("beta_slow", {1e-6, 1e6}, 1.0);
  rope.mscale = in.number_or("mscale", kSmall, 1.0);
  rope.mscale_all_dim = in.number_or("mscale_all_dim", kSmall, 0.0);
  if (rope.beta_fast < rope.beta_slow) in.invalid("beta_fast", "is below beta_slow");
  if (in.value("attention_factor") != nullptr) in.unsupported("attention_factor", "is not implemented");
  in.only("truncate", true);
}

void read_llama3(ConfigReader& in, RopeConfig& rope) {
  rope.low_freq_factor = in.number("low_freq_factor", {1e-6, 1e6});
  rope.high_freq_factor = in.number("high_freq_factor", {1e-6, 1e6});
  if (rope.high_freq_factor <= rope.low_freq_factor)
    in.invalid("high_freq_factor", "must be above low_freq_factor");
}

/// The kind of scaling; `type` and `rope_type` may both be there if they agree.
RopeScaling read_kind(ConfigReader& in) {
  const std::string type = in.text_or("type", ""), rope_type = in.text_or("rope_type", "");
  if (!type.empty() && !rope_type.empty() && type != rope_type)
    in.invalid("rope_type", "is " + printable(rope_type) + " but type is " + printable(type));
  const std::string& kind = rope_type.empty() ? type : rope_type;
  if (kind == "default") return RopeScaling::kNone;
  if (kind == "linear") return RopeScaling::kLinear;
  if (kind == "llama3") return RopeScaling::kLlama3;
  if (kind == "yarn") return RopeScaling::kYarn;
  if (kind.empty()) {
    in.invalid("rope_type", "is missing");
  } else {
    in.unsupported("rope_type",
                   printable(kind) + " is not implemented (default, linear, llama3 and yarn are)");
  }
  return RopeScaling::kNone;
}

void read_scaling(ConfigReader& in, RopeConfig& rope) {
  rope.scaling = read_kind(in);
  in.only("partial_rotary_factor", 1.0);
  if (rope.scaling == RopeScaling::kNone) return;
  rope.factor = in.number("factor", kFactor);
  if (rope.scaling == RopeScaling::kLinear) return;
  rope.original_max_position = in.integer("original_max_position_embeddings", {1, 1 << 30});
  if (rope.scaling == RopeScaling::kYarn) {
    read_yarn(in, rope);
  } else {
    read_llama3(in, rope);
  }
}

}  // namespace

RopeConfig read_rope(ConfigReader& in) {
  RopeConfig rope;
  in.only("partial_rotary_factor", 1.0);
  rope.theta = in.number_or("rope_theta", kTheta, rope.theta);
  const Json* scaling = in.object("rope_scaling");
  const Json* parameters = in.object("rope_parameters");
  if (scaling != nullptr && parameters != nullptr && *scaling != *parameters) {
    in.invalid("rope_parameters", "and rope_scaling are both there and differ");
    return rope;
  }
  const Json* given = parameters != nullptr ? parameters : scaling;
  if (given == nullptr || given->empty()) return rope;
  ConfigReader inner(*given, parameters != nullptr ? "rope_parameters" : "rope_scaling");
  rope.theta = inner.number_or("rope_theta", kTheta, rope.theta);
  read_scaling(inner, rope);
  // a file re-saved with another kind may keep numbers that the kind does not use
  constexpr std::string_view kUnused[] = {"factor",          "original_max_position_embeddings",
                                          "low_freq_factor", "high_freq_factor",
                                          "beta_fast",       "beta_slow"};
  in.fail(inner.finish(kUnused));
  return rope;
}

}  // namespace hadal
