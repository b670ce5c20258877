#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/config_parts.h"
#include "tensor/printable.h"

namespace hadal {
namespace {

using Json = nlohmann::json;

/// Which modules are quantised is read off the tensors (specs 2.10), so lists of exceptions carry no news;
/// what only tells a Python library how to run is no news either.
constexpr std::string_view kHarmless[] = {
    "modules_to_not_convert", "ignored_layers",  "backend",       "do_fuse",
    "fuse_max_seq_len",       "modules_to_fuse", "exllama_config"};

void read_fp8(ConfigReader& in, QuantConfig& quant) {
  quant.method = QuantMethod::kFp8;
  in.only("fmt", std::string_view("e4m3"));
  in.only("activation_scheme", std::string_view("dynamic"));
  quant.scale_fmt = in.text_or("scale_fmt", "");
  if (quant.scale_fmt != "" && quant.scale_fmt != "ue8m0")
    in.unsupported("scale_fmt", printable(quant.scale_fmt) + " is not implemented (only 'ue8m0' is)");
  const auto block = in.integers_or_empty("weight_block_size", {1, 1 << 16});
  if (block.size() != 2) {
    in.unsupported("weight_block_size", "must be two numbers; fp8 without blocks is not implemented");
    return;
  }
  quant.block_rows = block[0];
  quant.block_cols = block[1];
}

void read_awq(ConfigReader& in, QuantConfig& quant) {
  quant.method = QuantMethod::kAwq;
  for (const char* key : {"bits", "w_bit"}) in.only(key, 4.0);
  if (in.value("bits") == nullptr && in.value("w_bit") == nullptr) in.invalid("bits", "is missing");
  in.only("zero_point", true);
  std::string version = in.text_or("version", "gemm");
  std::transform(version.begin(), version.end(), version.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (version != "gemm")
    in.unsupported("version", printable(version) + " is not implemented (only 'gemm' is)");
  const int32_t other = in.integer_or("q_group_size", {1, 1 << 16}, 0);
  quant.group =
      other != 0 && in.value("group_size") == nullptr ? other : in.integer("group_size", {1, 1 << 16});
  if (other != 0 && other != quant.group) in.invalid("q_group_size", "differs from group_size");
}

}  // namespace

QuantConfig read_quantization(ConfigReader& in) {
  QuantConfig quant;
  const Json* given = in.object("quantization_config");
  if (given == nullptr || given->empty()) return quant;
  ConfigReader inner(*given, "quantization_config");
  const std::string method = inner.text("quant_method");
  if (method == "fp8") {
    read_fp8(inner, quant);
  } else if (method == "awq") {
    read_awq(inner, quant);
  } else {
    inner.unsupported("quant_method", printable(method) + " is not implemented (fp8 and awq are)");
  }
  in.fail(inner.finish(kHarmless));
  return quant;
}

}  // namespace hadal
