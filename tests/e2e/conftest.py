"""The built binary as users meet it: fixtures that start `hadal` on the demo model over a real socket."""
import os
import pathlib
import re
import select
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HADAL = pathlib.Path(os.environ.get("HADAL_BINARY", ROOT / "build" / "release" / "hadal"))
DEMO = ROOT / "models" / "demo"
ORACLE = pathlib.Path(os.environ.get("HADAL_ORACLE_DIR", ROOT.parent / "shared" / "oracle"))


class Running:
    """A `hadal serve` process that has printed its address."""

    def __init__(self, *arguments, env=None):
        self.started = time.monotonic()
        self.process = subprocess.Popen([HADAL, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env={**os.environ, **(env or {})})
        self.log = b""
        self.address = None
        deadline = time.monotonic() + 60
        while self.address is None:
            line = self._read(deadline)
            found = re.search(rb'serves \S+ at ([^\s"]+)["\n]', self.log)  # a line of text, or of JSON
            if found:
                self.address = found.group(1).decode()
            elif not line:
                raise RuntimeError(f"hadal did not start: {self.log.decode(errors='replace')}")
        self.ready_seconds = time.monotonic() - self.started

    def _read(self, deadline):
        ready, _, _ = select.select([self.process.stderr], [], [], max(0, deadline - time.monotonic()))
        data = os.read(self.process.stderr.fileno(), 65536) if ready else b""
        self.log += data
        return data

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            _, rest = self.process.communicate(timeout=60)
            self.log += rest
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return self.process.returncode


@pytest.fixture(scope="session")
def server():
    running = Running("up", "--port", 0)
    yield running
    assert running.stop() == 0, running.log.decode(errors="replace")


@pytest.fixture(scope="session")
def client(server):
    from openai import OpenAI

    return OpenAI(base_url=server.address + "/v1", api_key="none", max_retries=0, timeout=120)


def run(*arguments, stdin=None, check=True):
    done = subprocess.run([HADAL, *map(str, arguments)], input=stdin, capture_output=True, timeout=600)
    if check:
        assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done
