"""Requests that are wrong: a clear error in OpenAI's shape, and nothing else disturbed."""
import http.client
import json
import socket
import time

import pytest

from support import until

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "What is 2 + 3?"}]


def post(server, path, body, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, raw, {"Content-Type": "application/json", **(headers or {})})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, text


def error_of(status, text):
    error = json.loads(text)["error"]
    assert set(error) >= {"message", "type", "param", "code"} and error["message"]
    return status, error


def chat(**fields):
    return {"model": "demo", "messages": HELLO, "max_tokens": 4, **fields}


@pytest.mark.parametrize("body, status, param", [
    (b"", 400, None),
    (b"{", 400, None),
    (b"[1, 2]", 400, None),
    (b'{"model": "demo", "messages": "\xff\xfe"}', 400, None),
    (b"[" * 100000, 400, None),
    (chat(model="other"), 404, "model"),
    (chat(messages=[]), 400, "messages"),
    (chat(messages="hello"), 400, "messages"),
    (chat(messages=[{"role": "wizard", "content": "x"}]), 400, None),
    (chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]), 400, None),
    (chat(max_tokens=-1), 400, "max_tokens"),
    (chat(max_tokens=10**30), 400, "max_tokens"),
    (chat(max_tokens="many"), 400, "max_tokens"),
    (chat(temperature=3), 400, "temperature"),
    (chat(top_p=0), 400, "top_p"),
    (chat(n=0), 400, "n"),
    (chat(n=10**9), 400, "n"),
    (chat(stop=[1]), 400, None),
    (chat(response_format={"type": "json_object"}), 400, "response_format"),
])
def test_chat_refusals(server, body, status, param):
    got, error = error_of(*post(server, CHAT, body))
    assert got == status, error
    if param is not None:
        assert (error["param"] or "").split("[")[0].split(".")[0] == param


@pytest.mark.parametrize("body, status", [
    ({"model": "demo"}, 400),
    ({"model": "demo", "prompt": []}, 400),
    ({"model": "demo", "prompt": [-5]}, 400),
    ({"model": "demo", "prompt": [10**6]}, 400),
    ({"model": "demo", "prompt": "x", "max_tokens": 10**6}, 400),
])
def test_completion_refusals(server, body, status):
    assert error_of(*post(server, "/v1/completions", body))[0] == status


def test_unknown_path_and_method(server):
    assert error_of(*post(server, "/v1/nothing", {}))[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", CHAT)
    response = connection.getresponse()
    assert response.status == 405 and "POST" in response.headers["Allow"]


def test_body_over_the_limit(server):
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        raw.settimeout(10)
        assert b" 413 " in raw.recv(4096)


def test_vanishing_clients_free_everything(server):
    for _ in range(40):
        raw = socket.create_connection(("127.0.0.1", server.port))
        body = json.dumps(chat(stream=True, max_tokens=400, ignore_eos=True)).encode()
        raw.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body)
        raw.recv(64)
        raw.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if metric(server, "vllm:num_requests_running") == 0 and metric(server, "vllm:kv_cache_usage_perc") == 0:
            break
        time.sleep(0.1)
    assert metric(server, "vllm:num_requests_running") == 0
    assert metric(server, "vllm:kv_cache_usage_perc") == 0


def metric(server, name):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return float(next(line for line in text.splitlines() if line.startswith(name + "{")).rsplit(" ", 1)[1])


def test_slow_client_does_not_hold_others(server):
    slow = socket.create_connection(("127.0.0.1", server.port))
    slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-")
    status, _ = post(server, CHAT, chat())
    assert status == 200
    slow.close()


def test_prompt_that_cannot_fit_names_the_context(server):
    status, error = error_of(*post(server, CHAT, chat(messages=[{"role": "user", "content": "a b c " * 30000}])))
    assert status == 400 and "context length" in error["message"]


def test_counts_in_metrics(server):
    before = metric(server, "vllm:generation_tokens_total")
    status, text = post(server, CHAT, chat(ignore_eos=True))
    assert status == 200
    # figures come a moment after the answer
    until(lambda: metric(server, "vllm:generation_tokens_total") >= before + json.loads(text)["usage"]["completion_tokens"])
