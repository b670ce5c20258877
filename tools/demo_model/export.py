"""A trained model as a checkpoint in the published form (one tensor per expert, the MTP layer as layer num_hidden_layers), and
back. Needs a folder with config.json and tokenizer beside it, whose files are copied along."""
import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file

SHARD_BYTES = 15 << 20
BESIDE = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
EMBED, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def published(name, c):
    return name.replace("mtp.", f"model.layers.{c.num_hidden_layers}.", 1) if name.startswith("mtp.") else name


def flat(model):
    """Published name -> tensor: bf16, the correction bias float32."""
    out, c = {}, model.c
    for name, t in model.state_dict().items():
        t, name = t.detach().cpu(), published(name, c)
        if name == HEAD and c.tie_word_embeddings:
            continue
        if ".mlp.experts." in name:
            base, kind = name.rsplit(".", 1)
            for e in range(t.shape[0]):
                out[f"{base}.{e}.{kind}.weight"] = t[e].bfloat16().contiguous()
        else:
            out[name] = t.float().clone() if "e_score_correction_bias" in name else t.bfloat16().contiguous()
    if model.mtp is not None:
        prefix = f"model.layers.{c.num_hidden_layers}."
        out[prefix + "embed_tokens.weight"], out[prefix + "shared_head.head.weight"] = out[EMBED].clone(), out[HEAD].clone()
    return out


def shards_of(tensors):
    """In the model's order, cut into parts of like size, none above SHARD_BYTES by more than a tensor."""
    size = lambda t: t.numel() * t.element_size()
    total = sum(map(size, tensors.values()))
    count = -(-total // SHARD_BYTES)
    shards, done = [{} for _ in range(count)], 0
    for name, t in tensors.items():
        shards[min(done * count // total, count - 1)][name] = t
        done += size(t)
    return shards, total


def save(model, base_dir, out_dir):
    """Into a folder beside it first, so that an interruption leaves the one that was there."""
    new = out_dir + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    shards, total = shards_of(flat(model))
    where = {}
    for i, part in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" if len(shards) > 1 else "model.safetensors"
        save_file(part, os.path.join(new, file), metadata={"format": "pt"})
        where.update({name: file for name in part})
    if len(shards) > 1:
        with open(os.path.join(new, "model.safetensors.index.json"), "w") as f:
            json.dump({"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}, f, indent=1)
            f.write("\n")
    for file in BESIDE:
        shutil.copy(os.path.join(base_dir, file), new)
    shutil.rmtree(out_dir, ignore_errors=True)
    os.rename(new, out_dir)


def load(model, path):
    tensors, c = {}, model.c
    for file in sorted(f for f in os.listdir(path) if f.endswith(".safetensors")):
        tensors.update(load_file(os.path.join(path, file)))
    state = {}
    for name, t in model.state_dict().items():
        said = published(name, c)
        if name == HEAD and c.tie_word_embeddings:
            said = EMBED
        if ".mlp.experts." in said:
            base, kind = said.rsplit(".", 1)
            t = torch.stack([tensors[f"{base}.{e}.{kind}.weight"] for e in range(t.shape[0])])
        else:
            t = tensors[said]
        state[name] = t.float()
    model.load_state_dict(state)
