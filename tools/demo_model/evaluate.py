"""Greedy answers to the held-out questions, scored by exact rules, with and without thinking; expert load.

    evaluate.py MODEL_DIR [--count 200] [--seed 1] [--out eval.json]
"""
import argparse
import json

import torch

import chat
from skill import new_tokens, right

BATCH_TOKENS = 60000


@torch.no_grad()
def greedy(model, prompts, eos, new):
    """Continue every prompt (lists of ids); no cache: the model is small. -> lists of new ids, EOS left out."""
    out, order = [None] * len(prompts), sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    device = next(model.parameters()).device
    while order:
        longest, take = 0, []
        while order and (len(take) + 1) * (len(prompts[order[0]]) + new) <= BATCH_TOKENS or not take:
            take.append(order.pop(0))
        longest = max(len(prompts[i]) for i in take) + new
        ids = torch.zeros(len(take), longest, dtype=torch.long)
        at = torch.tensor([len(prompts[i]) for i in take], device=device)
        for row, i in enumerate(take):
            ids[row, :len(prompts[i])] = torch.tensor(prompts[i])
        ids, rows, done = ids.to(device), torch.arange(len(take), device=device), torch.zeros(len(take), dtype=torch.bool, device=device)
        first = at.clone()
        for n in range(new):
            width = int(at.max())
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                hidden = model(ids[:, :width])[0][rows, at - 1]
                token = model.lm_head(hidden).argmax(-1)
            done |= token == eos
            if bool(done.all()):
                break
            ids[rows[~done], at[~done]] = token[~done]
            at = at + (~done).long()
        for row, i in enumerate(take):
            out[i] = ids[row, first[row]:at[row]].tolist() + ([] if bool(done[row]) else [-1])     # -1: ran on
    return out


def scores(model, t, sets):
    eos, out, wrong = t.token_to_id(chat.EOS), {}, []
    for skill, examples in sets.items():
        if skill == "long_lookup":
            examples = examples[:40]
        for mode in ("direct", "thinking"):
            chosen = examples if mode == "direct" else [e for e in examples if e.think and e.messages[-1]["role"] != "tool"]
            if not chosen:
                continue
            prompts = [t.encode(chat.render(e.messages, e.tools, generate=True, thinking=mode == "thinking"), add_special_tokens=False).ids for e in chosen]
            answers = greedy(model, prompts, eos, new_tokens(skill))
            good = ran_on = 0
            for e, ids in zip(chosen, answers):
                stopped = not ids or ids[-1] != -1
                text = t.decode([i for i in ids if i >= 0], skip_special_tokens=True)
                said = text.split("</think>", 1)[-1] if mode == "thinking" else text
                ok = stopped and right(e, said) and (mode == "direct" or "</think>" in text)
                good, ran_on = good + ok, ran_on + (not stopped)
                if not ok and sum(w["skill"] == skill and w["mode"] == mode for w in wrong) < 6:
                    wrong.append(dict(skill=skill, mode=mode, question=e.messages[-1]["content"][-160:], want=e.answer, got=text[-200:]))
            out.setdefault(skill, {})[mode] = dict(right=good, of=len(chosen), ran_on=ran_on)
    return dict(skills=out, wrong=wrong, load=expert_load(model, t, sets), accepted=accepted(model, t, sets))


def told_answers(t, sets):
    """Ids of up to 50 test conversations of every short skill with their right answers."""
    for examples in sets.values():
        for e in examples[:50]:
            if e.skill != "long_lookup":
                yield t.encode(chat.render(e.messages + [dict(role="assistant", content=e.answer)], e.tools), add_special_tokens=False).ids


@torch.no_grad()
def expert_load(model, t, sets):
    """Per MoE layer (MTP's last) the share of each expert over the test questions and answers, times their number: 1 is even."""
    device, total = next(model.parameters()).device, None
    if not model.gates():
        return []
    for ids in told_answers(t, sets):
        ids = torch.tensor([ids], device=device)
        hidden, loads = model(ids)
        loads = loads + ([model.ahead(hidden, ids)[1]] if model.mtp is not None else [])
        load = torch.stack([n for n, _ in loads])
        total = load if total is None else total + load
    return [[round(x, 2) for x in row] for row in (total / total.mean(1, keepdim=True)).tolist()]


@torch.no_grad()
def accepted(model, t, sets):
    """How often the MTP layer's likeliest token is the model's own at the same place, within the answers: what a draft of one
    token is accepted for."""
    if model.mtp is None:
        return None
    device, same, of = next(model.parameters()).device, 0, 0
    start = t.token_to_id(chat.ASSISTANT)
    for ids in told_answers(t, sets):
        first = len(ids) - ids[::-1].index(start) if start in ids else len(ids) // 2
        x = torch.tensor([ids], device=device)
        hidden, _ = model(x)
        drafts = model.lm_head(model.ahead(hidden, x)[0]).argmax(-1)[0]          # at i: the token at i + 2
        own = model.lm_head(hidden).argmax(-1)[0]                                # at i: the token at i + 1
        places = range(first, len(ids) - 2)
        same, of = same + sum(int(drafts[i] == own[i + 1]) for i in places), of + len(places)
    return round(same / max(of, 1), 4)


def show(result):
    for skill, modes in result["skills"].items():
        print(f"{skill:16}" + "  ".join(f"{mode}: {v['right']} of {v['of']}" + (f" ({v['ran_on']} ran on)" if v["ran_on"] else "") for mode, v in modes.items()))
    for n, row in enumerate(result["load"]):
        print(f"load of layer {n + 1}: {min(row)} to {max(row)}")
    if result["accepted"] is not None:
        print(f"MTP drafts accepted: {100 * result['accepted']:.1f}%")


def main():
    import os
    import export
    import generate
    import tokenizer
    from model import build, read_config
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model_dir")
    ap.add_argument("--count", type=int, default=200, help="questions of each skill")
    ap.add_argument("--seed", default="1")
    ap.add_argument("--out")
    a = ap.parse_args()
    model = build(read_config(os.path.join(a.model_dir, "config.json")))
    export.load(model, a.model_dir)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    result = scores(model, tokenizer.load(a.model_dir), generate.held_out(a.seed, a.count))
    if a.out:
        with open(a.out, "w", encoding="utf-8") as f:
            json.dump(result, f, ensure_ascii=False, indent=1)
    show(result)


if __name__ == "__main__":
    main()
