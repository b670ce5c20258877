"""hadal chat as a user meets it: lines from a pipe, and keys of a terminal."""
import http.client
import json
import os
import pty
import select
import signal
import subprocess
import time

from conftest import DEMO, HADAL, Running, run
from support import metric, until


def test_a_conversation_by_lines(server, tmp_path):
    saved = tmp_path / "saved.json"
    lines = f"/temperature 0\nWhat is 17 + 25?\n/regenerate\n/save {saved}\n/nonsense\n/quit\n"
    done = run("chat", "--url", server.address, stdin=lines.encode())
    assert done.stdout.decode().count("42") >= 2 and b"tokens/s" in done.stderr and b"/help" in done.stderr
    messages = json.loads(saved.read_text())["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"]
    again = run("chat", "--url", server.address + "/v1", "--thinking", "--temperature", 0,
                stdin=f"/load {saved}\nWhat is 47 + 85?\n".encode())
    assert b"2 turns" in again.stderr and b"132" in again.stdout and b"carry" in again.stdout


def test_a_checkpoint_without_a_server():
    done = run("chat", DEMO, "--temperature", 0, stdin=b"What is 17 + 25?\n")
    assert b"42" in done.stdout


def test_what_is_wrong_is_said(server):
    assert run("chat", check=False).returncode == 2
    assert run("chat", DEMO, "--url", server.address, check=False).returncode == 2
    nobody = run("chat", "--url", "http://127.0.0.1:1", stdin=b"x\n", check=False)
    assert nobody.returncode == 1 and nobody.stderr
    long = run("chat", "--url", server.address, stdin=b"word " * 20000 + b"\nWhat is 17 + 25?\n")
    assert b"context" in long.stderr and b"42" in long.stdout, "the long question is forgotten"


class Terminal:
    def __init__(self, *arguments):
        main, other = pty.openpty()
        self.main, self.seen = main, ""
        self.process = subprocess.Popen([HADAL, *map(str, arguments)], stdin=other, stdout=other, stderr=other, start_new_session=True)
        os.close(other)

    def wait_for(self, text, seconds=60):
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.main], [], [], 0.1)[0]:
                self.seen += os.read(self.main, 65536).decode(errors="replace")
        self.seen = self.seen.split(text, 1)[1]

    def type(self, keys):
        os.write(self.main, keys.encode())


def test_keys_of_a_terminal(server):
    terminal = Terminal("chat", "--url", server.address, "--temperature", 0)
    terminal.wait_for("> ")
    terminal.type("half a line\x03")  # Ctrl-C at the prompt leaves the line, not the program
    terminal.wait_for("> ")
    terminal.type("What is 17 + 26?\x7f\x7f5?\r")
    terminal.wait_for("42")
    terminal.wait_for("> ")
    terminal.type("\x1b[A\r")  # the same once more
    terminal.wait_for("42")
    terminal.wait_for("> ")
    terminal.type("\x04")
    assert terminal.process.wait(timeout=60) == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(server):
    terminal = Terminal("chat", "--url", server.address, "--temperature", 2)
    terminal.wait_for("> ")
    for _ in range(20):  # an answer may be over before the signal comes
        terminal.type("Tell me a long story about a fox and a crow and a river.\r")
        terminal.wait_for("\n")
        while not select.select([terminal.main], [], [], 0.01)[0]:
            pass
        os.kill(terminal.process.pid, signal.SIGINT)
        seen = ""
        while "tokens/s" not in seen and "(stopped)" not in seen and not seen.endswith("> \r\x1b[2C"):
            seen += os.read(terminal.main, 65536).decode(errors="replace")
        if "(stopped)" in seen:
            break
    else:
        raise AssertionError("no answer was ever stopped")
    terminal.type("\x04")
    assert terminal.process.wait(timeout=60) == 0


def test_ctrl_c_stops_an_answer_that_has_not_begun(tmp_path):
    """The server has one place, and another's long answer is in it: the question waits in the queue."""
    busy = Running("up", "--port", 0, "--max-num-seqs", 1)
    try:
        body = json.dumps({"prompt": "Once", "max_tokens": 3000, "ignore_eos": True, "stream": True})
        other = http.client.HTTPConnection("127.0.0.1", busy.port, timeout=60)
        other.request("POST", "/v1/completions", body)
        assert other.getresponse().status == 200
        terminal = Terminal("chat", "--url", busy.address)
        terminal.wait_for("> ")
        terminal.type("What is 17 + 25?\r")
        terminal.wait_for("\n")
        until(lambda: metric(busy, "vllm:num_requests_waiting") == 1)
        os.kill(terminal.process.pid, signal.SIGINT)
        terminal.wait_for("(stopped)", seconds=20)
        until(lambda: metric(busy, "vllm:num_requests_waiting") == 0)
        terminal.wait_for("> ")
        terminal.type("\x04")
        assert terminal.process.wait(timeout=60) == 0
        other.close()
    finally:
        assert busy.stop() == 0


def test_a_batch_goes_on_where_it_was_stopped(tmp_path):
    batch, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    prompts = [{"messages": [{"role": "user", "content": f"What is {n} + 25?"}], "id": f"q{n}"} for n in range(10, 16)]
    batch.write_text("".join(json.dumps(prompt) + "\n" for prompt in [*prompts, {"prompt": "word " * 9000}]))
    arguments = ("generate", DEMO, "--batch", batch, "--temperature", 0, "--max-tokens", 24, "--output", output)
    run(*arguments)
    answers = {line["index"]: line for line in map(json.loads, output.read_text().splitlines())}
    assert sorted(answers) == list(range(7)) and "error" in answers[6]
    assert all(str(n + 25) in answers[n - 10]["text"] and answers[n - 10]["id"] == f"q{n}" for n in range(10, 16))
    kept = [json.dumps(answers[index]) + "\n" for index in (0, 3)]
    output.write_text("".join(kept) + '{"index": 1, "te')  # as if it had been killed
    run(*arguments)
    lines = output.read_text().splitlines(keepends=True)
    assert lines[:2] == kept and sorted(json.loads(line)["index"] for line in lines) == list(range(7))
    assert {json.loads(line)["index"]: json.loads(line).get("text") for line in lines} == {
        index: answer.get("text") for index, answer in answers.items()}
    piped = run("generate", DEMO, "--batch", "-", "--temperature", 0, "--max-tokens", 4, stdin=b'{"prompt": "Once"}\n')
    assert json.loads(piped.stdout)["output_tokens"] == 4
