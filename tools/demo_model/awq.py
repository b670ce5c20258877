"""A checkpoint of ours as AWQ INT4, to measure what 4-bit weights cost: awq.py CHECKPOINT OUT_DIR

Rounding to the nearest of 16 steps between the least and the largest of each group of 64 inputs, without activation statistics:
training has made the weights ready for it (model.py, Rough). As in published files the linear layers of the decoder are packed
(GEMM form), and embeddings, head, norms and gates are float16; the MTP layer is left out.
"""
import json
import os
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file

from export import BESIDE
from model import AWQ_GROUP

ORDER = (0, 2, 4, 6, 1, 3, 5, 7)         # nibble i of a word holds column 8c + ORDER[i]


def pack(q):
    """q [rows, cols] of 0..15 -> int32 [rows, cols / 8]"""
    q = q.to(torch.int64).unflatten(-1, (-1, 8))
    word = sum(q[..., column] << (4 * i) for i, column in enumerate(ORDER))
    return torch.where(word >= 2 ** 31, word - 2 ** 32, word).to(torch.int32).contiguous()


def quantised(w):
    """w [out, in] -> qweight [in, out / 8], qzeros and scales [in / group, ...]"""
    g = w.float().unflatten(-1, (-1, AWQ_GROUP))
    low, high = g.amin(-1), g.amax(-1)
    scale = ((high - low).clamp_min(1e-5) / 15).half()
    s = scale.float()
    zero = (-low / s).round().clamp(0, 15)
    q = (g / s[..., None] + zero[..., None]).round().clamp(0, 15).flatten(-2)
    return {"qweight": pack(q.T), "qzeros": pack(zero.T), "scales": scale.T.contiguous()}


def is_linear(name, t):
    return t.dim() == 2 and not any(part in name for part in ("embed_tokens", "lm_head", "mlp.gate.weight"))


def convert(source, out):
    with open(os.path.join(source, "config.json")) as f:
        config = json.load(f)
    layers, tensors = config["num_hidden_layers"], {}
    for file in sorted(f for f in os.listdir(source) if f.endswith(".safetensors")):
        for name, t in load_file(os.path.join(source, file)).items():
            if name.startswith(f"model.layers.{layers}."):
                continue
            if is_linear(name, t):
                tensors.update({name.removesuffix("weight") + part: x for part, x in quantised(t).items()})
            else:
                tensors[name] = t if "e_score_correction_bias" in name else t.half()
    config.update(torch_dtype="float16", quantization_config=dict(quant_method="awq", bits=4, group_size=AWQ_GROUP, zero_point=True, version="gemm", modules_to_not_convert=None))
    config.pop("num_nextn_predict_layers", None)
    os.makedirs(out, exist_ok=True)
    save_file(tensors, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    for file in BESIDE[1:]:
        shutil.copy(os.path.join(source, file), out)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(config, f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    convert(sys.argv[1], sys.argv[2])
