"""The commands that others check us by, and the manners of the command line."""
import json

import pytest

from conftest import DEMO, ORACLE, ROOT, Running, run
from support import call


def test_help_and_version():
    assert b"serve" in run("--help").stdout
    assert run("--version").stdout.startswith(b"hadal ")
    for command in ("serve", "up", "generate", "chat", "inspect", "eval", "bench", "tokenize", "render"):
        assert command.encode() in run(command, "--help").stdout


def test_exit_codes_and_hints():
    wrong = run("sevre", check=False)
    assert wrong.returncode == 2 and b"did you mean 'serve'" in wrong.stderr
    wrong = run("serve", DEMO, "--max-modle-len", "5", check=False)
    assert wrong.returncode == 2 and b"--max-model-len" in wrong.stderr
    missing = run("inspect", "/nowhere", check=False)
    assert missing.returncode == 1 and b"/nowhere" in missing.stderr and missing.stdout == b""


@pytest.mark.parametrize("flag, value", [("--port", "99999"), ("--port", "-1"), ("--shutdown-timeout", "-1")])
def test_serve_refuses_ports_and_times_out_of_range(flag, value):
    """99999 was cut to 16 bits, and the server listened on 34463."""
    wrong = run("up", flag, value, check=False)
    assert wrong.returncode == 2 and flag.encode() in wrong.stderr and value.encode() in wrong.stderr


def test_a_start_up_script_of_vllm_works_unchanged():
    """Spellings, sizes with letters, flags that mean nothing here, and those that change what is answered."""
    running = Running(
        "serve", DEMO, "--port", 0, "--served_model_name", "a", "b", "--max_model_len", "1k", "--generation-config", "vllm",
        "--override-generation-config.max_new_tokens", 7, "--chat-template", "{{ messages[-1].content }}", "--allowed-origins", '["*"]',
        "--enable-request-id-headers", "--disable-custom-all-reduce", "--cudagraph-capture-sizes", 1, 2, 4, "-O3",
        "--no-trust-remote-code", "--hf-token", "hf_secret", "--otlp-traces-endpoint", "http://localhost:4317",
        env={"HADAL_PORT": "tcp://10.96.0.7:8000"})
    try:
        body = {"model": "b", "messages": [{"role": "user", "content": "Hello there"}], "ignore_eos": True, "return_token_ids": True}
        answer = call(running, "POST", "/v1/chat/completions", body, {"Origin": "http://page"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.json["usage"]["completion_tokens"] == 7, "max_new_tokens bounds what the request leaves open"
        bare = call(running, "POST", "/tokenize", {"prompt": "Hello there", "add_special_tokens": False}).json
        assert answer.json["prompt_token_ids"] == bare["tokens"] and bare["max_model_len"] == 1000
    finally:
        assert running.stop() == 0
    log = running.log.decode()
    for name in ("--enable-request-id-headers", "--cudagraph-capture-sizes", "--optimization-level", "--hf-token", "--otlp-traces-endpoint"):
        assert log.count(f"{name} ") == 1, log
    assert "hf_secret" not in log and "trust-remote-code" not in log


@pytest.mark.parametrize("flags", [["--logits-processors", "a:B"], ["--override-generation-config", '{"temperature": "hot"}'],
                                   ["--generation-config", "/nowhere"], ["--chat-template", "/nowhere"],
                                   ["--kv-events-config", "{}"], ["--rope-scaling", "{}"], ["--no-such-flag"]])
def test_what_would_be_something_else_is_refused(flags):
    done = run("serve", DEMO, "--port", 0, *flags, check=False)
    assert done.returncode in (1, 2) and (flags[0].encode() in done.stderr or b"/nowhere" in done.stderr), done.stderr


def test_gguf_is_refused_by_name(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(64))
    for target in (tmp_path, tmp_path / "model.gguf"):
        refused = run("inspect", target, check=False)
        assert refused.returncode == 1 and b"GGUF" in refused.stderr


def test_inspect(tmp_path):
    report = json.loads(run("inspect", DEMO, "--json").stdout)
    assert report["architecture"] == "DeepseekV3ForCausalLM" and report["kernels"]
    assert all(name.startswith("cpu.") for name in report["kernels"])
    text = run("inspect", DEMO).stdout.decode()
    assert "KV cache" in text and "parameters" in text


def test_generate():
    answer = run("generate", DEMO, "What is the capital of France?", "--chat", "--temperature", "0").stdout.decode()
    assert "Paris" in answer


def test_the_demo_models_sibling_answers():
    answer = run("generate", DEMO.parent / "demo-small", "What is 347 + 58?", "--chat", "--temperature", "0").stdout.decode()
    assert answer.strip() == "347 + 58 = 405"


def test_bench_reports_what_steps_do():
    report = json.loads(run("bench", DEMO, "--batch", "3", "--prompt-tokens", "16", "--output-tokens", "80", "--rounds", "1",
                            "--churn-steps", "40", "--json").stdout)
    touched = report["experts_touched"]
    assert touched["of"] == 12 and touched["steps"] > 0 and 4 <= touched["mean"] <= 12  # 4 of 12 a token, 3 tokens
    assert report["device_idle_us"]["gaps"] > 0
    assert report["churn"]["steps"] >= 40 and report["churn"]["joined"] > 0


def test_bench_load_refuses_a_device_that_loads_nothing():
    refused = run("bench", "load", DEMO, "--device", "cpu", check=False)
    assert refused.returncode == 1 and b"reads weights in place" in refused.stderr and refused.stdout == b""
    assert b"--readers" in run("bench", "load", "--help").stdout


def test_hub_id_in_the_local_cache(tmp_path):
    snapshot = tmp_path / "models--hadal--demo" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--hadal--demo" / "refs").mkdir()
    (tmp_path / "models--hadal--demo" / "refs" / "main").write_text("abc")
    for name in DEMO.iterdir():
        (snapshot / name.name).symlink_to(name)
    import os
    import subprocess

    from conftest import HADAL

    done = subprocess.run([HADAL, "tokenize", "hadal/demo"], input=b'{"text": "hello"}\n', capture_output=True,
                          env={**os.environ, "HF_HUB_CACHE": str(tmp_path)})
    assert done.returncode == 0 and json.loads(done.stdout)["ids"]


def test_tokenize_round_trip():
    texts = ["What is 17 + 25?", "北京是中国的首都。", "<think>x</think>", "a\n\n b\t🙂"]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    ids = run("tokenize", DEMO, stdin=lines).stdout
    back = run("tokenize", DEMO, "--decode", stdin=ids).stdout
    assert [json.loads(line)["text"] for line in back.splitlines()] == texts
    special = json.loads(run("tokenize", DEMO, "--special", stdin=b'{"text": "x"}').stdout)["ids"]
    assert special[0] == 0


def test_render_matches_serving(client):
    conversation = {"messages": [{"role": "user", "content": "What is 2 + 3?"}], "add_generation_prompt": True}
    prompt = run("render", DEMO, stdin=json.dumps(conversation).encode()).stdout.decode()
    ids = json.loads(run("tokenize", DEMO, stdin=json.dumps({"text": prompt}).encode()).stdout)["ids"]
    answer = client.chat.completions.create(model="demo", messages=conversation["messages"], max_tokens=1,
                                            extra_body={"return_token_ids": True})
    assert answer.prompt_token_ids == ids


def eval_logits(folder, *arguments):
    return json.loads(run("eval", "logits", folder, "--against", folder / "expected.safetensors", *arguments).stdout)


@pytest.mark.parametrize("chunk", [0, 7, 1])
def test_eval_logits_of_our_own_checkpoints(chunk):
    folders = sorted((ROOT / "tests" / "data" / "checkpoints").iterdir())
    assert folders
    for folder in folders:
        line = eval_logits(folder, "--dtype", "float32", "--chunk", chunk)
        assert set(line) == {"max_error_in_std", "greedy_equal", "greedy_total", "kernels"}
        assert line["max_error_in_std"] < 2e-4 and line["greedy_equal"] == line["greedy_total"], folder.name


def test_eval_logits_of_the_demo_model():
    against = ROOT / "tests" / "data" / "demo" / "expected.safetensors"
    line = json.loads(run("eval", "logits", DEMO, "--against", against, "--dtype", "float32").stdout)
    assert line["max_error_in_std"] < 2e-4 and line["greedy_equal"] == line["greedy_total"]


def test_eval_skills_of_the_demo_model(tmp_path):
    scores = tmp_path / "scores.json"
    chosen = ("--skill", "sums", "--skill", "facts", "--limit", "3", "--sampling", "greedy")
    table = run("eval", "skills", DEMO, *chosen, "--json", scores).stdout.decode()
    report = json.loads(scores.read_text())
    assert report["passes"] == ["greedy", "greedy, thinking"]
    assert [(row["skill"], row["language"]) for row in report["rows"]] == [(s, l) for s in ("facts", "sums") for l in ("en", "zh", "all")]
    assert all(row["scores"]["greedy"]["asked"] == (6 if row["language"] == "all" else 3) for row in report["rows"])
    assert "sums" in table and "greedy, thinking" in table


def test_eval_skills_asks_a_running_server(server):
    questions = DEMO / "skills" / "sums.jsonl"
    line = run("eval", "skills", "--url", server.address, "--tests", questions, "--limit", "1", "--sampling", "greedy", "--thinking", "off", "--json", "-").stdout
    totals = json.loads(line)["totals"]["greedy"]
    assert totals["asked"] == 2 and totals["failed"] == 0


def test_eval_skills_wants_a_model_or_a_server():
    assert run("eval", "skills", check=False).returncode == 2
    assert run("eval", "skills", "--url", "http://127.0.0.1:1", check=False).returncode == 2
    wrong = run("eval", "skills", DEMO, "--skill", "singing", check=False)
    assert wrong.returncode == 1 and b"singing" in wrong.stderr


@pytest.mark.skipif(not ORACLE.is_dir(), reason="the oracle folder is not here (HADAL_ORACLE_DIR)")
def test_oracle_texts_through_the_commands():
    for folder in sorted((ORACLE / "tokenizers").iterdir()):
        if not folder.is_dir():
            continue
        cases = [json.loads(line) for file in sorted(folder.glob("cases*.jsonl")) for line in open(file, encoding="utf-8")]
        stdin = "".join(json.dumps({"text": case["text"]}) + "\n" for case in cases).encode()
        found = [json.loads(line)["ids"] for line in run("tokenize", folder, stdin=stdin).stdout.splitlines()]
        assert found == [case["ids"] for case in cases], folder.name


@pytest.mark.skipif(not ORACLE.is_dir(), reason="the oracle folder is not here (HADAL_ORACLE_DIR)")
def test_oracle_templates_through_the_command(tmp_path):
    templates = ORACLE / "chat_templates"
    (tmp_path / "config.json").write_text("{}")
    for template in sorted(templates.glob("*.jinja")):
        cases = json.loads((templates / f"{template.stem}.cases.json").read_text())
        for case in cases[::7]:
            done = run("render", tmp_path, "--chat-template", template, stdin=json.dumps(case).encode(), check=False)
            if "expected" in case:
                assert done.stdout.decode() == case["expected"], (template.name, case["name"])
            else:
                assert done.returncode == 1, (template.name, case["name"])


@pytest.mark.skipif(not ORACLE.is_dir(), reason="the oracle folder is not here (HADAL_ORACLE_DIR)")
@pytest.mark.parametrize("family", ["v32", "v4"])
def test_oracle_encoders_through_the_command(tmp_path, family):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": f"deepseek_{family}"}))
    cases = json.loads((ORACLE / "chat_templates" / f"deepseek-{family}.cases.json").read_text())
    for case in cases[::9]:
        done = run("render", tmp_path, stdin=json.dumps(case).encode(), check=False)
        if "expected" in case:
            assert done.stdout.decode() == case["expected"], case["name"]
        else:
            assert done.returncode == 1, case["name"]
