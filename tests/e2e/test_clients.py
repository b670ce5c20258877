"""Programs that people have already, pointed at the server: litellm, LangChain, `vllm bench serve`, curl, schemathesis.
lm-evaluation-harness has test_lm_eval.py.

`vllm bench serve` needs vLLM, so what it sends and reads is said again here."""
import asyncio
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from support import call

QUESTION = [{"role": "user", "content": "What is 17 + 25?"}]
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "The weather of a city.",
                                            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


@pytest.fixture(scope="module")
def whole(client):
    answer = client.chat.completions.create(model="demo", messages=QUESTION, temperature=0, max_tokens=24)
    assert "42" in answer.choices[0].message.content
    return answer.choices[0].message.content


# ---- litellm ----

@pytest.fixture(scope="module")
def litellm():
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the internet for prices
    import litellm

    litellm.telemetry = False
    return litellm


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
def test_litellm_answers_and_streams(server, litellm, whole, provider):
    ask = {"model": f"{provider}/demo", "api_base": server.address + "/v1", "api_key": "none", "messages": QUESTION, "temperature": 0,
           "max_tokens": 24, "num_retries": 0}
    answer = litellm.completion(**ask)
    assert answer.choices[0].message.content == whole and answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens > 0
    pieces = [chunk.choices[0].delta.content or "" for chunk in litellm.completion(**ask, stream=True)]
    assert "".join(pieces) == whole and len(pieces) > 2

    async def three():
        return await asyncio.gather(*(litellm.acompletion(**ask) for _ in range(3)))

    # not asyncio.run(): that waits for litellm's logging task, which takes no cancellation
    answers = asyncio.new_event_loop().run_until_complete(three())
    assert [each.choices[0].message.content for each in answers] == [whole] * 3


def test_litellm_completes_text_and_knows_errors(server, litellm):
    ask = {"model": "text-completion-openai/demo", "api_base": server.address + "/v1", "api_key": "none", "max_tokens": 4, "num_retries": 0}
    assert litellm.text_completion(prompt="The capital of France is", **ask).choices[0].text
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        litellm.completion(model="openai/demo", api_base=server.address + "/v1", api_key="none", messages=QUESTION, temperature=7, num_retries=0)
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(model="openai/nobody", api_base=server.address + "/v1", api_key="none", messages=QUESTION, num_retries=0)


# ---- LangChain ----

@pytest.fixture(scope="module")
def langchain(server):
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="demo", base_url=server.address + "/v1", api_key="none", temperature=0, max_tokens=24, max_retries=0)


def test_langchain_invokes_streams_and_batches(langchain, whole):
    answer = langchain.invoke("What is 17 + 25?")
    assert answer.content == whole and answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["finish_reason"] == "stop"
    pieces = list(langchain.stream("What is 17 + 25?"))
    assert "".join(piece.content for piece in pieces) == whole and len(pieces) > 2
    assert [each.content for each in langchain.batch(["What is 17 + 25?"] * 3)] == [whole] * 3

    async def async_pieces():
        return [piece.content async for piece in langchain.astream("What is 17 + 25?")]

    assert "".join(asyncio.run(async_pieces())) == whole


def test_langchain_binds_tools(langchain):
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

    bound = langchain.bind_tools([WEATHER])
    answer = bound.invoke("What is the weather in Paris?")
    assert isinstance(answer, AIMessage) and (answer.content or answer.tool_calls)
    made = AIMessage(content="", tool_calls=[{"name": "get_weather", "args": {"city": "Paris"}, "id": "call_1"}])
    after = bound.invoke([HumanMessage("What is the weather in Paris?"), made, ToolMessage("sunny", tool_call_id="call_1")])
    assert after.content


# ---- vllm bench serve ----

def bench_messages(response):
    """The payloads of a stream as `vllm bench serve` takes it apart: by pieces of the network, stripped, split at empty lines, and
    what is left over taken when it is whole JSON."""
    left = ""
    while piece := response.read1(65536):
        left += piece.strip().decode()
        messages = left.split("\n\n")
        left = messages.pop()
        yield from (message.strip().removeprefix("data: ") for message in messages if message.strip() and not message.startswith(":"))
        content = left.removeprefix("data: ").strip()
        try:
            if content != "[DONE]":
                json.loads(content)
        except json.JSONDecodeError:
            continue
        yield content
        left = ""
    assert not left.strip()


def bench(server, path, body):
    """(text, chunks with choices, usage)"""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "x-request-id": "bench-0", "Authorization": "Bearer x"})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    text, chunks, usage = "", 0, None
    for message in bench_messages(response):
        if message == "[DONE]":
            continue
        data = json.loads(message)
        if data.get("choices"):
            chunks += 1
            text += data["choices"][0].get("text") or data["choices"][0].get("delta", {}).get("content") or ""
        elif data.get("usage"):
            usage = data["usage"]
    connection.close()
    return text, chunks, usage


@pytest.mark.parametrize("prompt", ["Once upon a time", [5, 6, 7, 8] * 16], ids=["text", "ids"])
def test_vllm_bench_serve_completions(server, prompt):
    body = {"model": "demo", "prompt": prompt, "repetition_penalty": 1.0, "max_tokens": 40, "logprobs": None, "stream": True,
            "stream_options": {"include_usage": True}, "ignore_eos": True, "temperature": 0.0, "top_p": 1.0}
    text, chunks, usage = bench(server, "/v1/completions", body)
    assert text and usage["completion_tokens"] == 40 and 1 < chunks <= 41
    if isinstance(prompt, list):
        assert usage["prompt_tokens"] == len(prompt)
    whole = call(server, "POST", "/v1/completions", {**body, "stream": False, "stream_options": None}).json
    assert whole["choices"][0]["text"] == text


def test_vllm_bench_serve_chat(server):
    body = {"model": "demo", "messages": [{"role": "user", "content": [{"type": "text", "text": "What is 17 + 25?"}]}], "max_completion_tokens": 20,
            "stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True, "temperature": 0.0}
    text, chunks, usage = bench(server, "/v1/chat/completions", body)
    assert "42" in text and usage["completion_tokens"] == 20 and chunks > 1


# ---- curl ----

def curl(*arguments, stdin=None):
    done = subprocess.run(["curl", "-sS", "--max-time", "60", *arguments], input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl_in_its_many_ways(server, whole, tmp_path):
    url = server.address + "/v1/chat/completions"
    body = json.dumps({"messages": QUESTION, "temperature": 0, "max_tokens": 24})
    for extra in ([], ["-0"], ["--http2"], ["--compressed"], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
        answer = json.loads(curl(url, "-d", body, *extra))
        assert answer["choices"][0]["message"]["content"] == whole, extra
    events = curl("-N", url, "-d", json.dumps({**json.loads(body), "stream": True})).decode().split("\n\n")
    assert all(event.startswith("data: ") for event in events if event) and events[-2] == "data: [DONE]"
    assert curl("-I", server.address + "/health").startswith(b"HTTP/1.1 200 OK")
    large = tmp_path / "large.json"
    large.write_text(json.dumps({"prompt": "word " * 500_000}))
    assert json.loads(curl(server.address + "/tokenize", "-d", f"@{large}"))["count"] > 500_000
    twice = curl("-w", "%{num_connects} ", server.address + "/health", server.address + "/health").split()
    assert twice[-1] == b"0", "the second request goes over the first one's connection"


# ---- schemathesis ----

def test_schemathesis_finds_the_document_true(server, tmp_path):
    command = [pathlib.Path(sys.executable).parent / "schemathesis", "run", server.address + "/openapi.json", "--max-examples", "10", "--generation-deterministic",
               "--suppress-health-check", "all", "--request-timeout", "60",
               "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method",
               "--phases", "examples,coverage,fuzzing", "--workers", "1", "--no-color"]
    done = subprocess.run(command, capture_output=True, timeout=600, cwd=tmp_path)
    said = done.stdout.decode()
    # not its exit code: on a busy machine a scenario counts as failed (hypothesis' clock) in which every case passed
    counts = re.search(r"(\d+) generated, (\d+) passed", said)
    assert counts and counts[1] == counts[2] and int(counts[1]) > 500, said[-6000:] + done.stderr.decode()[-2000:]
    assert "Failures:" not in said and "Errors:" not in said, said[-6000:]
