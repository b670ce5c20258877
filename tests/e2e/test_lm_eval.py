"""lm-evaluation-harness itself, which has a virtual environment of its own (tools/check.py), scores two small tasks of ours:
its local-completions model with the server's own tokenizer (GET /tokenizer_info, POST /tokenize)."""
import json
import os
import pathlib
import subprocess

import pytest

from conftest import ROOT
from support import call

LM_EVAL = pathlib.Path(os.environ.get("HADAL_LM_EVAL", ROOT / "build" / "venv-lm-eval" / "bin" / "lm_eval"))
TASKS = pathlib.Path(__file__).parent / "lm_eval"


class Evaluated:
    def __init__(self, server, folder, batch_size=1, num_concurrent=1):
        arguments = {"model": "demo", "base_url": server.address + "/v1/completions", "num_concurrent": num_concurrent}
        command = [LM_EVAL, "run", "--model", "local-completions", "--model_args", ",".join(f"{name}={value}" for name, value in arguments.items()),
                   "--tasks", "hadal_facts,hadal_writes", "--include_path", TASKS, "--batch_size", str(batch_size), "--output_path", folder / "out", "--log_samples"]
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(folder / "home")}
        done = subprocess.run(command, cwd=TASKS, env={**os.environ, **offline}, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
        self.said = done.stderr
        [results] = (folder / "out").rglob("results_*.json")
        self.results = json.loads(results.read_text())["results"]
        self.folder = folder / "out"

    def samples(self, task):
        [file] = self.folder.rglob(f"samples_{task}_*.jsonl")
        return sorted((json.loads(line) for line in file.read_text().splitlines()), key=lambda sample: sample["doc_id"])

    def scores(self):
        """[(prompt, answer, log-probability, is greedy)]"""
        return [(argument["arg_0"], argument["arg_1"], float(response[0][0]), str(response[0][1]) == "True") for sample in self.samples("hadal_facts")
                for argument, response in zip(sample["arguments"].values(), sample["resps"], strict=True)]

    def written(self):
        return [sample["resps"][0][0] for sample in self.samples("hadal_writes")]


@pytest.fixture(scope="module")
def evaluated(server, tmp_path_factory):
    return Evaluated(server, tmp_path_factory.mktemp("lm_eval"))


def test_the_scores_are_those_of_the_model(evaluated):
    """Nine answers of ten are right and the tenth asks for a wrong one; one of five texts to write is wrong as well."""
    assert "Auto-detected remote tokenizer support" in evaluated.said
    assert evaluated.results["hadal_facts"]["acc,none"] == pytest.approx(0.9)
    assert evaluated.results["hadal_writes"]["exact_match,none"] == pytest.approx(0.8)


def test_log_probabilities_are_those_of_generating(server, evaluated):
    """Both are of one model: what it writes by itself has the log-probability that the harness was told."""
    greedy = [score for score in evaluated.scores() if score[3]]
    assert len(greedy) == 10, "what is right, and Rome"
    for prompt, answer, scored, _ in greedy:
        body = {"model": "demo", "prompt": ids_of(server, prompt), "max_tokens": len(ids_of(server, answer)), "temperature": 0, "logprobs": 1}
        made = call(server, "POST", "/v1/completions", body).json["choices"][0]
        assert made["text"] == answer
        # bfloat16; a prompt is computed in another form than an answer
        assert scored == pytest.approx(sum(made["logprobs"]["token_logprobs"]), abs=0.15)
    likely = min(score for _, _, score, is_greedy in evaluated.scores() if is_greedy)
    assert all(score < likely for _, _, score, is_greedy in evaluated.scores() if not is_greedy)


def ids_of(server, text):
    return call(server, "POST", "/tokenize", {"model": "demo", "prompt": text, "add_special_tokens": False}).json["tokens"]


@pytest.mark.parametrize("how", ["batch_size", "num_concurrent"])
def test_batches_and_threads_change_nothing(server, evaluated, how, tmp_path):
    again = Evaluated(server, tmp_path, **{how: 4})
    assert again.scores() == evaluated.scores()
    assert again.written() == evaluated.written()
