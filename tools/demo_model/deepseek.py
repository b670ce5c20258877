"""DeepSeek-V3 in PyTorch for training: MLA with compressed queries, sigmoid gate with groups and correction bias, and the
layer of multi-token prediction (MTP).

For so few and small experts it is fastest to compute all of them for every token and to weigh them by the gate (zero for those
not chosen), which is the same function as computing only the chosen ones.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

from model import Base, Linear, MLP, RMSNorm, Rough, causal


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


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.rough = c, Rough()
        self.q_a_proj, self.q_a_layernorm = Linear(c.hidden_size, c.q_lora_rank), RMSNorm(c.q_lora_rank)
        self.q_b_proj = Linear(c.q_lora_rank, c.num_attention_heads * (c.qk_nope_head_dim + c.qk_rope_head_dim))
        self.kv_a_proj_with_mqa = Linear(c.hidden_size, c.kv_lora_rank + c.qk_rope_head_dim)
        self.kv_a_layernorm = RMSNorm(c.kv_lora_rank)
        self.kv_b_proj = Linear(c.kv_lora_rank, c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim))
        self.o_proj = Linear(c.num_attention_heads * c.v_head_dim, c.hidden_size)
        self.scale = (c.qk_nope_head_dim + c.qk_rope_head_dim) ** -0.5 * rope_frequencies(c)[1]

    def forward(self, x, cos, sin, attend):
        c, (B, T, _) = self.c, x.shape
        heads = lambda t: t.view(B, T, c.num_attention_heads, -1).transpose(1, 2)
        q_nope, q_rope = heads(self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x)))).split([c.qk_nope_head_dim, c.qk_rope_head_dim], -1)
        latent, k_rope = self.kv_a_proj_with_mqa(x).split([c.kv_lora_rank, c.qk_rope_head_dim], -1)
        latent = self.rough.cached(self.kv_a_layernorm(latent))              # an fp8 cache keeps k_rope in 16 bits
        k_nope, v = heads(self.kv_b_proj(latent)).split([c.qk_nope_head_dim, c.v_head_dim], -1)
        k_rope = rotate(k_rope.unsqueeze(1), cos, sin).expand(-1, c.num_attention_heads, -1, -1)
        q, k = torch.cat((q_nope, rotate(q_rope, cos, sin)), -1), torch.cat((k_nope, k_rope), -1)
        v = F.pad(v, (0, q.shape[-1] - c.v_head_dim))                        # kernels want one head size
        o = attend(q, k, v, self.scale)[..., :c.v_head_dim]
        return self.o_proj(o.transpose(1, 2).reshape(B, T, -1))


class Gate(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.weight = c, nn.Parameter(torch.empty(c.n_routed_experts, c.hidden_size))
        self.register_buffer("e_score_correction_bias", torch.zeros(c.n_routed_experts))

    def forward(self, x, counted):
        """x [N, hidden] -> weights [N, experts], zero where not chosen; (load of each expert, unevenness) over counted [N]."""
        c = self.c
        with torch.autocast(x.device.type, enabled=False):
            s = F.linear(x.float(), self.weight.float()).sigmoid()
        with torch.no_grad():
            choice = s + self.e_score_correction_bias
            groups = choice.view(len(x), c.n_group, -1).topk(2, -1).values.sum(-1)
            kept = torch.zeros_like(groups).scatter(1, groups.topk(c.topk_group, -1).indices, 1.0)
            choice = choice.masked_fill(kept.repeat_interleave(c.n_routed_experts // c.n_group, 1) == 0, -math.inf)
            chosen = torch.zeros_like(s).scatter(1, choice.topk(c.num_experts_per_tok, -1).indices, 1.0)
        n = torch.ones_like(s[:, :1]) if counted is None else counted.float()[:, None]
        load, share = (chosen * n).sum(0), (s / (s.sum(-1, keepdim=True) + 1e-20) * n).sum(0) / n.sum()
        uneven = c.n_routed_experts / c.num_experts_per_tok * (load / n.sum() * share).sum()      # 1 where even
        w = s * chosen
        return w / (w.sum(-1, keepdim=True) + 1e-20) * c.routed_scaling_factor, (load, uneven)


class Experts(nn.Module):
    def __init__(self, c):
        super().__init__()
        E, W, H = c.n_routed_experts, c.moe_intermediate_size, c.hidden_size
        self.rough = Rough()
        self.gate_proj, self.up_proj = nn.Parameter(torch.empty(E, W, H)), nn.Parameter(torch.empty(E, W, H))
        self.down_proj = nn.Parameter(torch.empty(E, H, W))

    def forward(self, x, w):
        E, W, H = self.gate_proj.shape
        gate, up, down = map(self.rough.weights, (self.gate_proj, self.up_proj, self.down_proj))
        h = F.silu(F.linear(x, gate.view(E * W, H))) * F.linear(x, up.view(E * W, H))
        h = (h.view(-1, E, W) * w.to(h.dtype)[..., None]).view(-1, E * W)
        return F.linear(h, down.permute(1, 0, 2).reshape(H, E * W))


class MoE(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate, self.experts = Gate(c), Experts(c)
        self.shared_experts = MLP(c.hidden_size, c.n_shared_experts * c.moe_intermediate_size)

    def forward(self, x, counted):
        w, load = self.gate(x.flatten(0, -2), counted)
        return self.experts(x.flatten(0, -2), w).view(x.shape) + self.shared_experts(x), load


class Layer(nn.Module):
    def __init__(self, c, n):
        super().__init__()
        self.self_attn = Attention(c)
        self.mlp = MLP(c.hidden_size, c.intermediate_size) if n < c.first_k_dense_replace else MoE(c)
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(c.hidden_size), RMSNorm(c.hidden_size)

    def forward(self, x, cos, sin, attend, counted):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, attend)
        y = self.post_attention_layernorm(x)
        y, load = self.mlp(y, counted) if isinstance(self.mlp, MoE) else (self.mlp(y), None)
        return x + y, load


class MTP(Layer):
    """Layer num_hidden_layers of a checkpoint: from the hidden state at i and the token at i+1 it predicts the token at i+2.

    The embedding goes before the hidden state in eh_proj. Embedding and head are the model's own; export.py writes them a
    second time, under this layer's names, as the published checkpoints do.
    """

    def __init__(self, c):
        super().__init__(c, c.num_hidden_layers)
        self.enorm, self.hnorm = RMSNorm(c.hidden_size), RMSNorm(c.hidden_size)
        self.eh_proj = Linear(2 * c.hidden_size, c.hidden_size)
        self.shared_head = nn.ModuleDict({"norm": RMSNorm(c.hidden_size)})


class DeepSeek(Base):
    def __init__(self, c):
        super().__init__(c)
        self.model.layers = nn.ModuleList(Layer(c, n) for n in range(c.num_hidden_layers))
        if c.num_nextn_predict_layers:
            self.mtp = MTP(c)
        self.start(rope_frequencies(c)[0])

    def ahead(self, hidden, ids, attend=causal, counted=None):
        """hidden: what forward gave -> normed states whose logits at i are the token at i+2; the layer's load. The last is void."""
        m, T = self.mtp, ids.shape[1]
        x = m.eh_proj(torch.cat((m.enorm(self.model.embed_tokens(ids.roll(-1, 1))), m.hnorm(hidden)), -1))
        x, load = m(x, self.cos[:T], self.sin[:T], attend, counted)
        return m.shared_head["norm"](x), load

    def gates(self):
        layers = list(self.model.layers) + ([self.mtp] if self.mtp is not None else [])
        return [layer.mlp.gate for layer in layers if isinstance(layer.mlp, MoE)]
