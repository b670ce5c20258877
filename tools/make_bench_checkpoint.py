#!/usr/bin/env python3
"""Write a checkpoint of random bfloat16 weights, for measuring speed (the text it makes is noise).

    tools/make_bench_checkpoint.py OUT_DIR [--shape dense|moe] [--layers N]

dense: the Llama architecture, hidden 2048, about 100 MiB of weights a layer.
moe: the DeepSeek-V2-Lite layer (hidden 2048, 64 experts of 1408, 6 used, 2 shared), about 1.1 GiB a layer.
Needs Python 3 alone; several GB take seconds, since the values of a matrix repeat after half a million.
"""
import argparse
import array
import json
import math
import pathlib
import random
import struct

BLOCK = 524287  # values, a prime

DENSE = dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=32000, hidden_size=2048,
             intermediate_size=5632, num_attention_heads=16, num_key_value_heads=16, max_position_embeddings=8192,
             rms_norm_eps=1e-6, rope_theta=10000.0, tie_word_embeddings=False)
MOE = dict(architectures=["DeepseekV2ForCausalLM"], model_type="deepseek_v2", vocab_size=32000, hidden_size=2048,
           intermediate_size=10944, moe_intermediate_size=1408, num_attention_heads=16, num_key_value_heads=16,
           q_lora_rank=None, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128,
           n_routed_experts=64, n_shared_experts=2, num_experts_per_tok=6, first_k_dense_replace=1, moe_layer_freq=1,
           n_group=1, topk_group=1, topk_method="greedy", scoring_func="softmax", norm_topk_prob=False,
           routed_scaling_factor=1.0, max_position_embeddings=8192, rms_norm_eps=1e-6, rope_theta=10000.0,
           tie_word_embeddings=False)
COMMON = dict(hidden_act="silu", attention_bias=False, bos_token_id=0, eos_token_id=1, torch_dtype="bfloat16")


def mlp(prefix, hidden, width):
    yield f"{prefix}.gate_proj.weight", (width, hidden)
    yield f"{prefix}.up_proj.weight", (width, hidden)
    yield f"{prefix}.down_proj.weight", (hidden, width)


def dense_attention(prefix, c):
    for name in "qkvo":
        yield f"{prefix}.{name}_proj.weight", (c["hidden_size"], c["hidden_size"])


def mla(prefix, c):
    heads, hidden = c["num_attention_heads"], c["hidden_size"]
    nope, rope, value, latent = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"], c["kv_lora_rank"]
    yield f"{prefix}.q_proj.weight", (heads * (nope + rope), hidden)
    yield f"{prefix}.kv_a_proj_with_mqa.weight", (latent + rope, hidden)
    yield f"{prefix}.kv_a_layernorm.weight", (latent,)
    yield f"{prefix}.kv_b_proj.weight", (heads * (nope + value), latent)
    yield f"{prefix}.o_proj.weight", (hidden, heads * value)


def tensors(c):
    hidden = c["hidden_size"]
    yield "model.embed_tokens.weight", (c["vocab_size"], hidden)
    for layer in range(c["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", (hidden,)
        yield f"{prefix}.post_attention_layernorm.weight", (hidden,)
        is_mla = "kv_lora_rank" in c
        yield from (mla if is_mla else dense_attention)(f"{prefix}.self_attn", c)
        if not is_mla or layer < c["first_k_dense_replace"]:
            yield from mlp(f"{prefix}.mlp", hidden, c["intermediate_size"])
            continue
        yield f"{prefix}.mlp.gate.weight", (c["n_routed_experts"], hidden)
        for expert in range(c["n_routed_experts"]):
            yield from mlp(f"{prefix}.mlp.experts.{expert}", hidden, c["moe_intermediate_size"])
        yield from mlp(f"{prefix}.mlp.shared_experts", hidden, c["n_shared_experts"] * c["moe_intermediate_size"])
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (c["vocab_size"], hidden)


def bf16(value):
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return bits + 0x8000 >> 16


class Values:
    """Random bytes, quickly: a block of normal values for each width, whose length (a prime) shifts it against the rows. A
    matrix goes on in it where the last one ended, so that no two are alike."""

    def __init__(self):
        self.random, self.blocks, self.at = random.Random(1), {}, {}

    def block(self, width):
        if width not in self.blocks:
            table = [bf16(self.random.gauss(0, width ** -0.5)) for _ in range(4096)]
            values = array.array("H", self.random.choices(table, k=BLOCK))
            self.blocks[width], self.at[width] = memoryview(values.tobytes()), 0
        return self.blocks[width]

    def write(self, file, shape):
        left = 2 * math.prod(shape)
        if len(shape) == 1:
            file.write(b"\x80\x3f" * shape[0])  # 1.0
            return
        block = self.block(shape[1])
        while left:
            part = block[self.at[shape[1]]:][:left]
            file.write(part)
            left -= len(part)
            self.at[shape[1]] = (self.at[shape[1]] + len(part)) % len(block)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--shape", choices=["dense", "moe"], default="dense")
    parser.add_argument("--layers", type=int, default=8)
    arguments = parser.parse_args()
    config = {**COMMON, **(DENSE if arguments.shape == "dense" else MOE), "num_hidden_layers": arguments.layers}
    header, offset = {}, 0
    for name, shape in tensors(config):
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 64)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "config.json").write_text(json.dumps(config, indent=2))
    values = Values()
    with open(arguments.out / "model.safetensors", "wb", buffering=1 << 20) as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for name, shape in tensors(config):
            values.write(file, shape)
    print(f"{arguments.out}: {offset / 1e6:.0f} MB of weights")


if __name__ == "__main__":
    main()
