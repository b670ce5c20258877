"""A trained Model as a checkpoint in DeepSeek's published form (two shards, one tensor per expert), and back."""
import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file

SHARDS = 2


def flat(model):
    """Published name -> tensor: bf16, the correction bias float32."""
    out = {}
    for name, t in model.state_dict().items():
        t = t.detach().cpu()
        if ".mlp.experts." in name:
            base, kind = name.rsplit(".", 1)
            for e in range(t.shape[0]):
                out[f"{base}.{e}.{kind}.weight"] = t[e].bfloat16().contiguous()
        else:
            out[name] = t.float().clone() if "e_score_correction_bias" in name else t.bfloat16().contiguous()
    return out


def save(model, model_dir, out_dir):
    tensors = flat(model)
    size = lambda t: t.numel() * t.element_size()
    total = sum(map(size, tensors.values()))
    shards, done = [{} for _ in range(SHARDS)], 0
    for name, t in tensors.items():                       # in the model's order, cut by size
        shards[min(done * SHARDS // total, SHARDS - 1)][name] = t
        done += size(t)
    where = {}
    for i, part in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{SHARDS:05d}.safetensors"
        save_file(part, os.path.join(out_dir, file), metadata={"format": "pt"})
        where.update({name: file for name in part})
    with open(os.path.join(out_dir, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}, f, indent=1)
        f.write("\n")
    for file in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        if os.path.abspath(model_dir) != os.path.abspath(out_dir):
            shutil.copy(os.path.join(model_dir, file), out_dir)


def load(model, path):
    tensors = {}
    for file in sorted(f for f in os.listdir(path) if f.endswith(".safetensors")):
        tensors.update(load_file(os.path.join(path, file)))
    state = {}
    for name, t in model.state_dict().items():
        if ".mlp.experts." in name:
            base, kind = name.rsplit(".", 1)
            t = torch.stack([tensors[f"{base}.{e}.{kind}.weight"] for e in range(t.shape[0])])
        else:
            t = tensors[name]
        state[name] = t.float()
    model.load_state_dict(state)
