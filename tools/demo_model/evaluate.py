"""Greedy answers to the held-out questions, scored by exact rules, with and without thinking; expert load.

    evaluate.py MODEL_DIR [--count 200] [--seed 1] [--out eval.json]
"""
import argparse
import json
import re

import torch

import chat

NEW_TOKENS = {"products": 110, "sums": 90, "differences": 110, "word_problems": 110, "sort_numbers": 60, "count_up": 90, "two_tool_calls": 90, "tool_result": 70, "json": 80, "strings": 110, "json_schema": 160, "dates": 200, "tool_result": 90, "story": 160}
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


def right(e, text):
    """text: what came after the thinking."""
    if e.check == "number":
        numbers = re.findall(r"-?\d+", text)
        return bool(numbers) and numbers[-1] == e.gold
    if e.check == "json-schema":
        try:
            return json.loads(text) == json.loads(e.gold)
        except ValueError:
            return False
    if e.check == "tool-call":
        return text == e.answer
    return text == e.gold if e.check == "exact" else e.gold in text


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
            answers = greedy(model, prompts, eos, NEW_TOKENS.get(skill, 60))
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
    return dict(skills=out, wrong=wrong, load=expert_load(model, t, sets))


@torch.no_grad()
def expert_load(model, t, sets):
    """Per MoE layer the share of each expert over the test questions and answers, times the number of experts (1: even)."""
    device, total = next(model.parameters()).device, None
    for examples in sets.values():
        for e in examples[:50]:
            if e.skill == "long_lookup":
                continue
            ids = t.encode(chat.render(e.messages + [dict(role="assistant", content=e.answer)], e.tools), add_special_tokens=False).ids
            load = torch.stack([c.sum(0) for c in model(torch.tensor([ids], device=device))[1]])
            total = load if total is None else total + load
    return [[round(x, 3) for x in row] for row in (total / total.mean(1, keepdim=True)).tolist()]


def show(result):
    for skill, modes in result["skills"].items():
        print(f"{skill:16s} " + "   ".join(f"{m} {v['right']}/{v['of']} = {100 * v['right'] / v['of']:.1f}% (ran on {v['ran_on']})" for m, v in modes.items()))
    for w in result["wrong"][:40]:
        print(w)
    print("expert load, 1 is even:", [f"{min(x):.2f}..{max(x):.2f}" for x in result["load"]])


def main():
    import os
    import export
    import generate
    import tokenizer
    from model import Model, read_config
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model_dir")
    ap.add_argument("--count", type=int, default=200, help="questions of each skill")
    ap.add_argument("--seed", default="1")
    ap.add_argument("--out")
    a = ap.parse_args()
    model = Model(read_config(os.path.join(a.model_dir, "config.json")))
    export.load(model, a.model_dir)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    result = scores(model, tokenizer.load(a.model_dir), generate.held_out(a.seed, a.count))
    if a.out:
        with open(a.out, "w", encoding="utf-8") as f:
            json.dump(result, f, ensure_ascii=False, indent=1)
    show(result)


if __name__ == "__main__":
    main()
