"""Random requests made from a server's own /openapi.json: most right, many bent. Ordinary requests go beside them and must be
answered as they are alone, and the server's memory is looked at after every tenth. Used by test_attack.py."""
import concurrent.futures
import dataclasses
import http.client
import json
import random
import threading
import time

from attackers import reference, resident_bytes
from support import call

WORKERS = 8
NASTY = [None, True, False, 0, -1, 1, 2**31, 2**63, -2**63, 2**64, 1e308, -0.0, 0.5, "", "\0", "\ud800", "\U0001f98a" * 50, "x" * 5000, "demo",
         [], {}, [[]], [None], {"": None}, {"a": {"b": {}}}, "-1", "null", [1, "x"], "<|end|>", "\r\nX: y", {"type": "text"}]
WORDS = ["What is 17 + 25?", "Tell me a story.", "fox", "", " ", "\n", "é漢字🦊", "<｜User｜>", "{{ 7 * 7 }}", "\x7f\x00"]
HEADERS = [{}, {}, {}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json; charset=utf-16"}, {"Accept": "image/png"},
           {"X-Request-Id": "x" * 200}, {"X-Request-Id": "\t id"}, {"Authorization": "Bearer \xff"}, {"Origin": "null"},
           {"x-hadal-tenant": "nobody"}, {"x-hadal-deadline-ms": "-5"}, {"x-hadal-hop-secret": "guess"}, {"Expect": "something"},
           {"Accept-Encoding": "gzip"}, {"Connection": "close"}, {"Upgrade": "websocket", "Connection": "Upgrade"}]


@dataclasses.dataclass
class Report:
    sent: int = 0
    answered: int = 0
    vanished: int = 0
    by_status: dict = dataclasses.field(default_factory=dict)
    failures: list = dataclasses.field(default_factory=list)
    memory: list = dataclasses.field(default_factory=list)  # resident bytes after every tenth
    neighbours: int = 0  # ordinary requests answered meanwhile
    seconds: float = 0

    @property
    def grown(self):
        """After the first tenth, in which caches are filled and threads get their arenas."""
        return max(self.memory) - self.memory[0]

    @property
    def grown_late(self):
        """In the second half: what a leak would go on with."""
        return self.memory[-1] - max(self.memory[:5])

    def __str__(self):
        shares = ", ".join(f"{status}: {count}" for status, count in sorted(self.by_status.items()))
        return (f"{self.sent} requests from the OpenAPI document in {self.seconds:.0f} s: {self.answered} answered ({shares}), "
                f"{self.vanished} hung up, {self.neighbours} ordinary ones beside them; memory grew by {self.grown / 1e6:.1f} MB after the "
                f"first tenth, {self.grown_late / 1e6:.1f} in the second half; {len(self.failures)} failures")


def value_of(schema, rng, depth=0):
    """A value that the schema takes, more or less."""
    if not isinstance(schema, dict) or not schema or depth > 6:
        return rng.choice(NASTY)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return value_of(rng.choice(schema[key]), rng, depth)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = rng.choice(kind)
    if kind == "string":
        return rng.choice(WORDS) + rng.choice(WORDS)
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 20))
        edge = rng.random()
        value = low if edge < 0.1 else high if edge < 0.2 else low + (high - low) * rng.random()
        return int(value) if kind == "integer" else value
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "array":
        count = max(schema.get("minItems", 0), rng.choice([0, 1, 1, 2, 5]))
        return [value_of(schema.get("items", {}), rng, depth + 1) for _ in range(count)]
    if kind == "object":
        return object_of(schema, rng, depth)
    return rng.choice(NASTY)


def object_of(schema, rng, depth):
    made = {}
    for name, inner in schema.get("properties", {}).items():
        if name in schema.get("required", []) or rng.random() < 0.15:
            made[name] = value_of(inner, rng, depth + 1)
    if rng.random() < 0.1:
        made[rng.choice(WORDS)] = rng.choice(NASTY)
    return made


def bend(value, rng):
    """The value with something in it replaced, dropped or nested."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        name = rng.choice(list(value))
        if rng.random() < 0.2:
            return {key: inner for key, inner in value.items() if key != name}
        return {**value, name: bend(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return value[:at] + [bend(value[at], rng)] + value[at + 1:]
    return rng.choice(NASTY)


def bounded(body, rng):
    """Keeps the work small: what is fuzzed is the server and not the model."""
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        if isinstance(body.get(name), int) and body[name] > 16:
            body[name] = rng.choice([1, 16])
    if not any(name in body for name in ("max_tokens", "max_completion_tokens", "max_output_tokens")):
        body["max_completion_tokens" if "messages" in body else "max_output_tokens" if "input" in body else "max_tokens"] = 8
    if "model" in body and rng.random() < 0.9:
        body.pop("model")
    for name in ("n", "best_of"):
        if isinstance(body.get(name), int) and body[name] > 4:
            body[name] = 2
    return body


def bytes_of(body, rng):
    data = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    how = rng.random()
    if how < 0.03:
        return data[:rng.randrange(len(data) + 1)]
    if how < 0.06 and data:
        at = rng.randrange(len(data))
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1:]
    if how < 0.07:
        return b"[" * rng.choice([10, 1000, 200_000])
    return data


class Neighbour(threading.Thread):
    """Asks the same ordinary question all the time."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.alone = server, reference(server)
        self.over, self.answered, self.failures = threading.Event(), 0, []

    def run(self):
        while not self.over.is_set():
            try:
                answer = reference(self.server)
                if answer != self.alone:
                    self.failures.append((self.answered, "an ordinary request was answered otherwise", answer))
            except Exception as error:  # whatever it is, it is to be seen in the report
                self.failures.append((self.answered, f"an ordinary request failed: {error!r}"))
            self.answered += 1
            self.over.wait(0.1)

    def stop(self):
        self.over.set()
        self.join(120)
        return self.failures if not self.is_alive() else [(self.answered, "an ordinary request was not answered")]


class Fuzzer:
    def __init__(self, server, seed):
        self.server, self.seed = server, seed
        self.document = call(server, "GET", "/openapi.json").json
        self.operations = [(path, method, operation) for path, methods in self.document["paths"].items()
                           for method, operation in methods.items()]
        self.report, self.lock = Report(), threading.Lock()

    def request(self, rng):
        path, method, operation = rng.choice(self.operations)
        method, data, headers = method.upper(), None, dict(rng.choice(HEADERS))
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is not None:
            body = bounded(value_of(content["schema"], rng), rng)
            for _ in range(rng.choice([0, 0, 1, 1, 2])):
                body = bend(body, rng)
            if isinstance(body, dict):
                body = bounded(body, rng)
            data = bytes_of(body, rng)
        elif rng.random() < 0.2:
            data = bytes(rng.randrange(256) for _ in range(rng.randrange(50)))
        if rng.random() < 0.05:
            method = rng.choice(["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"])
        if rng.random() < 0.05:
            path += rng.choice(["?a=1", "/", "/..", "%2e", "?%00", "//", "#x", "?" + "a" * 3000])
        return method, path, data, headers

    def one(self, number):
        rng = random.Random(self.seed * 1_000_003 + number)
        method, path, data, headers = self.request(rng)
        hang_up = rng.random() < 0.05
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=90)
        status, problem = None, None
        try:
            connection.request(method, path, data, headers)
            if hang_up:
                time.sleep(rng.random() * 0.05)
                return self.count(number, None, None)
            response = connection.getresponse()
            status, text = response.status, response.read()
            problem = self.judge(method, path, status, text)
        except (OSError, http.client.HTTPException) as error:
            problem = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        self.count(number, status, problem and (problem, method, path[:100], (data or b"")[:400], headers))

    def count(self, number, status, problem):
        with self.lock:
            self.report.sent += 1
            if status is not None:
                self.report.answered += 1
                self.report.by_status[status] = self.report.by_status.get(status, 0) + 1
            elif not problem:
                self.report.vanished += 1
            if problem:
                self.report.failures.append((number, *problem))

    def judge(self, method, path, status, text):
        """What is wrong with an answer; None where nothing is."""
        if status >= 500 and status != 503:
            return f"status {status}: {text[:200]!r}"
        declared = self.document["paths"].get(path, {}).get(method.lower())
        general = (405, 417)  # of the protocol, before any route is looked at
        if declared is not None and str(status) not in declared["responses"] and status not in general:
            return f"status {status} is not in the document"
        if status >= 400 and method != "HEAD" and status != 503:
            answer = json.loads(text)
            if not answer["error"]["message"]:
                return "an error without a message"
        return None

    def run(self, count):
        began = time.monotonic()
        neighbour = Neighbour(self.server)
        neighbour.start()
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for tenth in range(10):
                list(pool.map(self.one, range(count * tenth // 10, count * (tenth + 1) // 10)))
                self.report.memory.append(resident_bytes(self.server))
        self.report.failures += neighbour.stop()
        self.report.neighbours = neighbour.answered
        self.report.seconds = time.monotonic() - began
        return self.report


def fuzz(server, count, seed):
    return Fuzzer(server, seed).run(count)
