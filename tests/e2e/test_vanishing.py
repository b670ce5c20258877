"""Clients that go at any moment leave nothing behind: no block, no place in the queue, no thread, no descriptor."""
import concurrent.futures
import json
import os
import random
import socket
import struct
import time

from conftest import DEMO, Running
from support import chat, metric, metrics, until

CLIENTS = 500
SEED = int(os.environ.get("HADAL_VANISH_SEED", "20261125"))


def request_bytes(rng):
    stream = rng.random() < 0.8
    many = rng.random() < 0.2
    prompt = rng.choice(["Tell me a story.", "Tell me a story about a fox. " * 40, "What is 17 + 25?"])
    body = json.dumps({"prompt": [prompt] * (3 if many else 1), "n": rng.choice([1, 1, 2]), "max_tokens": rng.choice([5, 60, 300]),
                       "temperature": 1.0, "ignore_eos": True, "stream": stream}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return head + body


def vanish(port, number):
    """Sends a request, or part of one, reads a little or nothing, and goes, with or without an orderly end."""
    rng = random.Random(SEED + number)
    data = request_bytes(rng)
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    if rng.random() < 0.1:
        data = data[:rng.randrange(len(data))]
    client.sendall(data)
    how = rng.random()
    if how < 0.6:
        client.settimeout(rng.random() * 0.5)
        try:
            client.recv(rng.randrange(1, 4000))
        except TimeoutError:
            pass
    elif how < 0.8:
        time.sleep(rng.random() * 0.3)
    if rng.random() < 0.5:  # a reset in place of an orderly end
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def at_rest(server):
    found = metrics(server)
    nothing = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
    return all(value == 0 for series, value in found.items() if series.split("{")[0] in nothing)


def test_500_clients_vanish_at_random():
    server = Running("serve", DEMO, "--port", 0, "--max-num-seqs", 32, "--num-gpu-blocks-override", 128, "--max-model-len", 2048)
    try:
        before_answer = chat(server, "What is 17 + 25?", max_tokens=32).json["choices"][0]["message"]["content"]
        until(lambda: at_rest(server))
        before = metrics(server)
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            list(pool.map(lambda number: vanish(server.port, number), range(CLIENTS)))
        until(lambda: at_rest(server))
        until(lambda: metrics(server)["process_open_fds"] <= before["process_open_fds"])
        after = metrics(server)
        assert after["process_threads"] == before["process_threads"]

        def blocks(state):
            return sum(value for series, value in after.items() if series.startswith(f'hadal:kv_blocks{{state="{state}"'))

        assert blocks("used") == 0
        assert blocks("free") + blocks("cached") == 128
        aborted = sum(value for series, value in after.items()
                      if series.startswith('vllm:request_success_total{finished_reason="abort"'))
        assert aborted > CLIENTS / 4, "most were cut in the middle"
        assert not any('finished_reason="error"' in series and value for series, value in after.items())
        assert metric(server, "hadal:http_client_disconnects_total") > CLIENTS / 4
        assert chat(server, "What is 17 + 25?", max_tokens=32).json["choices"][0]["message"]["content"] == before_answer
    finally:
        assert server.stop() == 0, server.log.decode(errors="replace")
