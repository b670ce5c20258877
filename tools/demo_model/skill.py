"""What a skill is made of: an Example, the split between training and test, and small helpers for text.

A skill is a function (random.Random, zh: bool) -> Example. Every Example has a `key` that says what is asked
(never how it is decorated); the key's hash alone decides whether the example belongs to the test set, so training
text and test text cannot share a question.
"""
import dataclasses
import json
import os
import random
import re
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
TEST_SHARE = 16                # one key of 16 is held out


def held_out(key):
    return zlib.crc32(key.encode()) % TEST_SHARE == 0


@dataclasses.dataclass
class Example:
    skill: str
    key: str
    messages: list             # up to and with the last user or tool message
    answer: str                # what the assistant says then
    think: str = ""            # what it thinks first, when asked to think
    gold: str = ""             # what the answer is scored by; "": not scored
    check: str = "contains"    # contains | number (the last number) | exact | json-schema | tool-call (gold: JSON)
    tools: list | None = None
    schema: dict | None = None  # of json-schema
    always_train: bool = False  # too basic to be held out (2 + 2)

    @property
    def is_test(self):
        return not self.always_train and held_out(self.key)


LONG_ANSWERS = {"products": 110, "sums": 90, "differences": 110, "word_problems": 110, "sort_numbers": 60, "count_up": 90, "two_tool_calls": 110,
                "tool_result": 90, "json": 80, "strings": 110, "json_schema": 160, "dates": 200, "story": 160, "summary": 90, "lookup": 90,
                "long_lookup": 90}


def new_tokens(skill):
    """How long an answer may become, thinking included."""
    return LONG_ANSWERS.get(skill, 60)


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


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def table(name):
    with open(os.path.join(HERE, "facts", name), encoding="utf-8") as f:
        return [line.rstrip("\n").split("|") for line in f if line.strip()]


def pick(r, items):
    """(index, item) by chance: the index goes into the key."""
    i = int(r.random() * len(items))
    return i, items[i]


def decorate(r, text, zh):
    """The same question as people type it: no capital, no full stop, a word of politeness."""
    x = r.random()
    if zh:
        if x < 0.15:
            return text.rstrip("。？！")
        if x < 0.25:
            return "请问，" + text
        if x < 0.30:
            return "你好，" + text
        return text
    if x < 0.12:
        return text.lower()
    if x < 0.20:
        return text.rstrip(".?!")
    if x < 0.27:
        return text.lower().rstrip(".?!")
    if x < 0.31:
        return "Please tell me: " + text
    if x < 0.35:
        return "Hi! " + text
    if x < 0.37:
        return "Hello, " + text[0].lower() + text[1:]
    return text


def cap(text):
    """A sentence: a capital in front, one full stop at the end (Washington, D.C. brings its own)."""
    return (text[0].upper() + text[1:]).replace("..", ".")


def articles(text):
    """"a umbrella" to "an umbrella"."""
    words = text.split(" ")
    return " ".join(w + "n" if w in ("a", "A") and n[:1].lower() in "aeiou" and not n.startswith(("uni", "one")) else w for w, n in zip(words, words[1:] + [""]))


NAMES = ("Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Mia Noah Olivia Paul Quinn Rosa Sam Tina Uma "
         "Victor Wendy Xavier Yara Zoe Alice Bob Carol Dan Eve Frank Gina Hugo Ivan Julia Kevin Laura Mark Nina Oscar "
         "Peter Rachel Simon Tom Ursula Vera Will Amir Bella Chen Dora Elena Fatima George Hanna Ines Jonas Karl Lucy "
         "Maria Nick Otto Priya Raj Sara Theo Vince Walter Yusuf Ada Ali Carlos Diego Erik Fiona Greta Hassan Ingrid "
         "Jamal Kenji Lena Mateo Nadia Omar Petra Rita Sofia Tariq Vanessa Yuki Zara Max Lily Ella James John Mary "
         "Robert Linda Susan Michael Sarah Thomas Daniel Chris Steve Andy Amy Jane").split()
ZH_NAMES = ("小明 小红 小华 小丽 小刚 小芳 小龙 小雨 小雪 小军 李雷 韩梅梅 王芳 张伟 李娜 刘洋 陈静 杨帆 赵敏 黄磊 周杰 吴倩 徐亮 "
            "孙丽 马超 朱琳 胡军 郭靖 林峰 何洁 高远 梁宇 郑爽 谢娜 宋佳 唐宁 许晴 邓超 冯刚 曹阳 彭磊 曾敏 田甜 董洁").split()
SURNAMES, GIVEN = "王李张刘陈杨赵黄周吴徐孙马朱胡郭林何高梁郑谢宋唐许邓冯曹彭曾", "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚英华玉兰飞红云宁雪琳"
SYLLABLES = "ka lo mi ra ten dor va si no bel gar u ri na fo zen ta qui mo lar pe shi do wen ja ru el tor ba li".split()


def made_up(r, low=2, high=3):
    """A word that exists in no list: it can only be copied from the context."""
    return cap("".join(r.choice(SYLLABLES) for _ in range(r.randint(low, high))))


def a_name(r, zh):
    if zh:
        return r.choice(ZH_NAMES) if r.random() < 0.4 else r.choice(SURNAMES) + "".join(r.choices(GIVEN, k=r.randint(1, 2)))
    return r.choice(NAMES) if r.random() < 0.6 else made_up(r)
