"""Hostile and broken clients: bare sockets, a process's memory, a question whose answer must never change."""
import contextlib
import os
import pathlib
import re
import resource
import socket
import time

from support import call, chat, metrics, until

VERSION_REQUEST = b"GET /version HTTP/1.1\r\nHost: smuggled\r\n\r\n"


def connect(server, receive_buffer=None, timeout=90):
    raw = socket.socket()
    if receive_buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.settimeout(timeout)
    raw.connect(("127.0.0.1", server.port))
    return raw


def read_all(raw, limit=1 << 24):
    """Everything until the server closes; a reset ends it as well."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while len(data) < limit and (piece := raw.recv(65536)):
            data += piece
    return data


def send(raw, data):
    """False where the server has closed already, which is its right."""
    try:
        raw.sendall(data)
        return True
    except ConnectionError:
        return False


def exchange(server, data, timeout=90, half_close=False):
    """What comes back for these bytes until the server closes."""
    with connect(server, timeout=timeout) as raw:
        send(raw, data)
        if half_close:
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_WR)
        return read_all(raw)


def statuses(data):
    return [int(found) for found in re.findall(rb"(?:^|(?<=[\n}\w]))HTTP/1\.1 (\d{3}) ", data)]


def post(path, body, *fields):
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n" + "".join(field + "\r\n" for field in fields)
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def resident_bytes(server):
    pages = pathlib.Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def reference(server):
    """(text, log-probabilities) of one greedy request."""
    choice = chat(server, "What is 17 + 25?", max_tokens=24, logprobs=True).json["choices"][0]
    return choice["message"]["content"], [token["logprob"] for token in choice["logprobs"]["content"]]


def at_rest(server):
    found = metrics(server)
    nothing = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
    return all(value == 0 for series, value in found.items() if series.split("{")[0] in nothing)


@contextlib.contextmanager
def undisturbed(server):
    """Around an attack: the same answer before and after it, nothing left behind, no answer 500."""
    before, errors = reference(server), server_errors(server)
    yield
    until(lambda: at_rest(server))
    assert reference(server) == before
    assert server_errors(server) == errors
    assert call(server, "GET", "/health").status == 200


def server_errors(server):
    """Answers with 500 so far."""
    return sum(value for series, value in metrics(server).items()
               if series.startswith("hadal:http_requests_total") and re.search(r'(status|code)="5(00|xx)"', series))


def many_descriptors(wanted):
    """Raises this process's limit of open files; returns how many of `wanted` it allows, with room for the rest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > wanted + 500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted + 500), hard))
        return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - 500


def seconds(function):
    began = time.monotonic()
    function()
    return time.monotonic() - began
