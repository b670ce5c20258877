"""What tests of sharing need beside a running server: plain HTTP with headers, over TCP or a Unix socket, and /metrics."""
import http.client
import json
import socket
import time


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def connect(server):
    if server.address.startswith("unix:"):
        return UnixConnection(server.address.removeprefix("unix:"))
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def code(self):
        return self.json["error"]["code"]

    @property
    def cached(self):
        usage = self.json["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        assert usage["prompt_cache_hit_tokens"] == cached
        assert usage["prompt_cache_miss_tokens"] == usage["prompt_tokens"] - cached
        return cached


def call(server, method, path, body=None, headers=None):
    connection = connect(server)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def chat(server, *contents, headers=None, **fields):
    """`contents`: a user message, or system and user."""
    roles = ["user"] if len(contents) == 1 else ["system", "user"]
    messages = [{"role": role, "content": content} for role, content in zip(roles, contents)]
    body = {"messages": messages, "temperature": 0, "max_tokens": 8, **fields}
    return call(server, "POST", "/v1/chat/completions", body, headers)


def events(server, path, body):
    """The chunks of a streamed answer."""
    connection = connect(server)
    connection.request("POST", path, json.dumps({**body, "stream": True}))
    response = connection.getresponse()
    assert response.status == 200, response.read()
    for line in response:
        if line.startswith(b"data: ") and line != b"data: [DONE]\n":
            yield json.loads(line[6:])
    connection.close()


def metrics(server):
    """{series: value}; a series as it is written, labels and all."""
    page = call(server, "GET", "/metrics").text
    lines = (line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#"))
    return {series: float(value) for series, value in lines}


def metric(server, name):
    """The sum over all series of the name."""
    return sum(value for series, value in metrics(server).items() if series.split("{")[0] == name)


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.02)
