"""A request that another engine has begun goes on exactly where it was, wherever it was cut."""
import pytest

from conftest import DEMO, Running
from support import call, events

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def ask(content, **fields):
    return CHAT, {"messages": [{"role": "user", "content": content}], **fields}


REQUESTS = {
    "greedy": ask("What is the capital of France?", temperature=0, max_tokens=24),
    "sampled": ask("Tell me a story.", temperature=1.3, seed=5, max_tokens=24),
    "penalties": ask("Tell me a story.", temperature=1.0, seed=6, max_tokens=24, presence_penalty=1.5, frequency_penalty=0.7,
                     repetition_penalty=1.3),
    "stop_string": ask("Tell me a story about a fox.", temperature=0, max_tokens=40, stop=["the", " wa"], min_tokens=6),
    "stop_included": ask("Tell me a story about a fox.", temperature=0, max_tokens=40, stop=["."],
                         include_stop_str_in_output=True),
    "min_tokens": ask("What is 17 + 25?", temperature=0, max_tokens=40, min_tokens=30),
    "reasoning": ask("What is 17 + 25?", temperature=0, max_tokens=60, chat_template_kwargs={"thinking": True}),
    "logprobs": ask("What is 17 + 25?", temperature=0.8, seed=9, max_tokens=16, logprobs=True, top_logprobs=2),
    "text": (TEXT, {"prompt": "The capital of France is", "temperature": 0.9, "seed": 4, "max_tokens": 20}),
    "token_ids": (TEXT, {"prompt": [0, 5, 6, 7, 300, 301], "temperature": 1.0, "seed": 8, "max_tokens": 20,
                         "ignore_eos": True}),
}


@pytest.fixture(scope="module")
def servers():
    """The engine that breaks off and the one that goes on. Prefix hits must not matter: --exact."""
    pair = [Running("serve", DEMO, "--port", 0, "--exact") for _ in range(2)]
    yield pair
    for server in pair:
        assert server.stop() == 0, server.log.decode(errors="replace")


class Parts:
    """What a stream has given so far."""

    def __init__(self):
        self.ids, self.content, self.reasoning, self.logprobs = [], "", "", []
        self.finish = self.usage = None
        self.roles = 0

    def add(self, chunk):
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            assert choice["index"] == 0
            delta = choice.get("delta", {})
            self.roles += "role" in delta
            self.content += delta.get("content") or choice.get("text") or ""
            self.reasoning += delta.get("reasoning_content") or ""
            self.ids += choice.get("token_ids") or []
            if choice.get("logprobs"):
                self.logprobs += choice["logprobs"]["content"]
            if choice["finish_reason"]:
                self.finish = (choice["finish_reason"], choice.get("stop_reason"))


def whole(server, path, body):
    """The streamed answer, and what a client had after each number of tokens."""
    parts, seen = Parts(), {0: ("", "")}
    for chunk in events(server, path, {**body, "return_token_ids": True, "stream_options": {"include_usage": True}}):
        parts.add(chunk)
        if parts.finish is None:
            seen[len(parts.ids)] = (parts.content, parts.reasoning)
    return parts, seen


def resumed(body, parts, cut, **more):
    rest = {name: value for name, value in body.items() if name != "seed"}
    return {**rest, "return_token_ids": True, "resume": {"output_token_ids": parts.ids[:cut], "seed": body.get("seed", 0)}, **more}


def check_streamed(server, path, body, parts, seen, cut):
    content, reasoning = seen[cut]
    rest = Parts()
    for chunk in events(server, path, resumed(body, parts, cut, stream_options={"include_usage": True})):
        rest.add(chunk)
    assert rest.ids == parts.ids[cut:], cut
    assert content + rest.content == parts.content, cut
    assert reasoning + rest.reasoning == parts.reasoning, cut
    assert rest.finish == parts.finish, cut
    assert rest.usage["completion_tokens"] == parts.usage["completion_tokens"], cut
    assert rest.usage["prompt_tokens"] == parts.usage["prompt_tokens"], cut
    if parts.logprobs:
        assert rest.logprobs == parts.logprobs[cut:], cut
    assert rest.roles == (1 if path == CHAT else 0)


def check_whole(server, path, body, parts, seen, cut):
    content, reasoning = seen[cut]
    answer = call(server, "POST", path, resumed(body, parts, cut))
    assert answer.status == 200, answer.text
    choice = answer.json["choices"][0]
    message = choice.get("message", {"content": choice.get("text")})
    assert choice["token_ids"] == parts.ids[cut:], cut
    assert content + (message["content"] or "") == parts.content, cut
    assert reasoning + (message.get("reasoning_content") or "") == parts.reasoning, cut
    assert (choice["finish_reason"], choice["stop_reason"]) == parts.finish, cut
    assert answer.json["usage"]["completion_tokens"] == parts.usage["completion_tokens"], cut


@pytest.mark.parametrize("name", REQUESTS)
def test_cut_at_every_position(servers, name):
    path, body = REQUESTS[name]
    parts, seen = whole(servers[0], path, body)
    assert len(parts.ids) >= 5 and parts.finish is not None
    assert sorted(seen) == list(range(len(parts.ids)))
    for cut in sorted(seen):
        check = check_whole if cut % 3 == 2 else check_streamed
        check(servers[1], path, body, parts, seen, cut)


def test_reasoning_is_there_and_cut_inside(servers):
    """What the test above relies on: the reasoning request has both parts."""
    parts, _ = whole(servers[0], *REQUESTS["reasoning"])
    assert parts.reasoning and parts.content


def test_tokens_that_end_the_answer_end_it_at_once(servers):
    for name in ("greedy", "sampled", "stop_string"):
        path, body = REQUESTS[name]
        parts, _ = whole(servers[0], path, body)
        answer = call(servers[1], "POST", path, resumed(body, parts, len(parts.ids)))
        assert answer.status == 200, answer.text
        choice = answer.json["choices"][0]
        assert (choice["message"]["content"] or "", choice["token_ids"]) == ("", [])
        assert (choice["finish_reason"], choice["stop_reason"]) == parts.finish
        assert answer.json["usage"]["completion_tokens"] == len(parts.ids)


def test_a_choice_of_several_goes_on_as_itself(servers):
    path, body = ask("Tell me a story.", temperature=1.3, max_tokens=16)
    answer = call(servers[0], "POST", path, {**body, "n": 3, "seed": 21, "return_token_ids": True})
    assert answer.headers["x-hadal-seed"] == "21"
    for choice in answer.json["choices"]:
        rest = call(servers[1], "POST", path, {**body, "return_token_ids": True, "resume": {
            "output_token_ids": choice["token_ids"][:7], "seed": 21, "choice": choice["index"]}})
        assert rest.json["choices"][0]["token_ids"] == choice["token_ids"][7:]


def test_a_drawn_seed_is_told_and_continues(servers):
    path, body = ask("Tell me a story.", temperature=1.3, max_tokens=16)
    answer = call(servers[0], "POST", path, {**body, "return_token_ids": True})
    ids = answer.json["choices"][0]["token_ids"]
    rest = call(servers[1], "POST", path, {**body, "return_token_ids": True, "resume": {
        "output_token_ids": ids[:5], "seed": int(answer.headers["x-hadal-seed"])}})
    assert rest.json["choices"][0]["token_ids"] == ids[5:]
    assert rest.headers["x-hadal-seed"] == answer.headers["x-hadal-seed"]


def test_what_cannot_go_on_is_refused(servers):
    path, body = ask("Hello.", max_tokens=4)
    resume = {"output_token_ids": [5, 6], "seed": 1}
    cases = [({"n": 2, "resume": resume}, "n"), ({"resume": {**resume, "output_token_ids": [5000]}}, "resume.output_token_ids"),
             ({"resume": {**resume, "output_token_ids": [5] * 5}}, "resume.output_token_ids"),
             ({"resume": {"output_token_ids": [5]}}, "resume.seed"), ({"seed": 2, "resume": resume}, "resume.seed")]
    for fields, param in cases:
        answer = call(servers[0], "POST", path, {**body, **fields})
        assert (answer.status, answer.json["error"]["param"]) == (400, param), answer.text
    two = call(servers[0], "POST", TEXT, {"prompt": ["a", "b"], "max_tokens": 4, "resume": resume})
    assert (two.status, two.json["error"]["param"]) == (400, "prompt")
