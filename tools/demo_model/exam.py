"""The test sets that `hadal eval skills` asks: one JSONL file for every skill, English and Chinese, all of it held out.

A line is one question:

    {"skill", "language": "en" | "zh", "messages": [...], "tools": [...]?, "match", "gold", "schema"?, "thinking": true | false, "max_tokens", "bar"?}

`match` says how an answer is judged: "exact" (the text is `gold`), "number" (its last number is `gold`), "contains" (`gold`, or
one of several, stands in it as a whole word), "json-schema" (it is JSON of `schema`; right if it equals `gold`), "tool-call"
(it calls what `gold` lists). `thinking` tells that the question can also be asked with thinking on. Where one long text
serves many questions the line has "asks": [{"ask", "gold"}, ...], and {ask} stands in the last message. `bar` is the percentage that the skill should reach.
"""
import json
import os
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
from skill import held_out

SEED = "1"


def country(attribute):
    return lambda r, zh: facts.countries(r, zh, attribute)


BARS = {"sums": 95, "differences": 95, "products": 90, "facts": 98, "strings": 95, "lookup": 95, "long_lookup": 95, "memory": 95, "dates": 90, "json": 95,
        "tool_call": 95, "two_tool_calls": 95, "tool_result": 95, "unknown": 90}

# file: functions, questions of each language, tokens an answer may have (thoughts included)
EXAM = {
    "sums": ([numbers.sums], 50, 160), "differences": ([numbers.differences], 50, 160), "products": ([numbers.products], 50, 160),
    "facts": ([country("capital"), country("currency"), country("language"), facts.elements], 100, 96),
    "strings": ([texts.strings], 60, 160), "memory": ([chat_skills.memory], 40, 96), "dates": ([dates.dates], 60, 256),
    "json": ([schemas.json_schema], 40, 200), "tool_call": ([tools.one_call], 30, 128), "two_tool_calls": ([tools.two_calls], 30, 192),
    "tool_result": ([tools.use_result], 30, 128), "unknown": ([facts.unknown, opened.beyond], 50, 96), "lookup": ([texts.lookup], 30, 160),
    "story": ([texts.story], 30, 256), "summary": ([rewrite.summary], 40, 128), "polite": ([rewrite.polite], 40, 96)}
LONG_TEXTS, LONG_ASKS = 6, 6              # of each language


def gold_of(e):
    if e.skill == "unknown":              # any way of saying so
        return ["不知道", "不会", "没有"] if any("\u4e00" <= c <= "\u9fff" for c in e.answer) else ["don't know", "do not know", "cannot", "can't"]
    return json.loads(e.gold) if e.check in ("json-schema", "tool-call") else e.gold


def line(skill, zh, e, max_tokens):
    out = dict(skill=skill, language="zh" if zh else "en", messages=e.messages)
    if e.tools:
        out["tools"] = e.tools
    out.update(match="contains" if e.skill == "unknown" else e.check, gold=gold_of(e))
    if e.schema:
        out["schema"] = e.schema
    out.update(thinking=bool(e.think) and e.messages[-1]["role"] == "user", max_tokens=max_tokens)
    return with_bar(out)


def with_bar(out):
    return dict(out, bar=BARS[out["skill"]]) if out["skill"] in BARS else out


def examples(r, functions, zh, count):
    """`count` different held-out examples, the functions in turn."""
    out, keys, tries = [], set(), 0
    while len(out) < count:
        e = functions[len(out) % len(functions)](r, zh)
        tries += 1
        if tries > 3000 * count:
            raise SystemExit(f"{e.skill}: only {len(out)} held-out questions of {count}")
        if e.is_test and e.gold and e.key not in keys:
            keys.add(e.key)
            out.append(e)
    return out


def long_texts(r, zh):
    """Texts of up to 4,000 tokens with LONG_ASKS questions each about one or two facts."""
    most = texts.LONGEST_ZH if zh else texts.LONGEST_EN
    for i in range(LONG_TEXTS):
        text, told = texts.facts_text(r, zh, 40 + (most - 40) * i // (LONG_TEXTS - 1))
        asks = []
        while len(asks) < LONG_ASKS:
            ask, said = texts.two_asked(r, zh, told) if len(asks) % 2 else texts.asked(r, r.choice(told))
            if held_out(f"lookup {text}\n{ask}"):
                asks.append(dict(ask=ask, gold=said))
        yield with_bar(dict(skill="long_lookup", language="zh" if zh else "en", messages=[dict(role="user", content=text + "\n{ask}")], match="exact", asks=asks, thinking=True,
                            max_tokens=160))


def sets(seed):
    """{file's name: lines}"""
    out = {}
    for name, (functions, count, max_tokens) in EXAM.items():
        out[name] = [line(name, zh, e, max_tokens) for zh in (False, True) for e in examples(random.Random(f"exam {seed} {name} {zh}"), functions, zh, count)]
    out["long_lookup"] = [x for zh in (False, True) for x in long_texts(random.Random(f"exam {seed} long {zh}"), zh)]
    return out


def write(seed, out_dir):
    os.makedirs(out_dir, exist_ok=True)
    for name, lines in sets(seed).items():
        with open(os.path.join(out_dir, name + ".jsonl"), "w", encoding="utf-8") as f:
            f.writelines(json.dumps(x, ensure_ascii=False, separators=(",", ":")) + "\n" for x in lines)
