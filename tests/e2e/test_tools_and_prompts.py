"""Tool calls, prefilled answers, thinking and its budget, log-probabilities of prompts: the official client against the server."""
import json

import openai
import pytest

from conftest import ROOT

RECORDED = [json.loads(line) for line in (ROOT / "tests" / "data" / "demo" / "answers.jsonl").read_text().splitlines() if line]
CALLS = [case for case in RECORDED if case.get("tools") and case["messages"][-1]["role"] == "user"]


def ask(client, messages, **kwargs):
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    kwargs = {"temperature": 0, "max_tokens": 200, **kwargs}
    return client.chat.completions.create(model="demo", messages=messages, **kwargs)


@pytest.mark.parametrize("case", CALLS, ids=lambda case: case["messages"][-1]["content"])
def test_a_call_is_parsed_and_streams_to_the_same(client, case):
    extra = {"chat_template_kwargs": {"thinking": case.get("thinking", False)}}
    whole = ask(client, case["messages"], tools=case["tools"], extra_body=extra).choices[0]
    assert whole.finish_reason == "tool_calls"
    [call] = whole.message.tool_calls
    name, arguments = case["expect"].split("<｜tool▁sep｜>")
    assert call.function.name == name and json.loads(call.function.arguments) == json.loads(arguments)
    assert call.type == "function" and call.id.startswith("call_")
    assert "<｜tool" not in (whole.message.content or "")
    pieces, finish, names = "", None, []
    for chunk in ask(client, case["messages"], tools=case["tools"], stream=True, extra_body=extra):
        for delta in chunk.choices[0].delta.tool_calls or []:
            assert delta.index == 0
            names += [delta.function.name] if delta.function.name else []
            pieces += delta.function.arguments or ""
        finish = chunk.choices[0].finish_reason or finish
    assert (names, pieces, finish) == ([name], call.function.arguments, "tool_calls")


def test_a_whole_conversation_with_a_tool(client):
    case = CALLS[0]
    first = ask(client, case["messages"], tools=case["tools"]).choices[0].message
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": '{"temperature": 21, "sky": "sunny"}'}
    messages = [*case["messages"], first.model_dump(exclude_none=True), result]
    answer = ask(client, messages, tools=case["tools"]).choices[0]
    assert answer.finish_reason == "stop" and "21" in answer.message.content


def test_tool_choice(client):
    case = CALLS[0]
    none = ask(client, case["messages"], tools=case["tools"], tool_choice="none").choices[0]
    assert none.finish_reason == "stop" and not none.message.tool_calls
    assert none.message.content == ask(client, case["messages"]).choices[0].message.content
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, case["messages"], tools=case["tools"], tool_choice="required")
    assert error.value.param == "tool_choice"


def test_an_answer_goes_on_where_the_last_message_ends(client):
    question = {"role": "user", "content": "What is the capital of France?"}
    whole = ask(client, [question]).choices[0].message.content
    begun = whole[: len(whole) // 2].rstrip()
    rest = ask(client, [question, {"role": "assistant", "content": begun}],
               extra_body={"continue_final_message": True, "add_generation_prompt": False}).choices[0].message.content
    assert begun + rest == whole


def test_content_parts_and_names(client):
    plain = ask(client, "What is 17 + 25?").choices[0].message.content
    parts = [{"type": "text", "text": "What is 17 + 25?"}]
    assert ask(client, [{"role": "user", "name": "ann", "content": parts}]).choices[0].message.content == plain
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])
    assert "image_url" in error.value.message


def test_thinking_ends_with_its_budget(client):
    def think(**extra):
        return ask(client, "What is 47 + 85?", extra_body={"chat_template_kwargs": {"enable_thinking": True}, **extra})

    free = think()
    thought = free.usage.completion_tokens_details.reasoning_tokens
    assert thought > 10
    short = think(thinking_token_budget=6)
    assert short.choices[0].message.reasoning_content == free.choices[0].message.reasoning_content[
        : len(short.choices[0].message.reasoning_content)]
    assert short.usage.completion_tokens_details.reasoning_tokens in (6, 7) and short.choices[0].message.content
    assert think(thinking_token_budget=1000).choices[0].message == free.choices[0].message
    none = think(thinking_token_budget=0).choices[0].message
    assert not getattr(none, "reasoning_content", None) and none.content
    hidden = think(include_reasoning=False).choices[0].message
    assert not getattr(hidden, "reasoning_content", None) and hidden.content == free.choices[0].message.content


def complete(client, prompt, **kwargs):
    return client.completions.create(model="demo", prompt=prompt, **{"temperature": 0, "max_tokens": 8, **kwargs})


def test_echo_scores_a_text_as_generation_does(client):
    """What lm-evaluation-harness sends: the log-probabilities of a text equal those told when it was made."""
    made = complete(client, "The capital of France is", logprobs=1, extra_body={"return_token_ids": True}).choices[0]
    ids = made.prompt_token_ids + made.token_ids
    scored = complete(client, ids, echo=True, max_tokens=0, logprobs=1)
    logprobs = scored.choices[0].logprobs
    assert len(logprobs.tokens) == len(ids) and logprobs.token_logprobs[0] is None
    assert scored.usage.completion_tokens == 0 and scored.choices[0].finish_reason == "length"
    tail = logprobs.token_logprobs[-len(made.token_ids):]
    for here, there in zip(tail, made.logprobs.token_logprobs):
        assert here == pytest.approx(there, abs=0.15)  # bfloat16; a prompt is computed in another form than an answer
    greedy = [max(top.values()) for top in logprobs.top_logprobs[-len(made.token_ids):]]
    assert tail == pytest.approx(greedy, abs=0.15)
    both = complete(client, ids[:5], echo=True, max_tokens=2, logprobs=0).choices[0]
    assert len(both.logprobs.tokens) == 7 and both.logprobs.text_offset[0] == 0
    assert "".join(both.logprobs.tokens).endswith(both.text[-3:])


@pytest.mark.parametrize("prompt", ["The capital of France is", "<｜User｜>Hello<｜Assistant｜>", "日本 café 🦊", ""])
def test_echo_repeats_the_prompt_and_offsets_point_into_it(client, prompt):
    choice = complete(client, prompt, echo=True, max_tokens=3, logprobs=0, extra_body={"ignore_eos": True}).choices[0]
    assert choice.text.startswith(prompt)
    offsets, tokens = choice.logprobs.text_offset, choice.logprobs.tokens
    assert offsets == sorted(offsets) and offsets[0] == 0
    shown = [(offset, token) for offset, token in zip(offsets, tokens) if "\ufffd" not in token and not token.startswith("<｜begin")]
    assert all(choice.text[offset:].startswith(token) for offset, token in shown if token in choice.text)
    assert offsets[1] == 0, "the BOS that the tokenizer puts in front is not in the text"


def test_prompts_are_cut_on_the_side_that_is_asked_for(client):
    def cut(side):
        extra = {"truncate_prompt_tokens": 2, "truncation_side": side, "return_token_ids": True}
        return complete(client, [5, 6, 7, 8], extra_body=extra).choices[0].prompt_token_ids

    assert (cut("left"), cut("right")) == ([7, 8], [5, 6])


def test_prompt_logprobs_are_those_of_echo(client):
    ids = complete(client, "The capital of France is", extra_body={"return_token_ids": True}).choices[0].prompt_token_ids
    field = complete(client, ids, extra_body={"prompt_logprobs": 0}).choices[0].prompt_logprobs
    echo = complete(client, ids, echo=True, max_tokens=0, logprobs=0).choices[0].logprobs.token_logprobs
    assert field[0] is None and [list(position.values())[0]["logprob"] for position in field[1:]] == echo[1:]
    chat = ask(client, "x", max_tokens=1, extra_body={"prompt_logprobs": 2})
    assert len(chat.prompt_logprobs) == chat.usage.prompt_tokens


def test_words_and_tokens_that_may_not_come(client):
    whole = complete(client, "The capital of France is", extra_body={"return_token_ids": True}).choices[0]
    word = whole.text.split()[0].strip(".,")
    assert word not in complete(client, "The capital of France is", extra_body={"bad_words": [word]}).choices[0].text
    allowed = whole.token_ids[:3]
    only = complete(client, "Hello", extra_body={"allowed_token_ids": allowed, "return_token_ids": True, "ignore_eos": True})
    assert set(only.choices[0].token_ids) <= set(allowed) and len(only.choices[0].token_ids) == 8


def test_best_of_truncation_and_filling_in(client):
    best = complete(client, "Once", temperature=1.2, best_of=4, n=2, seed=5, logprobs=0)
    scores = [sum(c.logprobs.token_logprobs) / len(c.logprobs.token_logprobs) for c in best.choices]
    assert [c.index for c in best.choices] == [0, 1] and scores[0] >= scores[1]
    all_four = complete(client, "Once", temperature=1.2, n=4, seed=5, logprobs=0)
    mean = [sum(c.logprobs.token_logprobs) / len(c.logprobs.token_logprobs) for c in all_four.choices]
    assert scores == pytest.approx(sorted(mean, reverse=True)[:2])
    cut = complete(client, [5, 6, 7, 8, 9], extra_body={"truncate_prompt_tokens": 3})
    assert cut.usage.prompt_tokens == 3 and cut.choices[0].text == complete(client, [7, 8, 9]).choices[0].text
    filled = complete(client, "def add(a, b):\n    return", suffix="\n\nprint(add(1, 2))", extra_body={"return_token_ids": True})
    assert filled.usage.prompt_tokens > 10
