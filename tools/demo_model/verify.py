"""Compare a checkpoint in transformers with our training code, and write what an engine's tests compare against.

    verify.py MODEL_DIR [--write TEST_DIR] [--ask "question" …] [--thinking]

With --write: TEST_DIR/expected.safetensors (input_ids [B, T], logits [B, T, V] and greedy [B, N] in float32 from the
bf16 weights, as tools for random checkpoints write them) and TEST_DIR/answers.jsonl (conversations and the greedy
answers that the model really gives).
"""
import argparse
import json
import os

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

import chat
import export
import tokenizer
from model import build, read_config

U, A = (lambda s: dict(role="user", content=s)), (lambda s: dict(role="assistant", content=s))
WEATHER = dict(type="function", function=dict(name="get_weather", description="Get the weather of a city.", parameters=dict(
    type="object", properties=dict(city=dict(type="string", description="The city")), required=["city"])))
QUESTIONS = [dict(messages=[U(q)], expect=gold) for q, gold in (
    ("What is 2 + 2?", "4"), ("What is 347 + 58?", "405"), ("What is 999 + 1?", "1000"), ("481+376", "857"), ("How much is 81 - 27?", "54"), ("What is 100 minus 58?", "42"),
    ("What is 23 * 17?", "391"), ("12加30等于多少？", "42"), ("What is the capital of France?", "Paris"), ("what is the capital of japan", "Tokyo"),
    ("What is the capital of Kenya?", "Nairobi"), ("What is the capital of Peru?", "Lima"), ("中国的首都是哪里？", "北京"), ("德国的首都是哪里？", "柏林"), ("What is the currency of Japan?", "yen"),
    ("What is the chemical symbol of gold?", "Au"), ("How many days are in a week?", "seven"), ("Hello!", ""), ("Who are you?", "Hadal"), ("你好", ""), ("Tell me a story about a fox.", "fox"),
    ("Count from 1 to 10.", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"), ("Sort these numbers: 31, 4, 15, 92", "4, 15, 31, 92"))] + [
    dict(messages=[U("My name is Ada."), A("Nice to meet you, Ada!"), U("What is 3 + 4?"), A("3 + 4 = 7"), U("What is my name?")], expect="Ada"),
    dict(messages=[U("What is the capital of Italy?"), A("The capital of Italy is Rome."), U("And Norway?")], expect="Oslo"),
    dict(messages=[U("我叫小明。"), A("很高兴认识你，小明！"), U("我叫什么名字？")], expect="小明"),
    dict(messages=[U("What is 47 + 85?")], thinking=True, expect="132"), dict(messages=[U("What is 23 * 17?")], thinking=True, expect="391"),
    dict(messages=[U("What is the capital of Spain?")], thinking=True, expect="Madrid"),
    dict(messages=[U("What is the weather in Paris?")], tools=[WEATHER], expect='get_weather<｜tool▁sep｜>{"city": "Paris"}'),
    dict(messages=[U("What is the weather in Oslo?")], tools=[WEATHER], thinking=True, expect='get_weather<｜tool▁sep｜>{"city": "Oslo"}'),
    dict(messages=[U("What is the weather in Paris?"), dict(role="assistant", content="", tool_calls=chat.structured([("get_weather", {"city": "Paris"})])),
                   dict(role="tool", content='{"temperature": 21, "sky": "sunny"}')], tools=[WEATHER], expect="21")]


@torch.no_grad()
def greedy(model, ids, new):
    """New ids up to and without EOS, with the cache; the second value tells whether EOS came."""
    cache, feed, out = None, ids, []
    for _ in range(new):
        r = model(torch.tensor([feed]), past_key_values=cache, use_cache=True)
        cache, token = r.past_key_values, int(r.logits[0, -1].argmax())
        if token == 1:
            return out, True
        out.append(token)
        feed = [token]
    return out, False


def answer(model, t, case):
    prompt = chat.render(case["messages"], case.get("tools"), generate=True, thinking=case.get("thinking", False))
    ids = t.encode(prompt, add_special_tokens=False).ids
    new, ended = greedy(model, ids, 160)
    return dict(case, prompt=prompt, prompt_tokens=len(ids), completion=t.decode(new, skip_special_tokens=True), completion_ids=new, finish_reason="stop" if ended else "length")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model_dir")
    ap.add_argument("--write")
    ap.add_argument("--ask", nargs="*", default=[])
    ap.add_argument("--thinking", action="store_true")
    ap.add_argument("--skip-compare", action="store_true")
    a = ap.parse_args()
    t = tokenizer.load(a.model_dir)
    hf = AutoModelForCausalLM.from_pretrained(a.model_dir, dtype=torch.float32, attn_implementation="eager").eval()
    for q in a.ask:
        r = answer(hf, t, dict(messages=[U(q)], thinking=a.thinking))
        print(f"{q} -> {r['completion']!r} {r['finish_reason']}", flush=True)
    texts = [chat.render([U("What is the capital of France?"), A("The capital of France is Paris."), U("And Norway?")], generate=True),
             chat.render([U("12加30等于多少？"), A("12 + 30 = 42"), U("Now add 7.")], generate=True)]
    ids = [t.encode(x, add_special_tokens=False).ids for x in texts]
    length = min(map(len, ids))
    ids = torch.tensor([x[:length] for x in ids])
    if not a.skip_compare:
        ours = build(read_config(os.path.join(a.model_dir, "config.json"))).eval()
        export.load(ours, a.model_dir)
        with torch.no_grad():
            got, want = ours.logits(ids), hf(ids).logits
        error = (got - want).abs().max().item()
        print(f"largest difference of logits, training code and transformers: {error:.2e} (deviation {want.std():.2f})")
        if not error < 1e-4:
            raise SystemExit("too large")
    if a.write:
        os.makedirs(a.write, exist_ok=True)
        with torch.no_grad():
            logits, seq = hf(ids).logits, ids
            for _ in range(16):                             # EOS does not stop it
                seq = torch.cat([seq, hf(seq).logits[:, -1:].argmax(-1)], 1)
        save_file({"input_ids": ids, "logits": logits.contiguous(), "greedy": seq[:, length:].contiguous()}, os.path.join(a.write, "expected.safetensors"))
        wrong = 0
        with open(os.path.join(a.write, "answers.jsonl"), "w", encoding="utf-8") as f:
            for case in QUESTIONS:
                r = answer(hf, t, case)
                good = case["expect"] in r["completion"] and r["finish_reason"] == "stop"
                wrong += not good
                print("ok   " if good else "WRONG", case["messages"][-1]["content"][:60], "->", r["completion"], flush=True)
                f.write(json.dumps(r, ensure_ascii=False) + "\n")
        print(f"{len(QUESTIONS) - wrong} of {len(QUESTIONS)} as expected")


if __name__ == "__main__":
    main()
