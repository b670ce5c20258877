"""python3 -m unittest discover -s tools/demo_model: the generator's text is right, apart from the tests, and repeatable."""
import os
import random
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import chat                     # noqa: E402
import generate                 # noqa: E402
from skill import table         # noqa: E402

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
        self.assertEqual(len({row[1] for row in table("elements.tsv")}), len(table("elements.tsv")))


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
