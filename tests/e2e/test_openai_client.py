"""The official client against the server: what issue-free use looks like."""
import concurrent.futures
import json
import pathlib

import openai
import pytest

from conftest import ROOT

ANSWERS = ROOT / "tests" / "data" / "demo" / "answers.jsonl"


def ask(client, content, **kwargs):
    kwargs = {"temperature": 0, "max_tokens": 64, **kwargs}
    return client.chat.completions.create(model="demo", messages=[{"role": "user", "content": content}], **kwargs)


def recorded():
    return [json.loads(line) for line in ANSWERS.read_text().splitlines() if line.strip()]


@pytest.mark.parametrize("case", recorded(), ids=lambda case: str(case["messages"][-1].get("content"))[:40])
def test_demo_model_answers_as_recorded(client, case):
    """The recording is the reference implementation's in float32; the server computes in bfloat16, so a long answer may
    take another word, but what was asked for must be in it."""
    extra = {"chat_template_kwargs": {"thinking": True}} if case.get("thinking") else {}
    answer = client.chat.completions.create(model="demo", messages=case["messages"], temperature=0, max_tokens=200,
                                            tools=case.get("tools") or openai.NOT_GIVEN, extra_body=extra)
    assert answer.usage.prompt_tokens == case["prompt_tokens"]
    text = answer.choices[0].message.content or ""
    if answer.choices[0].message.tool_calls:  # the recording has them as the model wrote them
        text += "".join(f"{call.function.name}<｜tool▁sep｜>{call.function.arguments}"
                        for call in answer.choices[0].message.tool_calls)
        assert answer.choices[0].finish_reason == "tool_calls"
    else:
        assert answer.choices[0].finish_reason == case["finish_reason"]
    assert case["expect"] in text


def test_shape_of_an_answer(client):
    answer = ask(client, "What is 17 + 25?")
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-") and answer.model == "demo"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens == 0


def test_stream_joins_to_the_whole_answer(client):
    whole = ask(client, "What is the capital of France?").choices[0].message.content
    stream = ask(client, "What is the capital of France?", stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_length_and_stop(client):
    assert ask(client, "What is the capital of France?", max_tokens=1).choices[0].finish_reason == "length"
    whole = ask(client, "What is the capital of France?").choices[0].message.content
    middle = whole[2:4]
    cut = ask(client, "What is the capital of France?", stop=[middle])
    assert cut.choices[0].message.content == whole[:whole.index(middle)]
    assert cut.choices[0].finish_reason == "stop"
    both = ask(client, "What is the capital of France?", max_completion_tokens=1, max_tokens=openai.NOT_GIVEN)
    assert both.usage.completion_tokens == 1


def test_same_seed_same_answer(client):
    def sample(seed):
        return ask(client, "Tell me a story.", temperature=1.5, seed=seed, max_tokens=40).choices[0].message.content

    assert sample(7) == sample(7)
    assert len({sample(seed) for seed in range(6)}) > 1


def test_choices_differ(client):
    answer = ask(client, "Tell me a story.", temperature=1.5, seed=3, n=4, max_tokens=30)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert len({choice.message.content for choice in answer.choices}) > 1


@pytest.mark.parametrize("extra", [{"top_k": 1}, {"min_p": 1.0}])
def test_sampling_filters_that_leave_one_token_are_greedy(client, extra):
    greedy = ask(client, "What is 17 + 25?").choices[0].message.content
    assert ask(client, "What is 17 + 25?", temperature=1.0, extra_body=extra).choices[0].message.content == greedy
    assert ask(client, "What is 17 + 25?", temperature=1.0, top_p=1e-6).choices[0].message.content == greedy


def test_logprobs(client):
    answer = ask(client, "What is 17 + 25?", logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    assert len(content) >= answer.usage.completion_tokens - 1
    for entry in content:
        assert entry.logprob <= 0 and len(entry.top_logprobs) == 3
        assert entry.logprob == pytest.approx(entry.top_logprobs[0].logprob)  # greedy
        assert bytes(entry.bytes).decode(errors="replace") is not None


def test_reasoning_is_split(client):
    plain = ask(client, "What is 17 + 25?")
    assert not getattr(plain.choices[0].message, "reasoning_content", None)
    thinking = ask(client, "What is 17 + 25?", max_tokens=200, extra_body={"chat_template_kwargs": {"thinking": True}})
    message = thinking.choices[0].message
    assert message.reasoning_content and message.reasoning_content == message.reasoning
    assert "<think>" not in message.content and "</think>" not in message.content
    stream = ask(client, "What is 17 + 25?", max_tokens=200, stream=True,
                 extra_body={"chat_template_kwargs": {"thinking": True}})
    deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == message.reasoning_content
    assert "".join(delta.content or "" for delta in deltas) == message.content


def test_text_completions_of_text_and_ids(client):
    text = client.completions.create(model="demo", prompt="The capital of France is", temperature=0, max_tokens=8,
                                     extra_body={"return_token_ids": True})
    ids = text.choices[0].prompt_token_ids
    again = client.completions.create(model="demo", prompt=ids, temperature=0, max_tokens=8)
    assert again.choices[0].text == text.choices[0].text and text.object == "text_completion"
    many = client.completions.create(model="demo", prompt=[ids, ids[:3]], temperature=0, max_tokens=8)
    assert [choice.index for choice in many.choices] == [0, 1] and many.choices[0].text == text.choices[0].text
    stream = client.completions.create(model="demo", prompt=ids, temperature=0, max_tokens=8, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices) == text.choices[0].text


def test_ignore_eos_runs_on(client):
    answer = ask(client, "What is 17 + 25?", max_tokens=60, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 60 and answer.choices[0].finish_reason == "length"


def test_many_at_once_get_what_they_get_alone(client):
    questions = [f"What is {a} + {b}?" for a, b in zip(range(10, 34), range(50, 74))]
    alone = [ask(client, question).choices[0].message.content for question in questions]
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        together = list(pool.map(lambda question: ask(client, question).choices[0].message.content, questions))
    assert together == alone


def test_models(client):
    models = client.models.list().data
    assert [model.id for model in models] == ["demo"]


def test_errors_are_the_clients_own_classes(client):
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, "x", temperature=-1)
    assert error.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, "word " * 20000)
    assert error.value.code == "context_length_exceeded"
