"""The server under attack: slow, idle, huge, half-closed and fuzzing clients. Each is refused or answered and nothing else is disturbed."""
import json
import os
import resource
import socket
import statistics
import threading
import time

import pytest

from attackers import (at_rest, connect, exchange, many_descriptors, post, read_all, reference, resident_bytes, seconds, send,
                       statuses, undisturbed)
from conftest import DEMO, Running
from openapi_fuzz import fuzz
from support import call, metrics, until

CONNECTIONS = int(os.environ.get("HADAL_IDLE_CONNECTIONS", "10000"))
FUZZED = int(os.environ.get("HADAL_FUZZ_REQUESTS", "10000"))
SEED = int(os.environ.get("HADAL_FUZZ_SEED", "7"))
GET_HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def victim():
    running = Running("serve", DEMO, "--port", 0, "--max-num-seqs", 32)
    yield running
    assert running.stop() == 0, running.log.decode(errors="replace")


class Dripper(threading.Thread):
    """Sends one byte after the other, and keeps what comes back and when the end came."""

    def __init__(self, server, data, pause):
        super().__init__(daemon=True)
        self.raw, self.data, self.pause = connect(server), data, pause
        self.answer, self.lived = None, None

    def run(self):
        began = time.monotonic()
        for byte in self.data:
            self.raw.settimeout(self.pause)
            try:
                if not send(self.raw, bytes([byte])) or self.raw.recv(1, socket.MSG_PEEK) is not None:
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        self.raw.settimeout(60)
        self.answer = read_all(self.raw)
        self.lived = time.monotonic() - began
        self.raw.close()


@pytest.fixture(scope="module")
def drippers(victim):
    """Slow-loris clients that drip during the other tests; the last one looks at what became of them."""
    header = b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(10000))
    body = post("/v1/completions", b" " * 100000)
    head, rest = body[:body.index(b"\r\n\r\n") + 4], body[body.index(b"\r\n\r\n") + 4:]
    chunked = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    headers = [Dripper(victim, header, 0.3) for _ in range(20)]
    bodies = [Dripper(victim, rest, 0.3) for _ in range(20)]
    chunks = [Dripper(victim, b"1\r\nx\r\n" * 10000, 0.3) for _ in range(20)]
    for dripper in bodies:
        send(dripper.raw, head)
    for dripper in chunks:
        send(dripper.raw, chunked)
    for dripper in headers + bodies + chunks:
        dripper.start()
    return headers, bodies + chunks


def test_answers_stay_the_same_beside_slow_clients(victim, drippers):
    with undisturbed(victim):
        pass


def test_idle_connections_cost_little_and_harm_nobody(victim, capsys):
    count = many_descriptors(CONNECTIONS)
    with undisturbed(victim):
        alone = [seconds(lambda: call(victim, "GET", "/health")) for _ in range(50)]
        before = resident_bytes(victim)
        idle = []
        try:
            for number in range(count):
                raw = connect(victim)
                if number % 4 == 1:  # some have asked before and some are in the middle of a header
                    raw.sendall(GET_HEALTH)
                elif number % 4 == 2:
                    raw.sendall(GET_HEALTH[:20])
                idle.append(raw)
            until(lambda: open_connections(victim) >= count)
            grown = resident_bytes(victim) - before
            beside = [seconds(lambda: call(victim, "GET", "/health")) for _ in range(50)]
            answer = reference(victim)
        finally:
            for raw in idle:
                raw.close()
        with capsys.disabled():
            print(f"\n    {count} idle connections: {grown / count:.0f} bytes each, /health {statistics.median(alone) * 1e3:.2f} ms "
                  f"alone, {statistics.median(beside) * 1e3:.2f} ms beside them")
        assert grown < count * 16 * 1024
        assert answer == reference(victim)
        until(lambda: open_connections(victim) < 200)


def open_connections(server):
    folder = f"/proc/{server.process.pid}/fd"
    return len(os.listdir(folder))


def test_the_limit_of_open_files_is_raised_at_start():
    """Bug: a server started by a shell that allows 1024 files turned clients away at a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        server = Running("up", "--port", 0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        assert metrics(server)["process_max_fds"] == min(hard, 65536)
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("name, data, status", [
    ("one long field", b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 2_000_000 + b"\r\n\r\n", 431),
    ("many fields", b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000 + b"\r\n", 431),
    ("endless fields", b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 500_000, 431),
    ("a long name", b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"y" * 500_000 + b": x\r\n\r\n", 431),
    ("a long path", b"GET /" + b"y" * 30_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    ("an endless path", b"GET /" + b"y" * 3_000_000, 431),
    ("an endless method", b"G" * 3_000_000, 400),
])
def test_huge_headers_are_refused(victim, name, data, status):
    with undisturbed(victim):
        answer = exchange(victim, data)
        assert statuses(answer) in ([status], [431]), answer[:200]


def test_pipelined_requests_are_answered_in_order(victim):
    with undisturbed(victim), connect(victim) as raw:
        count = 500
        requests = b"".join(post("/tokenize", json.dumps({"prompt": "word " * n}).encode()) for n in range(count))
        threading.Thread(target=send, args=(raw, requests + GET_HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))).start()
        answer = read_all(raw)
        assert statuses(answer) == [200] * (count + 1)
        counts = [json.loads(part[part.index(b"{"):part.rindex(b"}") + 1])["count"] for part in answer.split(b"HTTP/1.1 ")[1:count + 1]]
        assert counts == sorted(counts) and len(set(counts)) == count


def test_half_closed_connections(victim):
    chat_body = {"messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 3000, "ignore_eos": True}
    with undisturbed(victim):
        assert statuses(exchange(victim, GET_HEALTH * 3, half_close=True)) == [200, 200, 200]
        assert exchange(victim, b"", half_close=True) == b""
        assert exchange(victim, GET_HEALTH[:-3], half_close=True) == b"", "half a request, and no more will come"
        assert exchange(victim, post("/tokenize", b'{"prompt": "x"}')[:-3], half_close=True) == b""
        for stream in (False, True):  # taken for a client that has gone: the work ends
            exchange(victim, post("/v1/chat/completions", json.dumps({**chat_body, "stream": stream}).encode()), half_close=True)
            until(lambda: at_rest(victim))


def test_clients_that_read_a_byte_a_second_are_bounded(victim, capsys):
    """Streams of 36 MB that nobody takes: beside what the kernel holds each may have a megabyte, and is cut when it has more."""
    count = 3
    body = {"messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 3500, "ignore_eos": True, "stream": True,
            "logprobs": True, "top_logprobs": 20, "temperature": 1, "seed": 5, "n": 4}
    with undisturbed(victim):
        # the cache's pages are touched before anything is measured
        call(victim, "POST", "/v1/chat/completions", {**body, "stream": False, "logprobs": False, "top_logprobs": None,
                                                            "n": 4 * count, "max_tokens": 800})
        before = resident_bytes(victim)
        slow = [connect(victim, receive_buffer=4096) for _ in range(count)]
        for raw in slow:
            raw.sendall(post("/v1/chat/completions", json.dumps(body).encode()))
        until(lambda: metrics(victim)['vllm:num_requests_running{model_name="%s",engine="0"}' % DEMO] >= count)
        most = before
        deadline = time.monotonic() + 120
        while not at_rest(victim):  # all were cut, or have ended
            assert time.monotonic() < deadline
            for raw in slow:
                raw.settimeout(0.01)
                try:
                    raw.recv(1)
                except (TimeoutError, ConnectionError):
                    pass
            assert reference(victim) is not None
            most = max(most, resident_bytes(victim))
            time.sleep(0.5)
        taken = [read_all(raw) for raw in slow]
        for raw in slow:
            raw.close()
        with capsys.disabled():
            print(f"\n    {count} streams that nobody reads: memory grew by {(most - before) / 1e6:.1f} MB at most")
        assert all(b"[DONE]" not in data for data in taken), "all were cut"
        assert most - before < count * (8 << 20) + (8 << 20), "their unsent bytes, and what the requests themselves need"


def test_requests_made_from_the_openapi_document(victim, capsys):
    with undisturbed(victim):
        report = fuzz(victim, FUZZED, SEED)
        with capsys.disabled():
            print(f"\n    {report}")
        assert not report.failures, report.failures[:5]
        assert report.answered >= FUZZED * 0.8
        assert report.neighbours > 10
        assert report.grown < 32 << 20 and report.grown_late < 4 << 20, "memory stays flat"


def test_slow_loris_clients_were_cut_off(victim, drippers):
    headers, bodies = drippers
    for dripper in headers + bodies:
        dripper.join(120)
        assert not dripper.is_alive()
    assert all(statuses(dripper.answer) == [408] for dripper in headers + bodies)
    assert max(dripper.lived for dripper in headers) < 40, "10 s from a header's first byte, however the rest comes"
    assert max(dripper.lived for dripper in bodies) < 100, "60 s for a body"
