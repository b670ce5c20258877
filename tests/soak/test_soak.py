"""Half an hour of mixed traffic (HADAL_SOAK_SECONDS): memory must not grow and nothing may be left behind."""
import http.client
import json
import os
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from conftest import Running  # noqa: E402

SECONDS = float(os.environ.get("HADAL_SOAK_SECONDS", "1800"))
CLIENTS = 16


def resident_bytes(pid):
    pages = pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def one_request(port, rng):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    body = {"messages": [{"role": "user", "content": f"What is {rng.randrange(1000)} + {rng.randrange(1000)}? " * rng.randrange(1, 20)}],
            "max_tokens": rng.randrange(1, 120), "stream": rng.random() < 0.5, "temperature": rng.choice([0, 1]),
            "n": rng.choice([1, 1, 1, 2])}
    if body["temperature"] == 0:
        body["n"] = 1
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    response = connection.getresponse()
    assert response.status in (200, 429), response.status
    if rng.random() < 0.2:
        response.read(50)
        connection.close()  # vanish in the middle
    else:
        response.read()


def metric(port, name):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    return float(next(line for line in text.splitlines() if line.startswith(name + "{")).rsplit(" ", 1)[1])


def test_soak():
    server = Running("up", "--port", 0)
    stop = time.monotonic() + SECONDS
    failures = []

    def client(seed):
        rng = random.Random(seed)
        while time.monotonic() < stop and not failures:
            try:
                one_request(server.port, rng)
            except Exception as error:  # noqa: BLE001
                failures.append(repr(error))

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS / 4)
    early = resident_bytes(server.process.pid)
    for thread in threads:
        thread.join()
    late = resident_bytes(server.process.pid)
    assert not failures, failures[0]
    time.sleep(2)
    assert metric(server.port, "vllm:num_requests_running") == 0
    assert metric(server.port, "vllm:kv_cache_usage_perc") == 0
    assert late < early * 1.1 + (16 << 20), (early, late)
    assert server.stop() == 0
