"""How streams reach their clients: pings while nothing is made, and several tokens in a chunk."""
import json

import pytest

from conftest import DEMO, Running
from support import connect

QUESTION = {"messages": [{"role": "user", "content": "Tell me a story about a fox."}], "temperature": 0, "max_tokens": 40}
LONG = "the quick brown fox jumps over the lazy dog " * 250  # many steps of prefill below


@pytest.fixture(scope="module")
def pinging():
    """Pings as often as possible, and prompts that take many steps."""
    server = Running("serve", DEMO, "--served-model-name", "demo", "--port", 0, "--sse-ping-interval", "0.001",
                     "--max-num-batched-tokens", "32", "--no-enable-prefix-caching")
    yield server
    assert server.stop() == 0, server.log.decode(errors="replace")


@pytest.fixture(scope="module")
def gathering():
    server = Running("serve", DEMO, "--served-model-name", "demo", "--port", 0, "--stream-interval", "8")
    yield server
    assert server.stop() == 0, server.log.decode(errors="replace")


def stream(server, path, body):
    connection = connect(server)
    try:
        connection.request("POST", path, json.dumps({**body, "stream": True}))
        response = connection.getresponse()
        assert response.status == 200 and response.headers["Content-Type"].startswith("text/event-stream")
        return response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("path, body", [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": LONG}], "max_tokens": 4}),
    ("/v1/completions", {"prompt": LONG, "max_tokens": 4}),
    ("/v1/responses", {"input": LONG, "max_output_tokens": 4}),
    ("/v1/messages", {"model": "demo", "messages": [{"role": "user", "content": LONG}], "max_tokens": 4}),
])
def test_a_long_prefill_is_not_silent(pinging, path, body):
    ping = 'event: ping\ndata: {"type": "ping"}\n\n' if path == "/v1/messages" else ": ping\n\n"
    text = stream(pinging, path, body)
    assert text.startswith(ping), text[:200]
    rest = text.replace(ping, "")
    assert rest.startswith(("data: ", "event: ")) and "error" not in rest.replace('"error":null', "")


def test_official_clients_take_no_notice_of_pings(pinging):
    from anthropic import Anthropic
    from openai import OpenAI

    client = OpenAI(base_url=pinging.address + "/v1", api_key="none", max_retries=0, timeout=120)
    asked = {"model": "demo", "temperature": 0, "messages": [{"role": "user", "content": LONG + "What is 17 + 25?"}]}
    whole = client.chat.completions.create(**asked, max_tokens=12).choices[0].message.content
    chunks = client.chat.completions.create(**asked, max_tokens=12, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    made = client.responses.create(model="demo", input=LONG, temperature=0, max_output_tokens=12, stream=True)
    assert [event.type for event in made][-1] in ("response.completed", "response.incomplete")
    claude = Anthropic(base_url=pinging.address, api_key="none", max_retries=0, timeout=120)
    with claude.messages.stream(**asked, max_tokens=12) as events:
        assert events.get_final_message().content[0].text == whole


def chunks_of(text):
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: {")]


def test_a_chunk_has_as_many_tokens_as_asked_for(gathering):
    body = {**QUESTION, "ignore_eos": True, "return_token_ids": True}
    counts = [len(chunk["choices"][0].get("token_ids") or []) for chunk in chunks_of(stream(gathering, "/v1/chat/completions", body))]
    counts = [count for count in counts if count]
    assert counts == [1, 8, 8, 8, 8, 7]


def test_gathered_chunks_say_the_same(gathering, server):
    for more in ({}, {"n": 2, "temperature": 0.9, "seed": 7}, {"logprobs": True, "top_logprobs": 1},
                 {"stream_options": {"include_usage": True}}):
        single, several = [chunks_of(stream(one, "/v1/chat/completions", {**QUESTION, **more})) for one in (server, gathering)]
        assert len(several) < len(single)
        assert joined(several) == joined(single)


def joined(chunks):
    """Per choice its text, its tokens' texts and its end; and the usage."""
    choices, usage = {}, None
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            one = choices.setdefault(choice["index"], {"text": "", "tokens": [], "end": None})
            one["text"] += choice["delta"].get("content") or ""
            one["tokens"] += [entry["token"] for entry in (choice.get("logprobs") or {}).get("content") or []]
            one["end"] = choice["finish_reason"] or one["end"]
    if usage:
        usage = {key: usage[key] for key in ("prompt_tokens", "completion_tokens")}
    return choices, usage
