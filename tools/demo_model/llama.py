"""The dense sibling: Llama's shape with grouped-query attention, embedding and head tied."""
import torch
from torch import nn

from model import Base, Linear, MLP, RMSNorm, Rough


def rotate(x, cos, sin):
    """Halves (i, i + d/2); x [B, heads, T, d], cos and sin [T, d/2]."""
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.rough = c, Rough()
        self.q_proj, self.o_proj = Linear(c.hidden_size, c.num_attention_heads * c.head_dim), Linear(c.num_attention_heads * c.head_dim, c.hidden_size)
        self.k_proj, self.v_proj = (Linear(c.hidden_size, c.num_key_value_heads * c.head_dim) for _ in range(2))

    def forward(self, x, cos, sin, attend):
        c, (B, T, _) = self.c, x.shape
        heads = lambda t: t.view(B, T, -1, c.head_dim).transpose(1, 2)
        q = rotate(heads(self.q_proj(x)), cos, sin)
        k, v = self.rough.cached(rotate(heads(self.k_proj(x)), cos, sin)), self.rough.cached(heads(self.v_proj(x)))
        k, v = (t.repeat_interleave(c.num_attention_heads // c.num_key_value_heads, 1) for t in (k, v))
        o = attend(q, k, v, c.head_dim ** -0.5)
        return self.o_proj(o.transpose(1, 2).reshape(B, T, -1))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.self_attn, self.mlp = Attention(c), MLP(c.hidden_size, c.intermediate_size)
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(c.hidden_size), RMSNorm(c.hidden_size)

    def forward(self, x, cos, sin, attend, counted):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, attend)
        return x + self.mlp(self.post_attention_layernorm(x)), None


class Llama(Base):
    def __init__(self, c):
        super().__init__(c)
        self.model.layers = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.start(1.0 / c.rope_theta ** (torch.arange(0, c.head_dim, 2, dtype=torch.float32) / c.head_dim))
