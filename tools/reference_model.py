"""Forward passes of the DeepSeek family in numpy, from the mathematics alone: a second opinion on src/model.

Model(folder).logits(ids) gives [T, vocab] for one sequence. Arithmetic is float64 except for the rotary angles, which
are float32 as the published code has them. MLA runs in expanded form, or in absorbed form with `absorbed=True`.
"""

import glob
import json
import os

import numpy as np

import reference_safetensors as st

AWQ_ORDER = [0, 4, 1, 5, 2, 6, 3, 7]  # nibble that holds column 8c + j


def unpack_awq(words):
    """[rows, cols / 8] int32 -> [rows, cols] of 0..15."""
    w = words.astype(np.int64) & 0xFFFFFFFF
    nibbles = np.stack([w >> 4 * i & 15 for i in AWQ_ORDER], -1)
    return nibbles.reshape(words.shape[0], -1)


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def silu(x):
    return x / (1 + np.exp(-x))


def mscale(factor, m):
    return 0.1 * m * np.log(factor) + 1 if factor > 1 else 1.0


class Rope:
    """cos and sin of every position; interleaved pairs (2i, 2i+1) or halves (i, i + dim/2)."""

    def __init__(self, config, dim, interleaved):
        self.interleaved = interleaved
        self.scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
        theta = self.scaling.get("rope_theta", config.get("rope_theta", 10000.0))
        kind = self.scaling.get("rope_type", self.scaling.get("type", "default"))
        f = np.float32
        # correctly rounded: numpy's own float32 power is an ulp off here and there, which at position 2,500 is
        # 2e-4 of the logits' deviation
        exponent = (np.arange(0, dim, 2, dtype=f) / f(dim)).astype(np.float64)
        period = (np.float64(f(theta)) ** exponent).astype(f)
        inverse, s = f(1) / period, self.scaling
        self.multiplier = 1.0
        if kind == "linear":
            inverse = inverse / f(s["factor"])
        elif kind == "llama3":
            inverse = self._llama3(inverse, s)
        elif kind == "yarn":
            inverse = self._yarn(inverse, period, s, dim, theta)
            self.multiplier = mscale(s["factor"], s.get("mscale", 1.0)) / mscale(
                s["factor"], s.get("mscale_all_dim", 0.0)
            )
        else:
            assert kind == "default", kind
        self.inverse = inverse.astype(f)
        self.yarn = kind == "yarn"

    @staticmethod
    def _llama3(inverse, s):
        f, original = np.float32, np.float32(s["original_max_position_embeddings"])
        low, high = f(s["low_freq_factor"]), f(s["high_freq_factor"])
        wavelength = f(2 * np.pi) / inverse
        smooth = (original / wavelength - low) / (high - low)
        blended = (1 - smooth) * inverse / f(s["factor"]) + smooth * inverse
        return np.where(
            wavelength > original / low,
            inverse / f(s["factor"]),
            np.where(wavelength < original / high, inverse, blended),
        )

    @staticmethod
    def _yarn(inverse, period, s, dim, theta):
        f = np.float32

        def pair_of(rotations):
            return (
                dim
                * np.log(s["original_max_position_embeddings"] / (rotations * 2 * np.pi))
                / (2 * np.log(theta))
            )

        low = max(np.floor(pair_of(s.get("beta_fast", 32))), 0)
        high = min(np.ceil(pair_of(s.get("beta_slow", 1))), dim - 1)
        ramp = np.clip(
            (np.arange(dim // 2, dtype=f) - f(low)) / f(high - low if high != low else 0.001), 0, 1
        )
        return f(1) / (f(s["factor"]) * period) * ramp + inverse * (1 - ramp)

    def __call__(self, x):
        """x [T, heads, dim], row t at position t."""
        angle = (np.arange(x.shape[0], dtype=np.float32)[:, None] * self.inverse).astype(np.float64)[
            :, None, :
        ]
        cos, sin = np.cos(angle) * self.multiplier, np.sin(angle) * self.multiplier
        half = x.shape[-1] // 2
        a, b = (x[..., 0::2], x[..., 1::2]) if self.interleaved else (x[..., :half], x[..., half:])
        turned = (a * cos - b * sin, b * cos + a * sin)
        return np.stack(turned, -1).reshape(x.shape) if self.interleaved else np.concatenate(turned, -1)


class Model:
    def __init__(self, folder, absorbed=False):
        self.config = json.load(open(os.path.join(folder, "config.json")))
        self.absorbed = absorbed
        self.tensors = {}
        for path in glob.glob(os.path.join(folder, "model*.safetensors")):
            self.tensors.update(st.read(path))
        self.cache = {}
        self.router_gap = []  # per expert layer and token: distance to the nearest other choice
        c = self.config
        self.mla = "deepseek" in c["model_type"]
        dim = c["qk_rope_head_dim"] if self.mla else self.head_dim()
        self.rope = Rope(c, dim, self.mla and c.get("rope_interleave", True))

    def head_dim(self):
        return self.config.get("head_dim") or self.config["hidden_size"] // self.config["num_attention_heads"]

    def weight(self, name):
        """The matrix [out, in] (or vector) behind a module's name, dequantised exactly."""
        if name not in self.cache:
            self.cache[name] = self._weight(name)
        return self.cache[name]

    def _weight(self, name):
        quant = self.config.get("quantization_config") or {}
        if name + ".qweight" in self.tensors:
            group = quant.get("group_size", quant.get("q_group_size"))
            q = unpack_awq(self.tensors[name + ".qweight"].data)
            zero = np.repeat(unpack_awq(self.tensors[name + ".qzeros"].data), group, 0)
            scale = np.repeat(self.tensors[name + ".scales"].values(), group, 0)
            return ((q - zero) * scale).T
        w = self.tensors[name + ".weight"].values()
        if name + ".weight_scale_inv" in self.tensors:
            rows, cols = quant["weight_block_size"]
            scale = self.tensors[name + ".weight_scale_inv"].values()
            w = w * np.repeat(np.repeat(scale, rows, 0), cols, 1)[: w.shape[0], : w.shape[1]]
        return w

    def linear(self, x, name):
        y = x @ self.weight(name).T
        return y + self.tensors[name + ".bias"].values() if name + ".bias" in self.tensors else y

    def norm(self, x, name, eps=None):
        return rms_norm(x, self.weight(name), self.config["rms_norm_eps"] if eps is None else eps)

    def logits(self, ids):
        self.router_gap = []
        embedding = self.weight("model.embed_tokens")
        h = embedding[np.asarray(ids)]
        for layer in range(self.config["num_hidden_layers"]):
            p = f"model.layers.{layer}."
            x = self.norm(h, p + "input_layernorm")
            h = h + (
                self.attend_mla(x, p + "self_attn.")
                if self.mla
                else self.attend_gqa(x, p + "self_attn.", layer)
            )
            x = self.norm(h, p + "post_attention_layernorm")
            h = h + (self.experts(x, p + "mlp.") if self.is_moe(layer) else self.mlp(x, p + "mlp."))
        h = self.norm(h, "model.norm")
        return h @ (embedding if self.config.get("tie_word_embeddings") else self.weight("lm_head")).T

    def mlp(self, x, p):
        return self.linear(
            silu(self.linear(x, p + "gate_proj")) * self.linear(x, p + "up_proj"), p + "down_proj"
        )

    def attend_gqa(self, x, p, layer):
        c, t, dim = self.config, x.shape[0], self.head_dim()
        heads, kv_heads = c["num_attention_heads"], c.get("num_key_value_heads") or c["num_attention_heads"]
        q = self.rope(self.linear(x, p + "q_proj").reshape(t, heads, dim))
        k = self.rope(self.linear(x, p + "k_proj").reshape(t, kv_heads, dim))
        v = self.linear(x, p + "v_proj").reshape(t, kv_heads, dim)
        i, j = np.arange(t)[:, None], np.arange(t)[None, :]
        seen = j <= i
        if self.slides(layer):
            seen &= i - j < c["sliding_window"]
        out = np.empty((t, heads, dim))
        for head in range(heads):
            g = head // (heads // kv_heads)
            out[:, head] = softmax(np.where(seen, q[:, head] @ k[:, g].T * dim**-0.5, -np.inf)) @ v[:, g]
        return self.linear(out.reshape(t, -1), p + "o_proj")

    def slides(self, layer):
        c = self.config
        if not c.get("use_sliding_window") or not c.get("sliding_window"):
            return False
        types = c.get("layer_types")
        return types[layer] == "sliding_attention" if types else layer >= c["max_window_layers"]

    def attend_mla(self, x, p):
        c, t, heads = self.config, x.shape[0], self.config["num_attention_heads"]
        nope, rope, v_dim, rank = (
            c["qk_nope_head_dim"],
            c["qk_rope_head_dim"],
            c["v_head_dim"],
            c["kv_lora_rank"],
        )
        if c["q_lora_rank"] is None:
            q = self.linear(x, p + "q_proj")
        else:
            q = self.linear(
                self.norm(self.linear(x, p + "q_a_proj"), p + "q_a_layernorm", 1e-6), p + "q_b_proj"
            )
        q = q.reshape(t, heads, nope + rope)
        kv = self.linear(x, p + "kv_a_proj_with_mqa")
        latent = self.norm(kv[:, :rank], p + "kv_a_layernorm", 1e-6)
        k_rope = self.rope(kv[:, None, rank:])[:, 0]
        q_nope, q_rope = q[..., :nope], self.rope(q[..., nope:])
        up = self.weight(p + "kv_b_proj").reshape(heads, nope + v_dim, rank)
        scale = (nope + rope) ** -0.5
        if self.rope.yarn and self.rope.scaling.get("mscale_all_dim"):
            scale *= mscale(self.rope.scaling["factor"], self.rope.scaling["mscale_all_dim"]) ** 2
        future = np.triu(np.ones((t, t), bool), 1)
        out = np.empty((t, heads, v_dim))
        for head in range(heads):
            w_k, w_v = up[head, :nope], up[head, nope:]
            if self.absorbed:
                score = (q_nope[:, head] @ w_k) @ latent.T
            else:
                score = q_nope[:, head] @ (latent @ w_k.T).T
            prob = softmax(np.where(future, -np.inf, (score + q_rope[:, head] @ k_rope.T) * scale))
            out[:, head] = (prob @ latent) @ w_v.T if self.absorbed else prob @ (latent @ w_v.T)
        return self.linear(out.reshape(t, -1), p + "o_proj")

    def is_moe(self, layer):
        c = self.config
        return (
            bool(c.get("n_routed_experts"))
            and layer >= c["first_k_dense_replace"]
            and layer % c.get("moe_layer_freq", 1) == 0
        )

    def experts(self, x, p):
        c = self.config
        chosen, weights = self.route(x @ self.weight(p + "gate").T, p)
        out = np.zeros_like(x)
        for expert in np.unique(chosen):
            row, slot = np.nonzero(chosen == expert)
            out[row] += weights[row, slot][:, None] * self.mlp(x[row], f"{p}experts.{expert}.")
        return out + self.mlp(x, p + "shared_experts.") if c.get("n_shared_experts") else out

    def route(self, logits, p):
        """Expert ids [T, k] and their weights."""
        c, k = self.config, self.config["num_experts_per_tok"]
        v3 = c["model_type"] == "deepseek_v3"
        method = c.get("topk_method", "noaux_tc" if v3 else "greedy")
        score = 1 / (1 + np.exp(-logits)) if v3 else softmax(logits)
        choice = score + self.tensors[p + "gate.e_score_correction_bias"].values() if v3 else score
        gap = np.full(len(logits), np.inf)
        if method != "greedy":
            groups = choice.reshape(len(choice), c["n_group"], -1)
            group_score = np.sort(groups, -1)[..., -2:].sum(-1) if v3 else groups.max(-1)
            rank = np.argsort(-group_score, -1, kind="stable")
            if c["topk_group"] < c["n_group"]:
                ordered = np.take_along_axis(group_score, rank, -1)
                gap = ordered[:, c["topk_group"] - 1] - ordered[:, c["topk_group"]]
            keep = np.zeros_like(group_score, bool)
            np.put_along_axis(keep, rank[:, : c["topk_group"]], True, -1)
            choice = np.where(np.repeat(keep, groups.shape[-1], 1), choice, -np.inf)
        order = np.argsort(-choice, -1, kind="stable")
        ordered = np.take_along_axis(choice, order, -1)
        self.router_gap.append(
            np.minimum(gap, ordered[:, k - 1] - ordered[:, k] if k < choice.shape[1] else np.inf)
        )
        chosen = order[:, :k]
        w = np.take_along_axis(score, chosen, -1)
        factor = c["routed_scaling_factor"]
        if v3:
            return chosen, (w / (w.sum(-1, keepdims=True) + 1e-20) if c["norm_topk_prob"] else w) * factor
        if k > 1 and c["norm_topk_prob"]:
            return chosen, w / (w.sum(-1, keepdims=True) + 1e-20)
        return chosen, w * factor
