"""256 concurrent streams for five minutes (HADAL_STREAMS_SECONDS), a sixth of which hang up at random, in a cache too small for
all: no error that a client did not cause, no growth of memory, every answer the one that the request gets alone."""
import asyncio
import json
import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from conftest import DEMO, Running  # noqa: E402
from support import call, metric, metrics, until  # noqa: E402

SECONDS = float(os.environ.get("HADAL_STREAMS_SECONDS", "300"))
STREAMS = 256
SEED = int(os.environ.get("HADAL_STREAMS_SEED", "4"))
SECRET = "a secret between gateway and server"
SYSTEMS = ["You answer in a few words.", "You are a helpful fox. " * 30, "You are a polite crow who likes cheese. " * 12]
QUESTIONS = ["What is 17 + 25?", "Tell me a story.", "What is the capital of France?", "Tell me a story about a fox. " * 20]


def request(rng):
    sampled = rng.random() < 0.5
    return {"messages": [{"role": "system", "content": rng.choice(SYSTEMS)}, {"role": "user", "content": rng.choice(QUESTIONS)}],
            "max_tokens": rng.randrange(4, 80), "temperature": 1.0 if sampled else 0.0, "seed": rng.randrange(1 << 30),
            "presence_penalty": rng.choice([0.0, 0.0, 1.0]), "stop": rng.choice([None, None, ["fox"]]),
            "ignore_eos": rng.random() < 0.5, "stream": True, "return_token_ids": True,
            **({"cache_salt": "apart"} if rng.random() < 0.1 else {})}


class Failed(Exception):
    pass


async def stream(port, body, tenant, hang_up_after):
    """(token ids, finished); hangs up after that many events."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        data = json.dumps(body).encode()
        writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-hadal-tenant: {tenant}\r\nx-hadal-hop-secret: {SECRET}\r\n"
                     f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise Failed(head.decode(errors="replace") + (await reader.read(2000)).decode(errors="replace"))
        ids, text, count = [], "", 0
        while True:
            line = await reader.readline()
            if not line:
                raise Failed("the stream was cut")
            if not line.startswith(b"data: "):  # chunk sizes and blank lines
                continue
            if line.strip() == b"data: [DONE]":
                return ids, text, True
            chunk = json.loads(line[6:])
            if "error" in chunk:
                raise Failed(line.decode())
            for choice in chunk["choices"]:
                ids += choice.get("token_ids") or []
                text += choice["delta"].get("content") or ""
            count += 1
            if count == hang_up_after:
                return ids, text, False
    finally:
        writer.close()


async def client(number, port, variants, expected, stop, counts):
    rng = random.Random(SEED * 1000 + number)
    while time.monotonic() < stop:
        which = rng.randrange(len(variants))
        hang_up_after = rng.randrange(1, 40) if rng.random() < 1 / 6 else None
        ids, text, finished = await stream(port, variants[which], f"tenant-{number % 5}", hang_up_after)
        alone_ids, alone_text = expected[which]
        if finished and (ids, text) != (alone_ids, alone_text):
            raise Failed(f"variant {which}: {ids} and not {alone_ids}")
        if ids != alone_ids[:len(ids)] or not alone_text.startswith(text):
            raise Failed(f"variant {which}: {ids} is no beginning of {alone_ids}")
        counts["finished" if finished else "hung up"] += 1


async def load(port, variants, expected, counts, memory):
    stop = time.monotonic() + SECONDS
    tasks = [asyncio.create_task(client(number, port, variants, expected, stop, counts)) for number in range(STREAMS)]

    async def watch_memory():
        for _ in range(8):
            await asyncio.sleep(SECONDS / 8)
            memory.append(memory_of(port))

    await asyncio.gather(watch_memory(), *tasks)


def memory_of(port):
    class At:
        address = f"http://127.0.0.1:{port}"
    At.port = port
    return metric(At, "process_resident_memory_bytes")


def alone(server, body):
    ids, text, _ = asyncio.run(stream(server.port, body, "alone", None))
    return ids, text


def test_256_streams():
    server = Running("serve", DEMO, "--port", 0, "--exact", "--max-num-seqs", STREAMS, "--num-gpu-blocks-override", 200,
                     "--max-model-len", 1024, env={"HADAL_TRUSTED_HOP_SECRET": SECRET})
    rng = random.Random(SEED)
    variants = [request(rng) for _ in range(64)]
    expected = [alone(server, body) for body in variants]
    threads = metric(server, "process_threads")
    counts, memory = {"finished": 0, "hung up": 0}, []
    asyncio.run(load(server.port, variants, expected, counts, memory))
    until(lambda: metric(server, "vllm:num_requests_running") + metric(server, "vllm:num_requests_waiting") == 0)
    until(lambda: metric(server, "vllm:kv_cache_usage_perc") == 0)
    found = metrics(server)
    memory.append(metric(server, "process_resident_memory_bytes"))
    print(counts, "memory", memory, "preemptions", metric(server, "vllm:num_preemptions_total"), "hits",
          metric(server, "vllm:prefix_cache_hits_total"))
    assert counts["finished"] >= STREAMS and counts["hung up"] > 0
    assert not any('finished_reason="error"' in series and value for series, value in found.items())
    assert metric(server, "vllm:admission_rejections_total") == 0
    assert metric(server, "process_threads") == threads
    # by half time every block of the cache has been written, and buffers have their sizes
    assert memory[-1] < memory[3] * 1.05 + (8 << 20), memory
    assert call(server, "GET", "/health").status == 200
    assert server.stop() == 0, server.log.decode(errors="replace")
