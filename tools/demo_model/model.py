"""What both models are made of, and the door to them: build(config).

Parameters bear the published names, except that the experts of a layer are stacked (export.py knows). `Rough` is a switch
that the whole model shares: at 1 the layers' weights are rounded to 4 bits as AWQ stores them and what goes into the cache to
float8, with gradients passing straight through. Training flips it in its last part, so that the checkpoint works in bf16 and as
well under AWQ INT4 and an fp8 cache.
"""
import json
import math
import types

import torch
import torch.nn.functional as F
from torch import nn

AWQ_GROUP = 64                 # inputs that share a scale
F8_MAX = 448.0


def read_config(path):
    with open(path, encoding="utf-8") as f:
        return types.SimpleNamespace(**json.load(f))


class Rough:
    """0 or 1 on the device; changing it recompiles nothing."""

    def __init__(self, device="cpu"):
        self.on = torch.zeros((), device=device)

    def weights(self, w):
        return w + self.on * (int4(w) - w).detach()

    def cached(self, x):
        return x + (self.on * (x.clamp(-F8_MAX, F8_MAX).to(torch.float8_e4m3fn).float() - x.float()).detach()).to(x.dtype)


def int4(w):
    """w [..., out, in] as AWQ gives it back: 16 steps between the least and the largest of each group of inputs."""
    g = w.float().unflatten(-1, (-1, AWQ_GROUP))
    low, high = g.amin(-1, keepdim=True), g.amax(-1, keepdim=True)
    scale = (high - low).clamp_min(1e-5) / 15
    zero = (-low / scale).round().clamp(0, 15)
    return (((g / scale + zero).round().clamp(0, 15) - zero) * scale).flatten(-2)


def share_rough(model, device):
    """One switch for every module that rounds; returns it."""
    rough = Rough(device)
    for m in model.modules():
        if hasattr(m, "rough"):
            m.rough = rough
    return rough


class Linear(nn.Linear):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, bias=False)
        self.rough = Rough()

    def forward(self, x):
        return F.linear(x, self.rough.weights(self.weight))


class RMSNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return F.rms_norm(x.float(), self.weight.shape, None, 1e-6).to(x.dtype) * self.weight


class MLP(nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = Linear(hidden, width), Linear(hidden, width), Linear(width, hidden)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


def causal(q, k, v, scale):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)


def rope_tables(c, frequencies):
    angles = torch.outer(torch.arange(c.max_position_embeddings, dtype=torch.float32), frequencies)
    return angles.cos(), angles.sin()


class Base(nn.Module):
    """Embedding, layers, final norm and head; a subclass makes the layers and calls start()."""

    def __init__(self, c):
        super().__init__()
        self.c, self.mtp, self.model = c, None, nn.Module()
        self.model.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size)
        self.model.norm = RMSNorm(c.hidden_size)
        self.lm_head = nn.Linear(c.hidden_size, c.vocab_size, bias=False)
        if c.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def start(self, frequencies):
        cos, sin = rope_tables(self.c, frequencies)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        tables = 0.05 if self.c.tie_word_embeddings else 0.5
        for name, p in self.named_parameters():
            if "norm" not in name:
                std = tables if "embed" in name else 0.02 if "lm_head" in name or "gate.weight" in name else p.shape[-1] ** -0.5
                nn.init.normal_(p, std=0.0 if "o_proj" in name or "down_proj" in name else std)

    def forward(self, ids, attend=causal, counted=None):
        """ids [B, T] -> normed hidden states [B, T, hidden]; per MoE layer (tokens of each expert, how uneven that is)."""
        T, loads, x = ids.shape[1], [], self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x, load = layer(x, self.cos[:T], self.sin[:T], attend, counted)
            if load is not None:
                loads.append(load)
        return self.model.norm(x), loads

    def logits(self, ids):
        return self.lm_head(self(ids)[0])

    def gates(self):
        return []


def build(c):
    from deepseek import DeepSeek
    from llama import Llama
    return (DeepSeek if c.model_type == "deepseek_v3" else Llama)(c)
