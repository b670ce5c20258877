"""python3 -m unittest discover -s tools/demo_model: the generator's text is right, apart from the tests, and repeatable."""
import calendar
import datetime
import json
import os
import random
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import chat                     # noqa: E402
import exam                     # noqa: E402
import generate                 # noqa: E402
import skills_dates             # noqa: E402
from skill import table         # noqa: E402

SKILLS_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models", "demo", "skills")

COUNT = 6000
CHAIN = re.compile(r"-?\d+(?: [+\-×*/] \d+)*(?: = -?\d+(?: [+\-×*/] \d+)*)+")


class Generator(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.r = random.Random("tests")
        cls.examples = [generate.example(cls.r) for _ in range(COUNT)]
        cls.documents = [generate.document(cls.r, e) for e in cls.examples]
        cls.tests = [e for examples in generate.held_out("1", 60).values() for e in examples]

    def test_no_test_question_is_trained(self):
        """The test examples are a sixteenth by key, and none of their conversations is in training text."""
        self.assertFalse([e.key for e in self.examples if e.is_test])
        keys = {e.key for e in self.tests}
        self.assertFalse(keys & {e.key for e in self.examples})
        whole = lambda e: str([m for m in e.messages if m["role"] != "system"]) + str(e.tools)
        asked = {whole(e) for e in self.examples}
        self.assertFalse([e.messages for e in self.tests if whole(e) in asked])

    def test_held_out_sums_and_capitals_hide_in_no_earlier_turn(self):
        """Turns before the last are trained too: a question of the test must not stand there."""
        single = {e.messages[-1]["content"] for e in self.tests if e.skill in ("sums", "differences", "capitals") and len(e.messages) == 1 and not e.tools}
        for e in self.examples:
            for m in e.messages:
                if m["role"] == "user":
                    self.assertNotIn(m["content"], single)

    def test_arithmetic_is_right(self):
        seen = 0
        for text in self.documents:
            for chain in CHAIN.findall(text):
                values = {eval(side.replace("×", "*")) for side in chain.split(" = ")}      # digits and operators only, by the pattern
                self.assertEqual(len(values), 1, chain)
                seen += 1
        self.assertGreater(seen, COUNT // 4)

    def test_form(self):
        for text in self.documents:
            self.assertTrue(text.startswith(chat.BOS) and text.endswith(chat.EOS), text)
            self.assertEqual(text.count(chat.BOS), 1)
            self.assertEqual(text.count(chat.CALL), text.count(chat.CALL_END), text)
            self.assertNotIn("D.C..", text)

    def test_gold_is_in_the_answer(self):
        for e in self.tests:
            if e.check == "tool-call":
                self.assertEqual(chat.call_text([(c["name"], c["arguments"]) for c in json.loads(e.gold)]), e.answer)
            else:
                self.assertIn(e.gold, e.answer, e)

    def test_same_seed_same_text(self):
        self.assertEqual(list(generate.documents("7", 200)), list(generate.documents("7", 200)))
        self.assertNotEqual(list(generate.documents("7", 50)), list(generate.documents("8", 50)))

    def test_every_scored_skill_has_tests(self):
        scored = {e.skill for e in self.examples if e.gold}
        self.assertFalse(scored - {e.skill for e in self.tests} - {"story"})
        self.assertGreater(len({e.skill for e in self.tests}), 20)

    def test_tables(self):
        countries = table("countries.tsv")
        self.assertEqual({len(row) for row in countries}, {7})
        for column in (0, 5):
            self.assertEqual(len({row[column] for row in countries}), len(countries))
        self.assertEqual(len({row[1] for row in table("elements.tsv")}), 118)
        chinese = dict(table("chinese_names.tsv"))
        self.assertFalse({row[c] for row in countries for c in (3, 4)} - set(chinese))
        self.assertEqual(len(set(chinese.values())), len(chinese))


def bare(text):
    """A question without what `decorate` may have put around it."""
    text = re.sub(r"^(please tell me: |hi! |hello, |请问，|你好，)", "", text.lower())
    return text.rstrip(".?!。？！")


class Exam(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sets = exam.sets(exam.SEED)
        cls.lines = [x for lines in cls.sets.values() for x in lines]

    def test_the_files_are_what_the_generator_writes(self):
        self.assertEqual(sorted(os.listdir(SKILLS_DIR)), sorted(name + ".jsonl" for name in self.sets))
        for name, lines in self.sets.items():
            with open(os.path.join(SKILLS_DIR, name + ".jsonl"), encoding="utf-8") as f:
                self.assertEqual([json.loads(x) for x in f], lines, name)

    def test_nothing_of_it_is_trained(self):
        """Neither as a conversation's last question nor as an earlier one; facts in the way they are asked here."""
        asked = {(bare(x["messages"][-1]["content"]), bool(x.get("tools"))) for x in self.lines if sum(m["role"] != "system" for m in x["messages"]) == 1}
        whole = {str([m for m in x["messages"] if m["role"] != "system"]) for x in self.lines}
        self.assertGreater(len(asked), 1000)
        r = random.Random("overlap")
        for _ in range(30000):
            e = generate.example(r)
            turns = [m for m in e.messages if m["role"] != "system"]
            self.assertFalse(str(turns) in whole, turns)
            for m in turns:
                if m["role"] == "user":
                    self.assertFalse((bare(m["content"]), bool(e.tools)) in asked, m)

    def test_every_skill_in_both_languages(self):
        for name, lines in self.sets.items():
            by = {z: [x for x in lines if x["language"] == z] for z in ("en", "zh")}
            self.assertEqual(len(by["en"]), len(by["zh"]), name)
            chinese = [x for x in by["zh"] if re.search("[一-龥]", " ".join(m["content"] for m in x["messages"] if m["role"] == "user"))]
            self.assertGreater(len(chinese), 0.6 * len(by["zh"]), name)         # a bare sum has no words
            if name != "tool_result":
                self.assertTrue(all(x["thinking"] for x in lines), name)

    def test_products_of_two_digits_and_their_steps(self):
        for x in self.sets["products"]:
            a, b = map(int, re.findall(r"\d+", x["messages"][-1]["content"]))
            self.assertEqual(str(a * b), x["gold"])
            self.assertLess(max(a, b), 100)

    def test_dates(self):
        """Against the calendar of Python, in a common year."""
        day = datetime.date(2023, 1, 1)
        months = [m for m, _ in skills_dates.MONTHS]
        r = random.Random("dates")
        for _ in range(400):
            e = skills_dates.date_after(r, False)
            n, d, m = re.search(r"(\d+) days after (\d+) (\w+) is", e.answer).groups()
            then = day.replace(month=months.index(m) + 1, day=int(d)) + datetime.timedelta(int(n))
            self.assertEqual(e.gold, f"{then.day} {months[then.month - 1]}")
            e = skills_dates.month_length(r, False)
            m, y = re.search(r"(\w+) (\d{4}) has", e.answer).groups()
            self.assertEqual(e.gold, f"{calendar.monthrange(int(y), months.index(m) + 1)[1]} days")
            e = skills_dates.days_between(r, False)
            a, am, b, bm = re.search(r"from (\d+) (\w+) to (\d+) (\w+)", e.messages[0]["content"], re.I).groups()
            at = lambda d, m: day.replace(month=[x.lower() for x in months].index(m.lower()) + 1, day=int(d))
            self.assertEqual(e.gold.removesuffix("s"), f"{(at(b, bm) - at(a, am)).days} day")
            e = skills_dates.weekday_after(r, False)
            names = [d for d, _ in skills_dates.DAYS]
            start, n = re.search(r"today is (\w+)\b.* (\d+) days", e.messages[0]["content"], re.I).groups()
            step = -int(n) if "ago" in e.messages[0]["content"] else int(n)
            self.assertEqual(e.gold, names[([x.lower() for x in names].index(start.lower()) + step) % 7])

    def test_schemas_fit(self):
        for x in self.sets["json"]:
            self.assertEqual(set(x["gold"]), set(x["schema"]["required"]))
            for k, s in x["schema"]["properties"].items():
                self.assertIs(type(x["gold"][k]), {"string": str, "integer": int, "boolean": bool, "array": list}[s["type"]])
                self.assertIn(x["gold"][k], s.get("enum", [x["gold"][k]]))

    def test_long_texts_hold_what_is_asked(self):
        for x in self.sets["long_lookup"]:
            text = x["messages"][0]["content"]
            self.assertTrue(text.endswith("\n{ask}"))
            self.assertGreater(len(x["asks"]), 3)


class Prompt(unittest.TestCase):
    def test_render(self):
        u, a = (lambda s: dict(role="user", content=s)), (lambda s: dict(role="assistant", content=s))
        self.assertEqual(chat.render([u("Hi")], generate=True), "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜></think>")
        self.assertEqual(chat.render([u("Hi")], generate=True, thinking=True), "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜><think>")
        self.assertEqual(chat.render([dict(role="system", content="S"), u("Hi"), a("<think>t</think>Yo"), u("B")], generate=True),
                         "<｜begin▁of▁sentence｜>S<｜User｜>Hi<｜Assistant｜></think>Yo<｜end▁of▁sentence｜><｜User｜>B<｜Assistant｜></think>")
        calls = [dict(role="assistant", content="", tool_calls=chat.structured([("f", {"a": 1})])), dict(role="tool", content="x")]
        self.assertEqual(chat.render([u("Hi")] + calls, generate=True),
                         "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜></think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}"
                         "<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜><｜tool▁output▁begin｜>x<｜tool▁output▁end｜>")

    def test_template_renders_the_same(self):
        try:
            import jinja2
        except ImportError:
            print("test_template_renders_the_same: jinja2 is not installed, so the template was not compared")
            self.skipTest("jinja2 is not installed")
        env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
        env.filters["tojson"] = lambda v: chat.to_json(v)
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat_template.jinja"), encoding="utf-8") as f:
            template = env.from_string(f.read())
        r = random.Random("template")
        for _ in range(400):
            e, thinking = generate.example(r), r.random() < 0.5
            self.assertEqual(template.render(messages=e.messages, tools=e.tools, bos_token=chat.BOS, eos_token=chat.EOS, add_generation_prompt=True, thinking=thinking),
                             chat.render(e.messages, e.tools, generate=True, thinking=thinking))


if __name__ == "__main__":
    unittest.main()
