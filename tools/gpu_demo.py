"""The demo model through `hadal up`, as tools/gpu_check asks for it: how long from the start of the process to the first
token, and the greedy answers to the questions that its training never saw. Needs Python 3 alone.

    tools/gpu_demo.py HADAL [--count N] [OPTIONS OF hadal up...]     scores of one server, for a look by hand
"""
import concurrent.futures
import http.client
import json
import pathlib
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "demo_model"))

import chat  # noqa: E402
import generate  # noqa: E402
from skill import new_tokens, right  # noqa: E402

SEED = "gpu"


class Server:
    """`hadal up OPTIONS` on a free port, for the length of a `with`."""

    def __init__(self, hadal, options, log, seconds=60):
        self.command = [str(hadal), "up", "--port", "0", *options]
        self.log, self.seconds = log, seconds

    def __enter__(self):
        self.started = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, errors="replace")
        found, self.port = threading.Event(), None
        threading.Thread(target=self._read, args=(found,), daemon=True).start()
        if not found.wait(self.seconds) or self.port is None:
            self.__exit__()
            raise RuntimeError(f"{' '.join(self.command)} did not begin to serve; see {self.log}")
        return self

    def _read(self, found):
        with open(self.log, "w") as out:
            for line in self.process.stderr:
                out.write(line)
                out.flush()
                address = re.search(r" at http://[^ ]*:(\d+)", line)
                if address and self.port is None:
                    self.port = int(address.group(1))
                    found.set()
        found.set()

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def post(self, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.seconds)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {response.read()[:300]!r}")
        return response


def seconds_to_first_token(hadal, options, log):
    """From starting the process to the first byte of text at the client."""
    with Server(hadal, options, log) as server:
        response = server.post("/v1/chat/completions", {"model": "demo", "temperature": 0, "max_tokens": 8, "stream": True,
                                                        "messages": [{"role": "user", "content": "What is 17 + 25?"}]})
        for line in response:
            if line.startswith(b"data: {"):
                choices = json.loads(line[6:])["choices"]
                if choices and choices[0]["delta"].get("content"):
                    return time.monotonic() - server.started
    raise RuntimeError("the stream ended without a token")


def questions(count):
    """[(skill, example, prompt, tokens to allow)]: up to `count` of every skill, and long prompts only a few."""
    asked = []
    for skill, examples in generate.held_out(SEED, count).items():
        for one in examples[:2] if skill == "long_lookup" else examples:
            asked.append((skill, one, chat.render(one.messages, one.tools, generate=True), new_tokens(skill)))
    return asked


def answers(hadal, options, asked, log):
    """The texts, in order. What a server answers does not depend on what it runs beside."""
    def ask(question):
        _, _, prompt, tokens = question
        body = {"model": "demo", "prompt": prompt, "temperature": 0, "max_tokens": tokens, "add_special_tokens": False}
        return json.load(server.post("/v1/completions", body))["choices"][0]["text"]

    with Server(hadal, options, log) as server, concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(ask, asked))


def scores(asked, texts):
    """{skill: (right, of)}"""
    found = {}
    for (skill, one, _, _), text in zip(asked, texts):
        good, of = found.get(skill, (0, 0))
        found[skill] = (good + right(one, text), of + 1)
    return found


def total(found):
    return sum(good for good, _ in found.values()), sum(of for _, of in found.values())


def main():
    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("-"):
        sys.exit(__doc__)
    hadal, count = arguments.pop(0), 10
    if arguments[:1] == ["--count"]:
        count, arguments = int(arguments[1]), arguments[2:]
    asked = questions(count)
    found = scores(asked, answers(hadal, arguments, asked, "/dev/stderr"))
    for skill, (good, of) in found.items():
        print(f"{skill:32} {good:4} of {of}")
    print("{:32} {:4} of {}".format("all", *total(found)))


if __name__ == "__main__":
    main()
