"""Start, health, drain: what supervisors and load balancers rely on."""
import http.client
import json
import signal
import socket
import threading
import time

from conftest import DEMO, Running, run


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def test_health_version_and_two_names():
    server = Running("serve", DEMO, "--port", 0, "--served-model-name", "a", "b")
    try:
        assert get(server.port, "/health")[0] == 200
        assert json.loads(get(server.port, "/version")[1])["version"]
        assert [m["id"] for m in json.loads(get(server.port, "/v1/models")[1])["data"]] == ["a", "b"]
    finally:
        assert server.stop() == 0


def test_sigterm_finishes_what_runs():
    server = Running("serve", DEMO, "--port", 0)
    body = json.dumps({"messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 300,
                       "ignore_eos": True}).encode()
    answer = {}

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("POST", "/v1/chat/completions", body)
        response = connection.getresponse()
        answer["status"], answer["body"] = response.status, response.read()

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + 20
    while b"vllm:num_requests_running{" not in (page := get(server.port, "/metrics")[1]) or \
            not any(line.startswith(b"vllm:num_requests_running{") and not line.endswith(b" 0") for line in page.splitlines()):
        assert time.monotonic() < deadline and thread.is_alive()
    assert server.stop(signal.SIGTERM) == 0
    thread.join()
    assert answer["status"] == 200
    assert json.loads(answer["body"])["usage"]["completion_tokens"] == 300


def test_unix_socket(tmp_path):
    path = tmp_path / "hadal.sock"
    server = Running("serve", DEMO, "--uds", path)
    try:
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(str(path))
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert raw.recv(4096).startswith(b"HTTP/1.1 200 ")
    finally:
        assert server.stop() == 0


def test_a_checkpoint_without_tokenizer_is_served_by_ids(tmp_path):
    for name in DEMO.iterdir():
        if not name.name.startswith("tokenizer"):
            (tmp_path / name.name).symlink_to(name)
    assert run("serve", tmp_path, "--port", 0, check=False).returncode == 1
    server = Running("serve", tmp_path, "--port", 0, "--skip-tokenizer-init")
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": [0, 5, 6, 7], "max_tokens": 4, "temperature": 0, "ignore_eos": True, "return_token_ids": True}))
        answer = json.loads(connection.getresponse().read())
        assert len(answer["choices"][0]["token_ids"]) == 4
        connection.request("GET", "/tokenizer_info")
        assert connection.getresponse().status == 400
    finally:
        assert server.stop() == 0
