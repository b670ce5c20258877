#!/usr/bin/env python3
"""Small random checkpoints with what a correct engine computes from them, in the form that tests/oracle_test.cc reads.

    make_test_checkpoints.py OUT            writes the cases (tests/data/checkpoints holds its output)
    make_test_checkpoints.py --verify DIR   recomputes every checkpoint under DIR, compares with its expected.safetensors

Needs numpy. A case is a folder with config.json, model*.safetensors and expected.safetensors: input_ids [B, T],
logits [B, T, V] float32, greedy [B, N], and `comparable` [B, T] where some position's router stands so near another
choice that a right engine may differ. Expected values come from tools/reference_model.py, in float64, from exactly the
numbers that the files hold. Weights are drawn wide, so that a wrong transposition, scale or rotation changes the argmax.
"""

import argparse
import json
import os
import sys

import numpy as np

import reference_safetensors as st
from reference_model import Model

PROMPTS, TOKENS, NEW = 2, 32, 12
NEAR = 5e-5  # a router nearer than this to another choice is not compared

DENSE = dict(
    vocab_size=96,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    rms_norm_eps=1e-5,
    hidden_act="silu",
    tie_word_embeddings=False,
    rope_theta=10000.0,
    rope_scaling=None,
    bos_token_id=0,
    eos_token_id=1,
)
MLA = dict(
    DENSE,
    num_key_value_heads=4,
    kv_lora_rank=24,
    q_lora_rank=20,
    qk_nope_head_dim=12,
    qk_rope_head_dim=8,
    v_head_dim=10,
    moe_intermediate_size=20,
    first_k_dense_replace=1,
    moe_layer_freq=1,
    n_routed_experts=8,
    n_shared_experts=1,
    num_experts_per_tok=3,
    attention_bias=False,
)
YARN = dict(type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=32, beta_slow=1)
V2 = dict(
    MLA,
    architectures=["DeepseekV2ForCausalLM"],
    model_type="deepseek_v2",
    scoring_func="softmax",
    norm_topk_prob=False,
    routed_scaling_factor=1.0,
)
V3 = dict(
    MLA,
    architectures=["DeepseekV3ForCausalLM"],
    model_type="deepseek_v3",
    scoring_func="sigmoid",
    topk_method="noaux_tc",
    n_group=4,
    topk_group=2,
    norm_topk_prob=True,
    routed_scaling_factor=2.5,
    num_nextn_predict_layers=1,
    rope_scaling=dict(YARN, mscale=1.0, mscale_all_dim=1.0),
)
LLAMA = dict(DENSE, architectures=["LlamaForCausalLM"], model_type="llama")
QWEN2 = dict(DENSE, architectures=["Qwen2ForCausalLM"], model_type="qwen2", tie_word_embeddings=True)

# name: (config, storage, options)
CASES = {
    "v2-lite": (
        dict(V2, q_lora_rank=None, topk_method="greedy", n_group=1, topk_group=1, n_shared_experts=2),
        "bf16",
        {},
    ),
    "v2-groups": (
        dict(
            V2,
            topk_method="group_limited_greedy",
            n_group=4,
            topk_group=2,
            routed_scaling_factor=4.0,
            num_experts_per_tok=3,
            attention_bias=True,
            rope_scaling=dict(YARN, mscale=1.0, mscale_all_dim=0.707),
        ),
        "bf16",
        dict(shards=2),
    ),
    "v3": (V3, "bf16", dict(mtp=True)),
    "v3-halves": (dict(V3, rope_interleave=False, rope_scaling=None, rms_norm_eps=1e-3), "bf16", {}),
    "v3-fp8": (V3, "fp8", dict(block=(32, 32))),
    "v3-fp8-ue8m0": (V3, "fp8", dict(block=(32, 16), ue8m0=True, mtp=True)),
    "llama-llama3": (
        dict(
            LLAMA,
            head_dim=12,
            attention_bias=True,
            rope_scaling=dict(
                rope_type="llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=32,
            ),
        ),
        "bf16",
        {},
    ),
    "llama-linear": (dict(LLAMA, rope_scaling=dict(type="linear", factor=4.0), mlp_bias=True), "f32", {}),
    "qwen2-window": (dict(QWEN2, use_sliding_window=True, sliding_window=9, max_window_layers=1), "bf16", {}),
    "qwen2-awq": (QWEN2, "awq", dict(group=32)),
    "v2-awq": (
        dict(V2, q_lora_rank=None, topk_method="greedy", kv_lora_rank=32, moe_intermediate_size=32),
        "awq",
        dict(group=32),
    ),
}


def shapes(c):
    """Name and shape of every tensor that the config implies."""
    h, inter = c["hidden_size"], c["intermediate_size"]
    yield "model.embed_tokens.weight", (c["vocab_size"], h)
    yield "model.norm.weight", (h,)
    if not c["tie_word_embeddings"]:
        yield "lm_head.weight", (c["vocab_size"], h)
    for layer in range(c["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        yield p + "input_layernorm.weight", (h,)
        yield p + "post_attention_layernorm.weight", (h,)
        attention = mla_shapes(c) if "deepseek" in c["model_type"] else gqa_shapes(c)
        for name, shape in attention:
            yield p + "self_attn." + name, shape
        if "n_routed_experts" in c and layer >= c["first_k_dense_replace"]:
            yield p + "mlp.gate.weight", (c["n_routed_experts"], h)
            if c["model_type"] == "deepseek_v3":
                yield p + "mlp.gate.e_score_correction_bias", (c["n_routed_experts"],)
            for e in range(c["n_routed_experts"]):
                yield from mlp_shapes(f"{p}mlp.experts.{e}.", h, c["moe_intermediate_size"], False)
            yield from mlp_shapes(
                p + "mlp.shared_experts.", h, c["n_shared_experts"] * c["moe_intermediate_size"], False
            )
        else:
            yield from mlp_shapes(p + "mlp.", h, inter, c.get("mlp_bias", False))


def mlp_shapes(p, h, inter, bias):
    for name, shape in (("gate_proj", (inter, h)), ("up_proj", (inter, h)), ("down_proj", (h, inter))):
        yield f"{p}{name}.weight", shape
        if bias:
            yield f"{p}{name}.bias", shape[:1]


def mla_shapes(c):
    h, heads, rank, q_rank = c["hidden_size"], c["num_attention_heads"], c["kv_lora_rank"], c["q_lora_rank"]
    q_out = heads * (c["qk_nope_head_dim"] + c["qk_rope_head_dim"])
    if q_rank is None:
        yield "q_proj.weight", (q_out, h)
    else:
        yield "q_a_proj.weight", (q_rank, h)
        yield "q_a_layernorm.weight", (q_rank,)
        yield "q_b_proj.weight", (q_out, q_rank)
    yield "kv_a_proj_with_mqa.weight", (rank + c["qk_rope_head_dim"], h)
    yield "kv_a_layernorm.weight", (rank,)
    yield "kv_b_proj.weight", (heads * (c["qk_nope_head_dim"] + c["v_head_dim"]), rank)
    yield "o_proj.weight", (h, heads * c["v_head_dim"])
    if c["attention_bias"]:
        yield "q_a_proj.bias", (q_rank,)
        yield "kv_a_proj_with_mqa.bias", (rank + c["qk_rope_head_dim"],)
        yield "o_proj.bias", (h,)


def gqa_shapes(c):
    h, dim = c["hidden_size"], c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])
    q, kv = c["num_attention_heads"] * dim, c["num_key_value_heads"] * dim
    for name, shape in (("q_proj", (q, h)), ("k_proj", (kv, h)), ("v_proj", (kv, h)), ("o_proj", (h, q))):
        yield name + ".weight", shape
        if c.get("attention_bias") or (c["model_type"] == "qwen2" and name != "o_proj"):
            yield name + ".bias", shape[:1]


def draw(name, shape, rng):
    x = rng.standard_normal(shape)
    if "norm" in name:
        return 1 + 0.3 * x
    if "e_score_correction_bias" in name:
        return 0.2 * x
    if len(shape) == 1:
        return 0.3 * x
    return x if "embed_tokens" in name else 1.5 * x / shape[-1] ** 0.5


def is_linear(name, shape):
    return len(shape) == 2 and not any(
        part in name for part in ("embed_tokens", "lm_head", "mlp.gate.weight")
    )


def fp8(w, block, ue8m0):
    rows, cols = block
    n, m = -(-w.shape[0] // rows), -(-w.shape[1] // cols)
    padded = np.zeros((n * rows, m * cols))
    padded[: w.shape[0], : w.shape[1]] = w
    scale = np.maximum(np.abs(padded.reshape(n, rows, m, cols)).max((1, 3)), 1e-12) / 448
    scale = np.exp2(np.ceil(np.log2(scale))) if ue8m0 else scale.astype(np.float32).astype(np.float64)
    spread = np.repeat(np.repeat(scale, rows, 0), cols, 1)[: w.shape[0], : w.shape[1]]
    return st.e4m3(w / spread), st.e8m0(scale) if ue8m0 else st.f32(scale)


def pack_awq(q):
    """[rows, cols] of 0..15 -> int32 [rows, cols / 8]: nibble i holds column 8c + order[i]."""
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    q = q.astype(np.int64).reshape(q.shape[0], -1, 8)
    return st.i32(sum(q[:, :, order[i]] << 4 * i for i in range(8)).astype(np.uint32).view(np.int32))


def awq(w, group):
    g = w.reshape(w.shape[0], -1, group)
    low, high = g.min(-1), g.max(-1)
    scale = (np.maximum(high - low, 1e-5) / 15).astype(np.float16).astype(np.float64)
    zero = np.clip(-np.round(low / scale), 0, 15)
    q = np.clip(np.round(g / scale[..., None] + zero[..., None]), 0, 15).reshape(w.shape)
    return {"qweight": pack_awq(q.T), "qzeros": pack_awq(zero.T), "scales": st.f16(scale.T)}


def store(name, w, storage, options):
    """The tensors that hold one drawn tensor."""
    if storage == "awq":
        group = options["group"]
        if is_linear(name, w.shape) and w.shape[1] % group == 0 and w.shape[0] % 8 == 0:
            return {name[: -len("weight")] + part: t for part, t in awq(w, group).items()}
        return {name: st.f16(w)}
    if storage == "fp8" and is_linear(name, w.shape):
        q, scale = fp8(w, options["block"], options.get("ue8m0", False))
        return {name: q, name[: -len("weight")] + "weight_scale_inv": scale}
    if "e_score_correction_bias" in name or storage == "f32":
        return {name: st.f32(w)}
    return {name: st.bf16(w)}


def publish(folder, config, storage, options, rng):
    config, tensors = dict(config), {}
    for name, shape in shapes(config):
        tensors.update(store(name, draw(name, shape, rng), storage, options))
    if options.get("mtp"):  # one more layer and its extras, to be skipped
        last, h = config["num_hidden_layers"], config["hidden_size"]
        extra = {
            f"model.layers.{last}.{n}.weight": st.bf16(np.ones(s))
            for n, s in (
                ("enorm", (h,)),
                ("hnorm", (h,)),
                ("eh_proj", (h, 2 * h)),
                ("shared_head.norm", (h,)),
            )
        }
        tensors.update(extra)
    config["torch_dtype"] = {"f32": "float32", "awq": "float16"}.get(storage, "bfloat16")
    if storage == "fp8":
        config["quantization_config"] = dict(
            quant_method="fp8",
            fmt="e4m3",
            activation_scheme="dynamic",
            weight_block_size=list(options["block"]),
            **({"scale_fmt": "ue8m0"} if options.get("ue8m0") else {}),
        )
    if storage == "awq":
        config["quantization_config"] = dict(
            quant_method="awq",
            bits=4,
            group_size=options["group"],
            zero_point=True,
            version="gemm",
            modules_to_not_convert=None,
        )
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, indent=1)
    write_shards(folder, tensors, options.get("shards", 1))


def write_shards(folder, tensors, shards):
    if shards == 1:
        st.write(os.path.join(folder, "model.safetensors"), tensors)
        return
    names, where = sorted(tensors), {}
    for n in range(shards):
        file = f"model-{n + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[n::shards]}
        st.write(os.path.join(folder, file), part)
        where.update({name: file for name in part})
    total = sum(t.data.nbytes for t in tensors.values())
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {"total_size": total}, "weight_map": where}, file, indent=0)


def expect(folder, rng):
    """Writes expected.safetensors; false where a margin is too thin to compare by (then draw again)."""
    model, c = Model(folder), json.load(open(os.path.join(folder, "config.json")))
    ids = rng.integers(2, c["vocab_size"], (PROMPTS, TOKENS))
    logits, greedy, comparable = [], [], np.ones(ids.shape, np.int64)
    for row, prompt in enumerate(ids):
        first = model.logits(prompt)
        gaps, sequence = model.router_gap, list(prompt)
        if any(gap.min() < NEAR for gap in gaps[:-1]):
            return False  # an inner layer's near tie would reach other positions
        if gaps:
            comparable[row] = gaps[-1] >= NEAR
        for _ in range(NEW):
            last = model.logits(sequence)[-1]
            best = np.sort(last)[-2:]
            near = (
                model.router_gap
                and min(gap.min() for gap in model.router_gap[:-1] + [model.router_gap[-1][-1:]]) < NEAR
            )
            if best[1] - best[0] < 2e-3 * first.std() or near:
                return False
            sequence.append(int(last.argmax()))
        logits.append(first)
        greedy.append(sequence[TOKENS:])
    out = {"input_ids": st.i64(ids), "logits": st.f32(np.stack(logits)), "greedy": st.i64(np.array(greedy))}
    if not comparable.all():
        out["comparable"] = st.i64(comparable)
    st.write(os.path.join(folder, "expected.safetensors"), out)
    return True


def make(out, only):
    for number, (name, (config, storage, options)) in enumerate(CASES.items()):
        if only and name != only:
            continue
        folder = os.path.join(out, name)
        for attempt in range(100):
            rng = np.random.default_rng([20261124, number, attempt])
            publish(folder, config, storage, options, rng)
            if expect(folder, rng):
                break
        else:
            sys.exit(f"{name}: no seed with clear margins")
        size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
        print(f"{name:14s} {size:7d} bytes, draw {attempt}")


def verify(root):
    """Largest error over comparable positions in units of the logits' deviation, and greedy tokens by teacher forcing."""
    worst = 0.0
    for name in sorted(os.listdir(root)):
        folder = os.path.join(root, name)
        expected = {k: t.values() for k, t in st.read(os.path.join(folder, "expected.safetensors")).items()}
        comparable = expected.get("comparable", np.ones(expected["input_ids"].shape)).astype(bool)
        deviation = expected["logits"].std()
        forms = (
            (False, True)
            if "deepseek" in json.load(open(os.path.join(folder, "config.json")))["model_type"]
            else (False,)
        )
        for absorbed in forms:
            model, error, equal, total = Model(folder, absorbed), 0.0, 0, 0
            for ids, logits, greedy, use in zip(
                expected["input_ids"], expected["logits"], expected["greedy"], comparable
            ):
                got = model.logits(np.concatenate([ids, greedy[:-1]]))
                error = max(error, np.abs(got[: len(ids)] - logits)[use].max() / deviation)
                equal += int((got[len(ids) - 1 :].argmax(-1) == greedy).sum())
                total += len(greedy)
            worst = max(worst, error)
            print(
                f"{name:18s} {'absorbed' if absorbed else '':8s} error {error:.2e} of the deviation, "
                f"greedy {equal}/{total}",
                flush=True,
            )
            if equal != total or not error < 2e-4:
                sys.exit(f"{name}: does not agree")
    print(f"all agree; largest error {worst:.2e}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", nargs="?")
    parser.add_argument("--only", help="one case")
    parser.add_argument("--verify", metavar="DIR")
    args = parser.parse_args()
    if args.verify:
        verify(args.verify)
    elif args.out:
        make(args.out, args.only)
    else:
        parser.error("give OUT or --verify DIR")


if __name__ == "__main__":
    main()
