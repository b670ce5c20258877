"""DeepSeek-V3 in PyTorch for training: MLA with compressed queries, sigmoid gate with groups and correction bias.

Parameters bear the published names, except that the experts of a layer are stacked: mlp.experts.gate_proj is
[experts, width, hidden]. For so few and small experts it is fastest to compute all of them for every token and to
weigh them by the gate (zero for those not chosen), which is the same function as computing only the chosen ones.
"""
import json
import math
import types

import torch
import torch.nn.functional as F
from torch import nn


def read_config(path):
    with open(path, encoding="utf-8") as f:
        return types.SimpleNamespace(**json.load(f))


def rope_frequencies(c):
    """DeepSeek's YaRN: float32 [rope/2]; and the factor m² of the softmax scale."""
    d, base = c.qk_rope_head_dim, c.rope_theta
    f = 1.0 / base ** (torch.arange(0, d, 2, dtype=torch.float32) / d)
    y = c.rope_scaling
    if y is None:
        return f, 1.0
    turns = lambda n: d * math.log(y["original_max_position_embeddings"] / (n * 2 * math.pi)) / (2 * math.log(base))
    low, high = max(math.floor(turns(y["beta_fast"])), 0), min(math.ceil(turns(y["beta_slow"])), d - 1)
    ramp = ((torch.arange(d // 2, dtype=torch.float32) - low) / max(high - low, 0.001)).clamp(0, 1)
    m = 0.1 * y["mscale_all_dim"] * math.log(y["factor"]) + 1
    assert y["mscale"] == y["mscale_all_dim"], "then cos and sin are not scaled"
    return f * (1 - ramp) + f / y["factor"] * ramp, m * m


def rotate(x, cos, sin):
    """Interleaved pairs (2i, 2i+1); x [B, heads, T, rope], cos and sin [T, rope/2]."""
    a, b = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


class RMSNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return F.rms_norm(x.float(), self.weight.shape, None, 1e-6).to(x.dtype) * self.weight


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, linear = c, lambda i, o: nn.Linear(i, o, bias=False)
        self.q_a_proj, self.q_a_layernorm = linear(c.hidden_size, c.q_lora_rank), RMSNorm(c.q_lora_rank)
        self.q_b_proj = linear(c.q_lora_rank, c.num_attention_heads * (c.qk_nope_head_dim + c.qk_rope_head_dim))
        self.kv_a_proj_with_mqa = linear(c.hidden_size, c.kv_lora_rank + c.qk_rope_head_dim)
        self.kv_a_layernorm = RMSNorm(c.kv_lora_rank)
        self.kv_b_proj = linear(c.kv_lora_rank, c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim))
        self.o_proj = linear(c.num_attention_heads * c.v_head_dim, c.hidden_size)

    def forward(self, x, cos, sin, scale, attend):
        c, (B, T, _) = self.c, x.shape
        heads = lambda t: t.view(B, T, c.num_attention_heads, -1).transpose(1, 2)
        q_nope, q_rope = heads(self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x)))).split([c.qk_nope_head_dim, c.qk_rope_head_dim], -1)
        latent, k_rope = self.kv_a_proj_with_mqa(x).split([c.kv_lora_rank, c.qk_rope_head_dim], -1)
        k_nope, v = heads(self.kv_b_proj(self.kv_a_layernorm(latent))).split([c.qk_nope_head_dim, c.v_head_dim], -1)
        k_rope = rotate(k_rope.unsqueeze(1), cos, sin).expand(-1, c.num_attention_heads, -1, -1)
        q, k = torch.cat((q_nope, rotate(q_rope, cos, sin)), -1), torch.cat((k_nope, k_rope), -1)
        v = F.pad(v, (0, q.shape[-1] - c.v_head_dim))                    # kernels want one head size
        o = attend(q, k, v, scale)[..., :c.v_head_dim]
        return self.o_proj(o.transpose(1, 2).reshape(B, T, -1))


class MLP(nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(hidden, width, bias=False), nn.Linear(hidden, width, bias=False)
        self.down_proj = nn.Linear(width, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Gate(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.weight = c, nn.Parameter(torch.empty(c.n_routed_experts, c.hidden_size))
        self.register_buffer("e_score_correction_bias", torch.zeros(c.n_routed_experts))

    def forward(self, x):
        """x [N, hidden] -> weights [N, experts], zero where not chosen; the choice as 0 and 1."""
        c = self.c
        with torch.autocast(x.device.type, enabled=False):
            s = F.linear(x.float(), self.weight.float()).sigmoid()
        with torch.no_grad():
            choice = s + self.e_score_correction_bias
            groups = choice.view(len(x), c.n_group, -1).topk(2, -1).values.sum(-1)
            kept = torch.zeros_like(groups).scatter(1, groups.topk(c.topk_group, -1).indices, 1.0)
            choice = choice.masked_fill(kept.repeat_interleave(c.n_routed_experts // c.n_group, 1) == 0, -math.inf)
            chosen = torch.zeros_like(s).scatter(1, choice.topk(c.num_experts_per_tok, -1).indices, 1.0)
        w = s * chosen
        return w / (w.sum(-1, keepdim=True) + 1e-20) * c.routed_scaling_factor, chosen


class Experts(nn.Module):
    def __init__(self, c):
        super().__init__()
        E, W, H = c.n_routed_experts, c.moe_intermediate_size, c.hidden_size
        self.gate_proj, self.up_proj = nn.Parameter(torch.empty(E, W, H)), nn.Parameter(torch.empty(E, W, H))
        self.down_proj = nn.Parameter(torch.empty(E, H, W))

    def forward(self, x, w):
        E, W, H = self.gate_proj.shape
        h = F.silu(F.linear(x, self.gate_proj.view(E * W, H))) * F.linear(x, self.up_proj.view(E * W, H))
        h = (h.view(-1, E, W) * w.to(h.dtype)[..., None]).view(-1, E * W)
        return F.linear(h, self.down_proj.permute(1, 0, 2).reshape(H, E * W))


class MoE(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate, self.experts = Gate(c), Experts(c)
        self.shared_experts = MLP(c.hidden_size, c.n_shared_experts * c.moe_intermediate_size)

    def forward(self, x):
        w, chosen = self.gate(x.flatten(0, -2))
        return self.experts(x.flatten(0, -2), w).view(x.shape) + self.shared_experts(x), chosen


class Layer(nn.Module):
    def __init__(self, c, n):
        super().__init__()
        self.self_attn = Attention(c)
        self.mlp = MLP(c.hidden_size, c.intermediate_size) if n < c.first_k_dense_replace else MoE(c)
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(c.hidden_size), RMSNorm(c.hidden_size)

    def forward(self, x, cos, sin, scale, attend):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, scale, attend)
        y, chosen = self.mlp(self.post_attention_layernorm(x)), None
        if isinstance(y, tuple):
            y, chosen = y
        return x + y, chosen


class Body(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(Layer(c, n) for n in range(c.num_hidden_layers))
        self.norm = RMSNorm(c.hidden_size)


def causal(q, k, v, scale):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.model, self.lm_head = c, Body(c), nn.Linear(c.hidden_size, c.vocab_size, bias=False)
        f, m2 = rope_frequencies(c)
        angles = torch.outer(torch.arange(c.max_position_embeddings, dtype=torch.float32), f)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self.scale = (c.qk_nope_head_dim + c.qk_rope_head_dim) ** -0.5 * m2
        for name, p in self.named_parameters():
            if "norm" in name:
                continue
            std = 0.5 if "embed" in name else 0.02 if "lm_head" in name or "gate.weight" in name else p.shape[-1] ** -0.5
            nn.init.normal_(p, std=0.0 if "o_proj" in name or "down_proj" in name else std)

    def forward(self, ids, attend=causal):
        """ids [B, T] -> normed hidden states [B, T, hidden]; per MoE layer the choice [B*T, experts]."""
        T, chosen, x = ids.shape[1], [], self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x, c = layer(x, self.cos[:T], self.sin[:T], self.scale, attend)
            if c is not None:
                chosen.append(c)
        return self.model.norm(x), chosen

    def logits(self, ids):
        return self.lm_head(self(ids)[0])

    def gates(self):
        return [layer.mlp.gate for layer in self.model.layers if isinstance(layer.mlp, MoE)]
