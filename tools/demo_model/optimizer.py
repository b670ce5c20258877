"""Muon for the matrices of the layers, AdamW for embeddings, head, gates and norms."""
import torch

MUON_LR, ADAM_LR, EMBED_LR, DECAY = 0.02, 2e-3, 6e-3, 0.05


def orthogonal(g, steps=5):
    """The nearest (semi-)orthogonal matrices, roughly: Newton-Schulz with the quintic of Keller Jordan's Muon. g [n, rows, cols]."""
    x = g.bfloat16() if g.is_cuda else g.float()       # bf16 products are slow on most CPUs
    if g.shape[-2] > g.shape[-1]:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if g.shape[-2] > g.shape[-1] else x).to(g.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum, then orthogonalised; parameters of one shape go together. 3-D parameters are stacks of matrices."""

    def __init__(self, params, lr, momentum=0.95, decay=DECAY, compile=False):
        super().__init__(params, dict(lr=lr))
        self.momentum, self.decay = momentum, decay
        if compile:
            torch._dynamo.config.recompile_limit = 64      # one for every shape
        self.orthogonal = torch.compile(orthogonal, dynamic=False) if compile else orthogonal
        self.by_shape = {}
        for p in self.param_groups[0]["params"]:
            self.by_shape.setdefault(p.shape[-2:], []).append(p)

    @torch.no_grad()
    def step(self):
        lr = self.param_groups[0]["lr"]
        for (rows, cols), params in self.by_shape.items():
            grads = [p.grad for p in params]
            for p in params:
                if not self.state[p]:
                    self.state[p]["m"] = torch.zeros_like(p)
            moments = [self.state[p]["m"] for p in params]
            torch._foreach_lerp_(moments, grads, 1 - self.momentum)
            ahead = torch._foreach_lerp(grads, moments, self.momentum)
            whole = torch.cat([u.reshape(-1, rows, cols) for u in ahead])
            updates = self.orthogonal(whole).split([p.numel() // (rows * cols) for p in params])
            torch._foreach_mul_(params, 1 - lr * self.decay)
            torch._foreach_add_(params, [u.view_as(p) for u, p in zip(updates, params)], alpha=-lr * max(1, rows / cols) ** 0.5)


def make(model, fast):
    """[optimizers]; every group keeps its peak rate under "peak"."""
    matrices, tables, rest = [], [], []
    for name, p in model.named_parameters():
        tied = "embed" in name and model.c.tie_word_embeddings       # it is the head as well
        (rest if tied else tables if "embed" in name else rest if p.dim() < 2 or "lm_head" in name or "gate.weight" in name else matrices).append(p)
    adam = torch.optim.AdamW([dict(params=tables, lr=EMBED_LR), dict(params=rest, lr=ADAM_LR)], betas=(0.9, 0.98), weight_decay=0.0, fused=fast)
    both = [Muon(matrices, MUON_LR, compile=fast), adam]
    for o in both:
        for g in o.param_groups:
            g["peak"] = g["lr"]
    return both


def set_rates(optimizers, factor):
    for o in optimizers:
        for g in o.param_groups:
            g["lr"] = g["peak"] * factor
