"""The other endpoints with their own clients: tokenizing, OpenAI's responses, Anthropic's messages, keys, /openapi.json."""
import json

import jinja2
import openai
import pytest

from conftest import Running
from support import call, events

CHAT = {"messages": [{"role": "user", "content": "What is 17 + 25?"}], "temperature": 0, "max_tokens": 40}
TOOL = {"name": "get_weather", "description": "Get the weather of a city.",
        "schema": {"type": "object", "properties": {"city": {"type": "string", "description": "The city"}}, "required": ["city"]}}


def test_tokenize_and_back(server):
    made = call(server, "POST", "/tokenize", {"prompt": "Hello there", "return_token_strs": True}).json
    assert made["count"] == len(made["tokens"]) == len(made["token_strs"]) and made["max_model_len"] > 0
    bare = call(server, "POST", "/tokenize", {"prompt": "Hello there", "add_special_tokens": False}).json["tokens"]
    assert call(server, "POST", "/detokenize", {"tokens": bare}).json == {"prompt": "Hello there"}
    info = call(server, "GET", "/tokenizer_info").json
    assert [info[name] for name in ("bos_token", "eos_token", "pad_token", "unk_token")] == [
        "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜end▁of▁sentence｜>", None]
    assert info["add_bos_token"] and info["model_max_length"] == made["max_model_len"]
    chat = call(server, "POST", "/tokenize", {"messages": CHAT["messages"]}).json
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]).from_string(info["chat_template"])
    text = template.render(messages=CHAT["messages"], add_generation_prompt=True, bos_token=info["bos_token"], eos_token=info["eos_token"])
    assert call(server, "POST", "/tokenize", {"prompt": text, "add_special_tokens": False}).json["tokens"] == chat["tokens"]
    assert chat["count"] == call(server, "POST", "/v1/chat/completions", CHAT).json["usage"]["prompt_tokens"]


def test_responses(client, server):
    answer = client.responses.create(model="demo", input="What is 17 + 25?", temperature=0, max_output_tokens=40)
    assert answer.status == "completed" and "42" in answer.output_text and answer.store is False
    text, last = "", None
    for event in client.responses.create(model="demo", input="What is 17 + 25?", temperature=0, max_output_tokens=40, stream=True):
        text += event.delta if event.type == "response.output_text.delta" else ""
        last = event
    assert text == answer.output_text and last.type == "response.completed"
    assert last.response.usage.output_tokens == answer.usage.output_tokens
    cut = client.responses.create(model="demo", input="Tell me a story.", max_output_tokens=2)
    assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens"
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model="demo", input="x", previous_response_id="resp_1")
    assert error.value.param == "previous_response_id"


def test_responses_call_tools(client):
    tools = [{"type": "function", "name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"],
              "strict": False}]
    ask = {"role": "user", "content": "What is the weather in Paris?"}
    first = client.responses.create(model="demo", input=[ask], tools=tools, temperature=0)
    [made] = [item for item in first.output if item.type == "function_call"]
    assert json.loads(made.arguments) == {"city": "Paris"}
    output = {"type": "function_call_output", "call_id": made.call_id, "output": '{"temperature": 21, "sky": "sunny"}'}
    second = client.responses.create(model="demo", input=[ask, *first.output, output], tools=tools, temperature=0)
    assert "21" in second.output_text


@pytest.fixture(scope="module")
def claude(server):
    from anthropic import Anthropic

    return Anthropic(base_url=server.address, api_key="none", max_retries=0, timeout=120)


def test_messages(claude):
    asked = {"model": "demo", "max_tokens": 60, "temperature": 0, "messages": [{"role": "user", "content": "What is 17 + 25?"}]}
    answer = claude.messages.create(**asked)
    assert answer.stop_reason == "end_turn" and "42" in answer.content[0].text and answer.id.startswith("msg_")
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    with claude.messages.stream(**asked) as stream:
        assert stream.get_final_message().content[0].text == answer.content[0].text
    assert claude.messages.count_tokens(model="demo", messages=asked["messages"]).input_tokens > 0
    begun = claude.messages.create(**{**asked, "messages": [*asked["messages"], {"role": "assistant", "content": "17 + 25 ="}]})
    assert "42" in begun.content[0].text and "17 + 25 =" not in begun.content[0].text


def test_messages_with_thinking_and_tools(claude):
    question = [{"role": "user", "content": "What is the weather in Oslo?"}]
    tools = [{"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["schema"]}]
    answer = claude.messages.create(model="demo", max_tokens=1100, temperature=0, messages=question, tools=tools,
                                    thinking={"type": "enabled", "budget_tokens": 1024})
    assert answer.stop_reason == "tool_use"
    [use] = [block for block in answer.content if block.type == "tool_use"]
    assert use.input == {"city": "Oslo"}
    with claude.messages.stream(model="demo", max_tokens=100, temperature=0, messages=question, tools=tools) as stream:
        assert [block.input for block in stream.get_final_message().content if block.type == "tool_use"] == [{"city": "Oslo"}]


def test_messages_errors_have_their_form(claude):
    import anthropic

    with pytest.raises(anthropic.BadRequestError) as error:
        claude.messages.create(model="demo", max_tokens=5, messages=[{"role": "user", "content": [{"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": "x"}}]}])
    assert error.value.body["type"] == "error" and "image" in error.value.body["error"]["message"]
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="claude", max_tokens=5, messages=[{"role": "user", "content": "x"}])


def test_embeddings_are_refused_clearly(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.embeddings.create(model="demo", input="x")
    assert error.value.code == "not_supported"


def test_probes_and_the_document(server):
    assert call(server, "GET", "/ping").status == 200
    assert call(server, "GET", "/load").json == {"server_load": 0}
    document = call(server, "GET", "/openapi.json").json
    assert document["openapi"] == "3.1.0"
    for path, methods in document["paths"].items():
        for method in methods:
            assert call(server, method.upper(), path, {} if method == "post" else None).status not in (404, 405), path
        assert call(server, "DELETE", path).status == 405


def test_one_model(client):
    assert client.models.retrieve("demo").id == "demo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_the_fingerprint_is_told_and_stays(server):
    whole = call(server, "POST", "/v1/chat/completions", CHAT).json["system_fingerprint"]
    assert whole.startswith("hadal-") and whole == call(server, "POST", "/v1/completions", {"prompt": "x"}).json["system_fingerprint"]
    chunks = list(events(server, "/v1/chat/completions", {**CHAT, "stream_options": {"include_usage": True}}))
    assert chunks[-1]["system_fingerprint"] == chunks[-2]["system_fingerprint"] == whole


def test_request_ids(server):
    answer = call(server, "POST", "/v1/chat/completions", CHAT, {"X-Request-Id": "mine-1"})
    assert answer.headers["X-Request-Id"] == "mine-1" and answer.json["id"] == "chatcmpl-mine-1"
    assert len(call(server, "GET", "/health").headers["X-Request-Id"]) == 32


def test_messages_have_the_id_that_anthropics_client_reads(claude):
    answer = claude.messages.create(model="demo", max_tokens=3, messages=[{"role": "user", "content": "x"}],
                                    extra_headers={"X-Request-Id": "mine-2"})
    assert answer._request_id == "mine-2"


def test_continuous_usage(server):
    chunks = list(events(server, "/v1/chat/completions",
                         {**CHAT, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}))
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks if chunk.get("usage")]
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_keys(tmp_path):
    config = tmp_path / "hadal.yaml"
    config.write_text("api_key: [one, two]\nadmin-api-key: root\nserved_model_name: [demo, alias]\n")
    running = Running("up", "--port", 0, "--config", config)
    try:
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=running.address + "/v1", api_key="three", max_retries=0).models.list()
        refused = call(running, "POST", "/v1/messages", {"max_tokens": 1, "messages": CHAT["messages"]})
        assert refused.status == 401 and refused.json["type"] == "error" and refused.json["error"]["type"] == "authentication_error"
        client = openai.OpenAI(base_url=running.address + "/v1", api_key="two", max_retries=0)
        assert [model.id for model in client.models.list()] == ["demo", "alias"]
        assert client.chat.completions.create(**CHAT, model="alias").model == "alias"
        key = {"Authorization": "Bearer two"}
        assert call(running, "POST", "/reset_prefix_cache", headers=key).status == 401
        assert call(running, "POST", "/reset_prefix_cache", headers={"Authorization": "Bearer root"}).status == 200
        assert call(running, "GET", "/health").status == 200
    finally:
        assert running.stop() == 0
