#include "model/config.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "model/config_test_cases.h"
#include "tensor/test_files.h"

namespace hadal {
namespace {

using testing::HasSubstr;
using testing_configs::Json;
using testing_configs::llama;
using testing_configs::qwen2;
using testing_configs::v2_lite;
using testing_configs::v3;

StatusOr<ModelConfig> parse(const Json& json) { return parse_model_config(json.dump()); }

Json with(Json json, const char* key, Json value) {
  json[key] = std::move(value);
  return json;
}
Json without(Json json, const char* key) {
  json.erase(key);
  return json;
}

TEST(ModelConfig, DeepseekV3) {
  const auto config = parse(v3());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, Architecture::kDeepseekV3);
  EXPECT_EQ(config->vocab, 129280);
  EXPECT_EQ(config->hidden, 7168);
  EXPECT_EQ(config->intermediate, 18432);
  EXPECT_EQ(config->layers, 61);
  EXPECT_EQ(config->heads, 128);
  EXPECT_EQ(config->max_position, 163840);
  EXPECT_EQ(config->mtp_layers, 1);
  EXPECT_EQ(config->torch_dtype, DType::kBF16);
  EXPECT_EQ(config->bos, 0);
  EXPECT_EQ(config->eos, std::vector<int32_t>{1});
  EXPECT_FALSE(config->tie_embeddings);
  EXPECT_FALSE(config->gqa.has_value());
  ASSERT_TRUE(config->mla.has_value());
  EXPECT_EQ(config->mla->q_lora_rank, 1536);
  EXPECT_EQ(config->mla->kv_lora_rank, 512);
  EXPECT_EQ(config->mla->nope, 128);
  EXPECT_EQ(config->mla->rope, 64);
  EXPECT_EQ(config->mla->v, 128);
  EXPECT_EQ(config->rope.scaling, RopeScaling::kYarn);
  EXPECT_EQ(config->rope.factor, 40.0);
  EXPECT_EQ(config->rope.original_max_position, 4096);
  EXPECT_EQ(config->rope.mscale_all_dim, 1.0);
  EXPECT_EQ(config->rope.layout, RopeLayout::kInterleaved);
  EXPECT_EQ(config->moe.routed, 256);
  EXPECT_EQ(config->moe.top_k, 8);
  EXPECT_EQ(config->moe.n_group, 8);
  EXPECT_EQ(config->moe.topk_group, 4);
  EXPECT_EQ(config->moe.scoring, ScoringFunc::kSigmoid);
  EXPECT_EQ(config->moe.method, TopkMethod::kNoauxTc);
  EXPECT_TRUE(config->moe.norm_topk_prob);
  EXPECT_EQ(config->moe.routed_scaling_factor, 2.5);
  EXPECT_FALSE(config->is_moe_layer(2));
  EXPECT_TRUE(config->is_moe_layer(3));
  EXPECT_EQ(config->quant.method, QuantMethod::kFp8);
  EXPECT_EQ(config->quant.block_rows, 128);
  EXPECT_EQ(config->quant.scale_fmt, "");
}

TEST(ModelConfig, DeepseekV2Lite) {
  const auto config = parse(v2_lite());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, Architecture::kDeepseekV2);
  EXPECT_EQ(config->mla->q_lora_rank, 0);
  EXPECT_EQ(config->moe.method, TopkMethod::kGreedy);
  EXPECT_EQ(config->moe.scoring, ScoringFunc::kSoftmax);
  EXPECT_EQ(config->moe.shared, 2);
  EXPECT_FALSE(config->moe.norm_topk_prob);
  EXPECT_EQ(config->rope.mscale, 0.707);
  EXPECT_EQ(config->quant.method, QuantMethod::kNone);
  EXPECT_TRUE(parse(with(v2_lite(), "model_type", "deepseek")).ok());  // an early upload
}

TEST(ModelConfig, DenseModels) {
  auto config = parse(llama());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->gqa->kv_heads, 8);
  EXPECT_EQ(config->gqa->head_dim, 128);
  EXPECT_FALSE(config->gqa->qkv_bias);
  EXPECT_EQ(config->gqa->layer_window, std::vector<int32_t>(32, 0));
  EXPECT_EQ(config->rope.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(config->rope.layout, RopeLayout::kHalfSplit);
  EXPECT_EQ(config->moe.routed, 0);
  EXPECT_FALSE(config->is_moe_layer(5));
  EXPECT_EQ(config->eos, (std::vector<int32_t>{128001, 128008, 128009}));

  config = parse(with(llama(), "attention_bias", true));
  EXPECT_TRUE(config->gqa->qkv_bias && config->gqa->o_bias);
  config = parse(without(without(llama(), "num_key_value_heads"), "head_dim"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->gqa->kv_heads, 32);

  config = parse(qwen2());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->gqa->qkv_bias);
  EXPECT_FALSE(config->gqa->o_bias);
  EXPECT_EQ(config->gqa->layer_window,
            std::vector<int32_t>(28, 0));  // the number is there, the switch is off
}

TEST(ModelConfig, SlidingWindows) {
  Json json = with(qwen2(), "num_hidden_layers", 4);
  json["use_sliding_window"] = true;
  json["max_window_layers"] = 2;
  json["sliding_window"] = 24;
  EXPECT_EQ(parse(json)->gqa->layer_window, (std::vector<int32_t>{0, 0, 24, 24}));
  json["layer_types"] = {"sliding_attention", "full_attention", "full_attention", "sliding_attention"};
  EXPECT_EQ(parse(json)->gqa->layer_window, (std::vector<int32_t>{24, 0, 0, 24}));
  EXPECT_EQ(parse(with(without(json, "layer_types"), "sliding_window", nullptr))->gqa->layer_window,
            (std::vector<int32_t>{0, 0, 0, 0}));
}

TEST(ModelConfig, RopeIsReadInEveryForm) {
  const Json yarn = {{"factor", 4.0}, {"original_max_position_embeddings", 64}, {"mscale", 0.5}};
  for (const char* key : {"type", "rope_type"}) {
    const auto config = parse(with(v3(), "rope_scaling", with(yarn, key, "yarn")));
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->rope.scaling, RopeScaling::kYarn);
    EXPECT_EQ(config->rope.mscale, 0.5);
    EXPECT_EQ(config->rope.mscale_all_dim, 0.0);  // absent
    EXPECT_EQ(config->rope.beta_fast, 32.0);
  }
  Json json = without(without(v3(), "rope_scaling"), "rope_theta");
  json["rope_parameters"] = with(with(yarn, "rope_type", "yarn"), "rope_theta", 5000.0);
  EXPECT_EQ(parse(json)->rope.theta, 5000.0);
  json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 70000.0}};
  EXPECT_EQ(parse(json)->rope.theta, 70000.0);
  EXPECT_EQ(parse(json)->rope.scaling, RopeScaling::kNone);
  EXPECT_EQ(parse(with(llama(), "rope_scaling", nullptr))->rope.scaling, RopeScaling::kNone);
  const auto linear = parse(with(llama(), "rope_scaling", {{"type", "linear"}, {"factor", 4}}));
  EXPECT_EQ(linear->rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(linear->rope.factor, 4.0);
  EXPECT_EQ(parse(with(v3(), "rope_interleave", false))->rope.layout, RopeLayout::kHalfSplit);
}

TEST(ModelConfig, Quantisation) {
  auto config = parse(with(v3(), "quantization_config",
                           {{"quant_method", "fp8"},
                            {"fmt", "e4m3"},
                            {"activation_scheme", "dynamic"},
                            {"weight_block_size", {64, 32}},
                            {"scale_fmt", "ue8m0"}}));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->quant.block_rows, 64);
  EXPECT_EQ(config->quant.block_cols, 32);
  EXPECT_EQ(config->quant.scale_fmt, "ue8m0");

  const Json awq = {{"quant_method", "awq"}, {"bits", 4},         {"group_size", 64},
                    {"zero_point", true},    {"version", "GEMM"}, {"modules_to_not_convert", {"lm_head"}},
                    {"backend", "autoawq"},  {"do_fuse", false},  {"exllama_config", nullptr}};
  config = parse(with(v2_lite(), "quantization_config", awq));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->quant.method, QuantMethod::kAwq);
  EXPECT_EQ(config->quant.group, 64);
  config = parse(with(v2_lite(), "quantization_config",
                      {{"quant_method", "awq"}, {"w_bit", 4}, {"q_group_size", 32}, {"zero_point", true}}));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->quant.group, 32);
}

TEST(ModelConfig, GenerationDefaults) {
  auto config = *parse(qwen2());
  EXPECT_EQ(config.bos, 151643);
  ASSERT_TRUE(
      apply_generation_config(R"({"bos_token_id": 151646, "eos_token_id": [151643, 151645], "do_sample": true,
      "temperature": 0.6, "top_p": 0.95, "top_k": 20, "repetition_penalty": 1.05, "transformers_version": "4.39"})",
                              config)
          .ok());
  EXPECT_EQ(config.bos, 151646);
  EXPECT_EQ(config.eos, (std::vector<int32_t>{151643, 151645}));
  EXPECT_EQ(config.generation.temperature, 0.6);
  EXPECT_EQ(config.generation.top_p, 0.95);
  EXPECT_EQ(config.generation.top_k, 20);
  EXPECT_EQ(config.generation.repetition_penalty, 1.05);
  EXPECT_EQ(config.generation.min_p, std::nullopt);
  ASSERT_TRUE(apply_generation_config(R"({"typical_p": 0.5})", config).ok());  // logged, not an error
  EXPECT_EQ(config.eos.size(), 2u);
  for (const char* bad : {R"({"temperature": -1})", R"({"top_p": 0})", R"({"top_p": "x"})",
                          R"({"top_k": 1.5})", R"({"eos_token_id": -1})", R"({"eos_token_id": [1, 999999]})",
                          R"({"max_new_tokens": 0})", "[]", "{", ""})
    EXPECT_FALSE(apply_generation_config(bad, config).ok()) << bad;
}

TEST(ModelConfig, EveryBadValueIsNamed) {
  for (const auto& [base, key, value, message] : testing_configs::bad_values()) {
    const auto config = parse(with(base, key.c_str(), value));
    ASSERT_FALSE(config.ok()) << key << " = " << value;
    const std::string text(message_of(config.status()));
    EXPECT_THAT(text, HasSubstr(message)) << key << " = " << value;
    EXPECT_EQ(text.substr(0, 13), "config.json: ");
  }
}

TEST(ModelConfig, EveryMissingKeyIsNamed) {
  const auto expect_named = [](const Json& base, std::initializer_list<const char*> keys) {
    for (const char* key : keys) {
      for (const auto& config :
           {parse(without(base, key)), parse(with(base, key, "a text")), parse(with(base, key, -7)),
            parse(with(base, key, {{"an", "object"}})), parse(with(base, key, Json::array({1})))}) {
        ASSERT_FALSE(config.ok()) << key;
        EXPECT_THAT(std::string(message_of(config.status())), HasSubstr(key));
      }
    }
  };
  const auto sizes = {"vocab_size",        "hidden_size",         "intermediate_size",
                      "num_hidden_layers", "num_attention_heads", "max_position_embeddings",
                      "rms_norm_eps"};
  for (const Json& base : {v3(), v2_lite(), llama(), qwen2()}) expect_named(base, sizes);
  expect_named(v3(), {"q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
                      "moe_intermediate_size", "num_experts_per_tok", "first_k_dense_replace",
                      "norm_topk_prob", "routed_scaling_factor", "n_group", "topk_group"});
}

TEST(ModelConfig, UnknownKeysAreRefusedUnlessNeutral) {
  for (const Json& neutral :
       {Json(nullptr), Json(false), Json(0), Json(0.0), Json(""), Json::array(), Json::object()})
    EXPECT_TRUE(parse(with(llama(), "some_new_switch", neutral)).ok()) << neutral;
  for (const Json& value : {Json(true), Json(1), Json(-0.5), Json("x"), Json({1}), Json({{"a", nullptr}})}) {
    const auto config = parse(with(llama(), "some_new_switch", value));
    ASSERT_FALSE(config.ok()) << value;
    EXPECT_EQ(config.status().code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(std::string(message_of(config.status())), HasSubstr("some_new_switch"));
  }
}

TEST(ModelConfig, OtherArchitecturesAreRefusedByName) {
  for (const char* name : {"DeepseekV32ForCausalLM", "DeepseekV4ForCausalLM", "DeepseekV41ForCausalLM",
                           "Qwen3ForCausalLM", "DeepseekForCausalLM", "MixtralForCausalLM"}) {
    const auto config = parse(with(v3(), "architectures", {name}));
    ASSERT_FALSE(config.ok());
    EXPECT_EQ(config.status().code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(std::string(message_of(config.status())), HasSubstr(name));
  }
  for (const char* type : {"deepseek_v32", "deepseek_v4", "deepseek_v41", "qwen3", "kimi_k2", "deepseek"}) {
    EXPECT_THAT(std::string(message_of(parse(with(v3(), "model_type", type)).status())), HasSubstr(type));
    EXPECT_THAT(std::string(message_of(parse({{"model_type", type}}).status())), HasSubstr(type));
  }
  EXPECT_EQ(parse(without(v3(), "architectures"))->architecture, Architecture::kDeepseekV3);
  EXPECT_EQ(parse(without(v3(), "model_type"))->architecture, Architecture::kDeepseekV3);
  EXPECT_FALSE(parse(Json::object()).ok());
}

TEST(ModelConfig, BrokenTextIsAnError) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("7"), std::string("{\"a\": NaN}"),
        std::string("{\"hidden_size\": 1e999}"), std::string("{}\0{}", 5), std::string("{\"\xff\": 1}"),
        std::string(100000, '[')}) {
    const auto config = parse_model_config(text);
    ASSERT_FALSE(config.ok()) << text.substr(0, 30);
    EXPECT_THAT(std::string(message_of(config.status())), HasSubstr("config.json"));
  }
}

TEST(ModelConfig, LoadsAFolder) {
  const testing_files::Scratch scratch;
  EXPECT_THAT(std::string(message_of(load_model_config(scratch.path()).status())), HasSubstr("config.json"));
  scratch.write("config.json", qwen2().dump());
  EXPECT_EQ(load_model_config(scratch.path())->generation.temperature, std::nullopt);
  scratch.write("generation_config.json", R"({"temperature": 0.25})");
  EXPECT_EQ(load_model_config(scratch.path())->generation.temperature, 0.25);
  scratch.write("generation_config.json", R"({"temperature": "hot"})");
  EXPECT_THAT(std::string(message_of(load_model_config(scratch.path()).status())),
              testing::AllOf(HasSubstr(scratch.path()), HasSubstr("generation_config.json: temperature")));
}

TEST(ModelConfig, OracleConfigsLoad) {
  const std::string root = testing_files::oracle_checkpoints();
  if (root.empty()) {
    std::printf("no conformance data here: only the cases above ran\n");
    return;
  }
  int seen = 0;
  for (const auto& item : std::filesystem::directory_iterator(root)) {
    const auto config = load_model_config(item.path().string());
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_NE(config->mla.has_value(), config->gqa.has_value());
    const std::string name = item.path().filename().string();
    EXPECT_EQ(config->quant.method == QuantMethod::kFp8, name.find("fp8") != std::string::npos) << name;
    EXPECT_EQ(config->quant.method == QuantMethod::kAwq, name.find("awq") != std::string::npos) << name;
    ++seen;
  }
  EXPECT_GE(seen, 20);
}

}  // namespace
}  // namespace hadal
