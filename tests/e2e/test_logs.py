"""What a server logs and in which form, and that nobody waits for the reader of its standard error."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import DEMO, HADAL, Running, run
from support import UnixConnection, call, chat

ACCESS = re.compile(r'^\S+ I 127\.0\.0\.1:\d+ - "(\S+) (\S+)" (\d+) (\d+\.\d+)s (\S+)$', re.M)


def logged(*arguments, ask):
    """The log of a server to which `ask` was done."""
    server = Running("up", "--port", 0, *arguments)
    try:
        ask(server)
    finally:
        assert server.stop() == 0, server.log.decode(errors="replace")
    return server.log.decode()


def objects(log):
    return [json.loads(line) for line in log.splitlines()]


def some_requests(server):
    assert call(server, "GET", "/health").status == 200
    assert chat(server, "What is 17 + 25?", headers={"X-Request-Id": "mine"}, max_tokens=8).status == 200
    assert call(server, "GET", "/nowhere").status == 404


def test_the_access_log_has_a_line_a_request():
    lines = ACCESS.findall(logged(ask=some_requests))
    assert [line[:3] for line in lines] == [("GET", "/health", "200"), ("POST", "/v1/chat/completions", "200"),
                                            ("GET", "/nowhere", "404")]
    assert lines[1][4] == "mine" and len(lines[0][4]) > 8


def test_the_access_log_leaves_out_what_it_is_told():
    lines = ACCESS.findall(logged("--disable-access-log-for-endpoints", "/health,/metrics", ask=some_requests))
    assert [line[1] for line in lines] == ["/v1/chat/completions", "/nowhere"]
    for flag in ("--disable-uvicorn-access-log", "--disable-access-log"):
        assert not ACCESS.findall(logged(flag, ask=some_requests))


def test_every_line_is_an_object_with_stable_keys():
    log = objects(logged("--log-format", "json", "--enable-log-requests", "--log-stats-interval", "0.1", ask=some_requests))
    for line in log:
        assert list(line)[:4] == ["time", "level", "event", "message"], line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    by_event = {event: [line for line in log if line["event"] == event] for event in {line["event"] for line in log}}
    assert by_event["listening"][0]["address"].startswith("http://127.0.0.1:")
    assert [line["status"] for line in by_event["access"]] == [200, 200, 404]
    assert by_event["access"][1]["request_id"] == "mine"
    [begun], [ended] = by_event["request"], by_event["request_end"]
    assert begun["id"] == ended["id"] == "chatcmpl-mine" and begun["max_tokens"] == 8
    assert ended["prompt_tokens"] == begun["prompt_tokens"] > 0 and 0 < ended["output_tokens"] <= 8
    assert "17 + 25" not in json.dumps(log)
    for line in by_event.get("stats", []):
        assert set(line) > {"prompt_tokens_per_second", "generation_tokens_per_second", "running", "waiting", "kv_cache_usage",
                            "prefix_cache_hit_rate"}


def test_what_goes_wrong_at_start_is_an_object_too():
    done = run("serve", "/nowhere/at/all", "--log-format", "json", "--enable-lora", check=False)
    assert done.returncode == 2
    assert "adapters" in objects(done.stderr.decode())[-1]["message"]
    done = run("serve", "/nowhere/at/all", "--log-format", "json", check=False)
    assert done.returncode == 1 and "/nowhere/at/all" in objects(done.stderr.decode())[-1]["message"]


IDLE = re.compile(rb'"event":"stats".*"generation_tokens_per_second":0,"running":0,"waiting":0')


def test_figures_come_while_there_is_work_and_stop_when_idle():
    def ask(server):
        assert chat(server, "Tell me a story.", max_tokens=300, ignore_eos=True).status == 200
        deadline = time.monotonic() + 60
        while not IDLE.search(server.log):
            assert server._read(deadline), "no line says that it is idle"
        time.sleep(0.5)  # some intervals of nothing

    lines = [line for line in objects(logged("--log-format", "json", "--log-stats-interval", "0.05", ask=ask))
             if line["event"] == "stats"]
    assert any(line["generation_tokens_per_second"] > 0 for line in lines)
    idle = [line["generation_tokens_per_second"] == 0 and line["running"] == line["waiting"] == 0 for line in lines]
    assert idle[-1] and not any(first and second for first, second in zip(idle, idle[1:]))
    assert re.search(r"Engine 000: Avg prompt throughput: [\d.]+ tokens/s, Avg generation throughput: [\d.]+ tokens/s, "
                     r"Running: \d+ reqs, Waiting: \d+ reqs, KV cache usage: [\d.]+%, Prefix cache hit rate: [\d.]+%$",
                     lines[0]["message"])
    assert "throughput" not in logged("--disable-log-stats", "--log-stats-interval", "0.05", ask=some_requests)


def test_requests_are_logged_without_their_texts():
    def ask(server):
        assert chat(server, "A secret question", stop=["secret stop"], user="secret user", max_tokens=4).status == 200

    log = logged("--enable-log-requests", ask=ask)
    assert re.search(r"request chatcmpl-\S+ received: .*\bmodel=demo .*\bprompt_tokens=\d+ .*\bstop=1 ", log)
    assert re.search(r"request chatcmpl-\S+ finished: finish_reason=\S+ prompt_tokens=\d+ cached_tokens=\d+ output_tokens=\d+", log)
    assert "secret" not in log


def test_a_reader_that_does_not_read_holds_nobody_up():
    server = Running("up", "--port", 0)
    longest = {"X-Request-Id": "x" * 128}
    for _ in range(500):  # more than a pipe takes
        assert call(server, "GET", "/health", headers=longest).status == 200
    assert chat(server, "What is 17 + 25?", max_tokens=8).status == 200
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0  # and standard error has still not been read
    server.process.stderr.close()


def test_a_reader_that_goes_is_no_reason_to_end():
    server = Running("up", "--port", 0)
    server.process.stderr.close()
    for _ in range(3):
        assert call(server, "GET", "/health").status == 200
    assert chat(server, "What is 17 + 25?", max_tokens=8).status == 200
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


def test_standard_error_may_be_closed(tmp_path):
    """Its number must not become a socket's or a file's, into which the log would then be written."""
    path = tmp_path / "hadal.sock"
    process = subprocess.Popen(["sh", "-c", 'exec "$0" serve "$1" --uds "$2" 0<&- 1>&- 2>&-', HADAL, DEMO, path])
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < deadline
            connection = UnixConnection(str(path))
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                assert answer.status == 200 and answer.read() == b""
                break
            except OSError:
                time.sleep(0.05)
        for number in (0, 1, 2):
            assert os.readlink(f"/proc/{process.pid}/fd/{number}") == "/dev/null"
    finally:
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize("arguments", [("--stream-interval", "0"), ("--log-stats-interval", "0"), ("--log-format", "xml"),
                                       ("--sse-ping-interval", "1e9"), ("--log-stats-interval", "nan")])
def test_values_out_of_range_are_refused(arguments):
    assert run("serve", DEMO, "--port", 0, *arguments, check=False).returncode == 2
