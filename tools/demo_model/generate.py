"""Synthetic text for the demo model: documents for training, test sets apart from them, packed token rows.

    generate.py show [--count N] [--seed S]                   documents as the model reads them
    generate.py test OUT_DIR [--seed S]                       the test sets, as models/demo/skills holds them (exam.py)
    generate.py tokenizer OUT_DIR [--count N] [--seed S]      train the tokenizer on N documents

Everything follows from the seed. Chunk i of a seed is the same text on every machine, so many processes can make
the chunks of one training run side by side.
"""
import argparse
import random

import skills_chat as chat_skills
import skills_dates as dates
import skills_facts as facts
import skills_numbers as numbers
import skills_open as opened
import skills_rewrite as rewrite
import skills_schema as schemas
import skills_text as texts
import skills_tools as tools
from chat import ASSISTANT, BOS, EOS, OUTPUT, OUTPUT_END, render

# (skill, how often)
SKILLS = [
    (numbers.sums, 14), (numbers.differences, 12), (numbers.products, 7), (numbers.word_problems, 3), (numbers.running_total, 2), (numbers.compare, 1.5), (numbers.sort_numbers, 3),
    (numbers.count_up, 1), (opened.long_sums, 3), (opened.only_number, 1.5),
    (facts.countries, 20), (facts.and_what_about, 2.5), (facts.elements, 7), (facts.plain, 4), (facts.unknown, 2.5),
    (opened.aliases, 1.5), (opened.short_capital, 4), (opened.is_capital, 1.5), (opened.lists, 0.7), (opened.beyond, 5),
    (chat_skills.small_talk, 4), (chat_skills.memory, 7), (chat_skills.not_told, 1), (chat_skills.chain, 5), (opened.hello_and, 1.5),
    (tools.one_call, 6), (tools.two_calls, 3), (tools.use_result, 6), (tools.after_result, 0.5), (tools.no_call, 1.5), (tools.no_tool, 0.5), (tools.addition_without_calculator, 0.7),
    (texts.lookup, 6), (texts.long_lookup, 0.5), (texts.strings, 10), (texts.as_json, 1.5), (schemas.json_schema, 6), (dates.dates, 8), (texts.calendar, 1.5),
    (texts.story, 3), (opened.poem, 1), (rewrite.summary, 4), (rewrite.polite, 3), (texts.translate, 2), (texts.repeat, 1)]
FUNCTIONS, WEIGHTS = zip(*SKILLS)
ZH_SHARE, THINK_SHARE, SYSTEM_SHARE = 0.4, 0.35, 0.12
SYSTEMS = ["You are a helpful assistant.", "You are a friendly assistant.", "You are Hadal's demo model.", "Answer the question.", "Be brief.", "You are a helpful AI assistant.",
           "你是一个有用的助手。", "You answer questions correctly.", "You are a small language model."]


def example(r, skill=None):
    """One example of the training side."""
    while True:
        f = skill or r.choices(FUNCTIONS, WEIGHTS)[0]
        e = f(r, r.random() < ZH_SHARE)
        if not e.is_test:
            break
    if r.random() < SYSTEM_SHARE and e.messages[0]["role"] != "system":
        e.messages = [{"role": "system", "content": r.choice(SYSTEMS)}] + e.messages
    return e


def document(r, e):
    """The example as one text, BOS to EOS."""
    if e.messages[-1]["role"] == "tool":
        return render(e.messages, e.tools) + e.answer + EOS
    thoughts = "<think>" + e.think if e.think and r.random() < THINK_SHARE else ""
    return render(e.messages, e.tools) + ASSISTANT + thoughts + "</think>" + e.answer + EOS


def documents(seed, count):
    r = random.Random(seed)
    for _ in range(count):
        yield document(r, example(r))


def held_out(seed, count):
    """{skill: examples of the test side}, `count` different questions of every scored skill where there are as many."""
    r, sets, keys = random.Random(f"test {seed}"), {}, set()
    for f, _ in SKILLS:
        for _ in range(count * 40):
            e = f(r, r.random() < ZH_SHARE)
            if e.is_test and e.gold and e.key not in keys and len(sets.setdefault(e.skill, [])) < count:
                keys.add(e.key)
                sets[e.skill].append(e)
    return sets


def chunk(tokenizer, seed, index, rows, length):
    """uint16 [rows, length]: whole documents one after the other, rows filled up with padding; too long ones are left out."""
    import numpy as np
    r, pad = random.Random(f"{seed} {index}"), tokenizer.token_to_id("<｜▁pad▁｜>")
    out, row, at = np.full((rows, length), pad, dtype=np.uint16), 0, 0
    while True:
        batch = [document(r, example(r)) for _ in range(256)]
        for encoded in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            ids = encoded.ids
            if len(ids) > length:
                continue
            if at + len(ids) > length:
                row, at = row + 1, 0
                if row == rows:
                    return out
            out[row, at:at + len(ids)] = ids
            at += len(ids)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=("show", "test", "tokenizer"))
    ap.add_argument("out", nargs="?")
    ap.add_argument("--count", type=int, default=200)
    ap.add_argument("--seed", default="1")
    a = ap.parse_args()
    if a.what == "show":
        for text in documents(a.seed, a.count):
            print(text, end="\n\n")
    elif a.what == "test":
        import exam
        exam.write(a.seed, a.out)
    else:
        import tokenizer
        tokenizer.train(documents(a.seed, a.count), a.out)


if __name__ == "__main__":
    main()
