"""Many who share one server: prefixes, tenants, queues, deadlines, drain."""
import contextlib
import http.client
import json
import signal
import threading

import pytest

from conftest import DEMO, Running, run
from support import call, chat, metric, metrics, until

SYSTEM = " ".join(f"Rule {number}: the fox and the crow must answer politely and in a few words." for number in range(12))
LONG = "Tell me a story about a fox. " * 60
SECRET = "a secret between gateway and server"


@contextlib.contextmanager
def serving(*arguments, env=None):
    server = Running("serve", DEMO, "--port", 0, *arguments, env=env)
    try:
        yield server
    finally:
        assert server.stop() == 0, server.log.decode(errors="replace")


@contextlib.contextmanager
def serving_tenants(tmp_path, *arguments, **file):
    path = tmp_path / "tenants.json"
    path.write_text(json.dumps(file))
    with serving("--tenants", path, *arguments, env={"HADAL_TRUSTED_HOP_SECRET": SECRET}) as server:
        yield server


def of(tenant):
    return {"x-hadal-tenant": tenant, "x-hadal-hop-secret": SECRET}


def series(server, beginning):
    """The sum over the series that begin like this. Figures come a moment after the answer: see until()."""
    return sum(value for name, value in metrics(server).items() if name.startswith(beginning))


def text_of(answer):
    assert answer.status == 200, answer.text
    return answer.json["choices"][0]["message"]["content"]


# ---- prefixes --------------------------------------------------------------------------------------------------------

def test_a_prefix_is_found_again_and_the_answer_is_the_same():
    with serving("--exact") as server, serving("--no-enable-prefix-caching") as without:
        shared = 0
        for question in ("What is 17 + 25?", "What is the capital of France?"):
            first, second = (chat(server, SYSTEM, question, max_tokens=32) for _ in range(2))
            assert first.cached == shared and second.cached > 0
            shared = second.cached  # the system message's blocks; the questions differ behind them
            assert second.cached % 64 == 0 and second.cached < second.json["usage"]["prompt_tokens"]
            plain = chat(without, SYSTEM, question, max_tokens=32)
            assert plain.cached == 0
            assert text_of(first) == text_of(second) == text_of(plain)
        # two second times, and one first time that found the system message
        until(lambda: metric(server, "vllm:prefix_cache_hits_total") == 3 * shared)
        assert series(server, 'vllm:prompt_tokens_by_source_total{source="local_cache_hit"') == 3 * shared
        assert metric(without, "vllm:prefix_cache_queries_total") == 0


def test_a_salt_keeps_prefixes_apart():
    with serving() as server:
        chat(server, SYSTEM, "Hello.", cache_salt="one")
        assert chat(server, SYSTEM, "Hello.").cached == 0
        assert chat(server, SYSTEM, "Hello.", cache_salt="two").cached == 0
        assert chat(server, SYSTEM, "Hello.", cache_salt="one").cached > 0


def test_the_cache_is_reset_by_a_trusted_hop_alone(tmp_path):
    server = Running("serve", DEMO, "--uds", tmp_path / "hadal.sock")
    try:
        chat(server, SYSTEM, "Hello.")
        assert chat(server, SYSTEM, "Hello.").cached > 0
        assert call(server, "POST", "/reset_prefix_cache").status == 200
        assert chat(server, SYSTEM, "Hello.").cached == 0
    finally:
        assert server.stop() == 0
    with serving() as server:
        assert call(server, "POST", "/reset_prefix_cache").status == 403


# ---- tenants ---------------------------------------------------------------------------------------------------------

def tokens_computed_for_b(tmp_path, a_was_there, *arguments):
    """How much is computed for a prompt of tenant B's that A has sent before, or has not."""
    with serving_tenants(tmp_path, *arguments, tenants=[{"name": "a"}, {"name": "b"}]) as server:
        chat(server, SYSTEM, "Hello." if a_was_there else "What is 17 + 25?", max_tokens=1, headers=of("a"),
             **({} if a_was_there else {"cache_salt": "elsewhere"}))
        before = metric(server, "vllm:iteration_tokens_total_sum")
        answer = chat(server, SYSTEM, "Hello.", max_tokens=1, headers=of("b"))
        assert answer.status == 200
        return metric(server, "vllm:iteration_tokens_total_sum") - before, answer.cached


def test_a_tenant_cannot_find_out_what_another_has_sent(tmp_path):
    worlds = [tokens_computed_for_b(tmp_path, a_was_there) for a_was_there in (True, False)]
    assert worlds[0] == worlds[1] and worlds[0][0] > 64
    # the same question with salting switched off: what A did can be seen, so the test above tests something
    open_worlds = [tokens_computed_for_b(tmp_path, a_was_there, "--no-tenant-cache-salt") for a_was_there in (True, False)]
    assert open_worlds[0] != open_worlds[1]


def test_a_declared_prefix_serves_all(tmp_path):
    with serving_tenants(tmp_path, "--exact", tenants=[{"name": "a"}], shared_prefixes=[{"system": SYSTEM}]) as server:
        first = chat(server, SYSTEM, "What is 17 + 25?", headers=of("a"), max_tokens=32)
        second = chat(server, SYSTEM, "Hello.", headers=of("b"))
        assert first.cached == 0 and second.cached >= 64
        assert chat(server, SYSTEM, "Hello.", headers=of("c"), cache_salt="mine").cached == 0
        until(lambda: series(server, 'hadal:kv_blocks{state="pinned"') == second.cached / 64)  # stored once
        assert text_of(chat(server, SYSTEM, "What is 17 + 25?", headers=of("z"), max_tokens=32)) == text_of(first)


def test_tenants_have_figures_and_untrusted_names_count_for_nothing(tmp_path):
    with serving_tenants(tmp_path, tenants=[{"name": "a", "weight": 2}]) as server:
        assert chat(server, "Hello.", headers=of("a")).status == 200
        assert chat(server, "Hello.", headers={"x-hadal-tenant": "intruder"}).status == 200
        assert chat(server, "Hello.", headers={"x-llm-d-inference-fairness-id": "intruder"}).status == 200
        assert chat(server, "Hello.", headers={**of("intruder"), "x-hadal-hop-secret": "guess"}).status == 200
        until(lambda: series(server, 'hadal:tenant_generation_tokens_total{tenant="a"}') > 0)
        found = metrics(server)
        assert found["hadal:untrusted_tenant_headers_total"] == 3
        assert found['hadal:tenant_time_to_first_token_seconds_count{tenant="(default)"}'] == 3
        assert not any("intruder" in name for name in found)
        assert chat(server, "Hello.", headers={**of("a"), "x-hadal-tenant": "x" * 300}).status == 400


def test_the_tenants_file_is_read_strictly(tmp_path):
    path = tmp_path / "tenants.json"
    for text, part in [('{"tenants": [{"name": "a", "wieght": 2}]}', b"tenants[0].wieght"),
                       ('{"tenants": [{"name": "a", "kv_floor": 0.7}, {"name": "b", "kv_floor": 0.7}]}', b"over 1"),
                       ('{"shared_prefixes": [{"token_ids": [4096]}]}', b"shared_prefixes[0]"), ("{", b"not valid JSON")]:
        path.write_text(text)
        done = run("serve", DEMO, "--port", 0, "--tenants", path, check=False)
        assert done.returncode == 1 and part in done.stderr and b"tenants.json" in done.stderr, done.stderr


# ---- queues and deadlines --------------------------------------------------------------------------------------------

class Background:
    """Requests that run while the test looks on."""

    def __init__(self):
        self.threads, self.answers = [], []

    def chat(self, *args, **kwargs):
        thread = threading.Thread(target=lambda: self.answers.append(chat(*args, **kwargs)))
        thread.start()
        self.threads.append(thread)

    def join(self):
        for thread in self.threads:
            thread.join()
        assert [answer.status for answer in self.answers] == [200] * len(self.threads)


def fill(server, background, **kwargs):
    """One request that runs, one that waits."""
    for name in ("vllm:num_requests_running", "vllm:num_requests_waiting"):
        background.chat(server, "Tell me a story.", max_tokens=600, ignore_eos=True, **kwargs)
        until(lambda: metric(server, name) == 1)


def refused(server, answer, status, code):
    assert (answer.status, answer.code) == (status, code)
    assert int(answer.headers["Retry-After"]) >= 1
    assert series(server, f'vllm:admission_rejections_total{{reason="{code}"') == 1


def test_a_full_queue_is_503():
    with serving("--max-num-seqs", 1, "--max-num-queued-reqs", 1) as server:
        background = Background()
        fill(server, background)
        refused(server, chat(server, "Hello."), 503, "queue_full")
        background.join()
    with serving("--max-num-seqs", 1, "--max-num-queued-tokens", 200) as server:
        background = Background()
        fill(server, background)
        refused(server, chat(server, LONG), 503, "queue_full")
        background.chat(server, "Hello.")  # little enough
        background.join()


def test_a_tenants_full_queue_is_429(tmp_path):
    with serving_tenants(tmp_path, "--max-num-seqs", 1, tenants=[{"name": "a", "max_queued": 1}, {"name": "b"}]) as server:
        background = Background()
        fill(server, background, headers=of("a"))
        refused(server, chat(server, "Hello.", headers=of("a")), 429, "tenant_queue_full")
        background.chat(server, "Hello.", headers=of("b"))
        background.join()


def test_a_deadline_that_cannot_be_met_is_refused_early():
    with serving() as server:
        assert chat(server, LONG).status == 200  # the engine knows its speed now
        refused(server, chat(server, LONG + "No.", headers={"x-hadal-deadline-ms": "1"}, cache_salt="x"), 503,
                "deadline_unreachable")
        assert chat(server, "Hello.", headers={"x-hadal-deadline-ms": "60000"}).status == 200
        assert chat(server, "Hello.", headers={"x-hadal-deadline-ms": "soon"}).status == 400


# ---- sizes, metrics, the end -----------------------------------------------------------------------------------------

def test_a_cache_that_cannot_hold_one_sequence_is_refused_at_start():
    for options in (["--num-gpu-blocks-override", 10], ["--kv-cache-memory-bytes", 1 << 20]):
        done = run("serve", DEMO, "--port", 0, "--max-model-len", 2048, *options, check=False)
        assert done.returncode == 1 and b"--max-model-len is 2048" in done.stderr, done.stderr
    done = run("serve", DEMO, "--port", 0, "--gpu-memory-utilization", "1.5", check=False)
    assert done.returncode == 1 and b"--gpu-memory-utilization" in done.stderr


@pytest.mark.parametrize("dtype", ["bf16", "fp8_e4m3", "fp8_e5m2"])
def test_cache_dtypes(dtype):
    with serving("--kv-cache-dtype", dtype) as server:
        assert text_of(chat(server, "What is 17 + 25?", max_tokens=32))
        assert any(f'cache_dtype="{dtype}"' in name for name in metrics(server))


def test_block_lives_are_exposed_when_asked_for():
    with serving("--kv-cache-metrics", "--num-gpu-blocks-override", 24, "--max-model-len", 1024) as server:
        for number in range(6):  # more than the cache holds
            assert chat(server, f"{number}. {LONG}").status == 200
        assert chat(server, f"5. {LONG}").cached > 0
        for name in ("lifetime", "idle_before_evict", "reuse_gap"):
            until(lambda: metric(server, f"vllm:kv_block_{name}_seconds_count") > 0)
        until(lambda: metric(server, "hadal:kv_evictions_total") > 0)


def test_scheduling_policies_serve():
    for policy in ("fcfs", "static", "priority"):
        with serving("--scheduling-policy", policy, "--max-num-seqs", 2) as server:
            background = Background()
            for priority in range(4):
                background.chat(server, "What is 17 + 25?", priority=priority)
            background.join()
            assert len({text_of(answer) for answer in background.answers}) == 1
    done = run("serve", DEMO, "--scheduling-policy", "lifo", check=False)
    assert done.returncode == 2 and b"lifo" in done.stderr


def test_a_draining_server_refuses_and_finishes():
    server = Running("serve", DEMO, "--port", 0)
    background = Background()
    background.chat(server, "Tell me a story.", max_tokens=2500, ignore_eos=True)
    until(lambda: metric(server, "vllm:num_requests_running") == 1)
    server.process.send_signal(signal.SIGTERM)
    until(lambda: call(server, "GET", "/health").status == 503)
    late = chat(server, "Hello.")
    assert (late.status, late.code) == (503, "draining") and int(late.headers["Retry-After"]) >= 1
    background.join()
    assert background.answers[0].json["usage"]["completion_tokens"] == 2500
    assert server.process.wait(timeout=60) == 0


def test_a_drain_ends_at_its_timeout():
    server = Running("serve", DEMO, "--port", 0, "--shutdown-timeout", 1)
    outcome = []

    def ask():
        try:
            outcome.append(chat(server, "Tell me a story.", max_tokens=4000, ignore_eos=True).status)
        except http.client.HTTPException as error:  # what was still running is cut
            outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: metric(server, "vllm:num_requests_running") == 1)
    assert server.stop() == 0
    thread.join()
    assert outcome[0] == 200 or isinstance(outcome[0], http.client.RemoteDisconnected)
