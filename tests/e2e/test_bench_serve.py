"""`hadal bench serve` against the real server, and `hadal bench cache` over a trace."""
import json

import pytest

from conftest import run


def bench(server, *arguments, **how):
    return run("bench", "serve", "--url", server.address, *arguments, **how)


def figures(server, *arguments):
    return json.loads(bench(server, *arguments, "--json", "-").stdout)


@pytest.fixture
def mooncake(tmp_path):
    """Six prompts; the last three repeat two blocks of the first three."""
    path = tmp_path / "trace.jsonl"
    with path.open("w") as out:
        for index in range(6):
            ids = [100, 200 + index % 3, 300 + index]
            row = {"timestamp": 20 * index, "input_length": 1500, "output_length": 6, "hash_ids": ids}
            out.write(json.dumps(row) + "\n")
    return path


def test_random_load(server, tmp_path):
    saved = tmp_path / "figures.json"
    done = bench(server, "--num-prompts", 12, "--random-input-len", 40, "--random-output-len", 8, "--ignore-eos",
                 "--request-rate", 200, "--seed", 3, "--warmup", 1, "--goodput", "ttft:600000", "e2el:600000",
                 "--json", saved)
    assert done.stderr == b""  # no bar where there is no terminal
    table = done.stdout.decode()
    assert "Serving Benchmark Result" in table and "P99 TTFT (ms):" in table and "Errors" not in table
    found = json.loads(saved.read_text())
    assert (found["completed"], found["failed"]) == (12, 0)
    assert (found["total_input_tokens"], found["total_output_tokens"]) == (12 * 40, 12 * 8)
    assert found["requests_counted_by_usage"] == found["good_requests"] == 12
    assert 0 < found["p50_ttft_ms"] <= found["p99_ttft_ms"] <= found["max_e2el_ms"] <= 1000 * found["duration"]
    assert found["request_goodput"] == pytest.approx(12 / found["duration"])


def test_concurrency_is_kept_and_the_path_may_be_a_chat(server):
    found = figures(server, "--endpoint", "/v1/chat/completions", "--num-prompts", 8, "--max-concurrency", 2,
                    "--random-input-len", 10, "--random-output-len", 4, "--ignore-eos")
    assert found["completed"] == 8 and found["max_concurrent_requests"] <= 2
    assert found["total_output_tokens"] == 8 * 4


def test_recorded_traffic(server, mooncake):
    found = figures(server, "--trace", mooncake, "--length-scale", 0.25, "--time-scale", 0.5, "--max-output-len", 1)
    assert found["completed"] == 6 and found["total_input_tokens"] == 6 * 375
    assert found["total_output_tokens"] == 6


def test_azure_trace(server, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:00:00.1,20,3\r\n2023-11-16 18:00:00.2,9999,2\r\n")
    done = bench(server, "--trace", trace, "--ignore-eos", "--json", "-")
    found = json.loads(done.stdout)
    assert b"1 of 2 requests are shortened" in done.stderr  # to the model's length
    assert found["completed"] == 2 and found["total_output_tokens"] == 5
    assert found["duration"] >= 0.1


def test_failures_are_counted_by_kind(server):
    done = bench(server, "--num-prompts", 3, "--endpoint", "/v1/nothing", check=False)
    assert done.returncode == 1 and b"no request succeeded" in done.stderr
    assert b"HTTP 404:" in done.stdout
    nobody = run("bench", "serve", "--url", "unix:/nowhere/socket", "--model", "m", "--num-prompts", 2, check=False)
    assert nobody.returncode == 1 and b"connection failed:" in nobody.stdout


def test_mistakes_are_told(server, tmp_path):
    assert run("bench", "serve", check=False).returncode == 2
    bad = tmp_path / "bad.csv"
    bad.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,1,1\nnow,1,1\n")
    for arguments, words in [(("--trace", bad), b"bad.csv: line 3"), (("--request-rate", "fast"), b"--request-rate"),
                             (("--goodput", "speed:1"), b"speed:1"), (("--header", "none"), b"KEY:VALUE"),
                             (("--model", "other"), None), (("--arrivals", "recorded"), b"--trace")]:
        done = bench(server, "--num-prompts", 1, *arguments, check=False)
        assert done.returncode == 1, arguments
        assert words is None or words in done.stderr, done.stderr


def test_help_names_the_measurements():
    text = run("bench", "--help").stdout
    assert b"hadal bench serve" in text and b"hadal bench cache" in text
    assert b"--length-scale" in run("bench", "serve", "--help").stdout
    assert b"--policy" in run("bench", "cache", "--help").stdout


def test_cache(mooncake):
    found = json.loads(run("bench", "cache", "--trace", mooncake, "--blocks", "10", "--json").stdout)
    assert (found["blocks"], found["distinct_blocks"]) == (18, 10)
    # 100 hits five times, its followers once each
    assert found["unlimited"] == pytest.approx(8 / 18)
    assert found["caches"][0]["lru"] == found["caches"][0]["reuse"] == found["caches"][0]["oracle"] == pytest.approx(8 / 18)
    assert run("bench", "cache", check=False).returncode == 2
    small = run("bench", "cache", "--trace", mooncake, "--blocks", "2", check=False)
    assert small.returncode == 1 and b"longest prompt" in small.stderr
