"""TLS on the TCP port: real clients, a certificate that is renewed, and what does not speak it."""
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import time

import pytest

from conftest import DEMO, HADAL, Running, run
from support import until

HELLO = {"messages": [{"role": "user", "content": "What is 17 + 25?"}], "temperature": 0, "max_tokens": 24}


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def self_signed(folder, name):
    """(certificate, key) for localhost and 127.0.0.1, an authority for itself."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj", f"/CN={name}",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate)
    return certificate, key


def signed_by(folder, name, authority):
    """(certificate, key) of a client, signed by `authority`, itself such a pair."""
    certificate, key, request = (folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
    openssl("x509", "-req", "-in", request, "-days", 2, "-CA", authority[0], "-CAkey", authority[1], "-CAcreateserial", "-out", certificate)
    return certificate, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def pair(folder):
    return self_signed(folder, "first")


@pytest.fixture(scope="module")
def tls_server(pair):
    running = Running("up", "--port", 0, "--ssl-certfile", pair[0], "--ssl-keyfile", pair[1])
    assert running.address.startswith("https://")
    yield running
    assert running.stop() == 0, running.log.decode(errors="replace")
    assert b"PRIVATE KEY" not in running.log


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "--max-time", "60", *map(str, arguments)], capture_output=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("version", ["--tlsv1.2", "--tlsv1.3"])
def test_curl_streams_over_both_versions(tls_server, pair, version):
    ceiling = ["--tls-max", version[-3:]]
    code, out, error = curl("-N", "--cacert", pair[0], version, *ceiling, f"{tls_server.address}/v1/chat/completions",
                            "-d", json.dumps({**HELLO, "stream": True}))
    assert code == 0, error
    assert out.count(b"data: ") > 3 and out.rstrip().endswith(b"data: [DONE]")


def test_old_versions_and_strangers_are_refused(tls_server, pair):
    assert curl("--cacert", pair[0], "--tls-max", "1.1", f"{tls_server.address}/health")[0] == 35
    assert curl(f"{tls_server.address}/health")[0] == 60, "a certificate that nobody vouches for"
    code, out, _ = curl("--cacert", pair[0], "-w", "%{http_code}", f"{tls_server.address}/health")
    assert (code, out[-3:]) == (0, b"200")


def test_the_openai_client_and_httpx(tls_server, pair):
    import httpx
    from openai import OpenAI

    context = ssl.create_default_context(cafile=str(pair[0]))
    with httpx.Client(verify=context) as http_client:
        client = OpenAI(base_url=f"https://localhost:{tls_server.port}/v1", api_key="none", max_retries=0, http_client=http_client)
        whole = client.chat.completions.create(model="demo", **HELLO).choices[0].message.content
        pieces = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(model="demo", **HELLO, stream=True)]
        assert "".join(pieces) == whole and "42" in whole and len(pieces) > 3
        assert http_client.get(f"https://localhost:{tls_server.port}/health").http_version == "HTTP/1.1"
        big = httpx.post(f"{tls_server.address}/tokenize", json={"prompt": "word " * 300_000}, verify=context, timeout=60)
        assert big.status_code == 200 and len(big.json()["tokens"]) > 300_000, "records by the hundred, both ways"


def test_plain_http_on_the_port_is_told_so(tls_server):
    code, out, _ = curl("-w", "%{http_code}", f"http://127.0.0.1:{tls_server.port}/health")
    assert code == 0 and out.endswith(b"400") and b"https://" in out


def test_clients_that_vanish_in_the_handshake_or_behind_it(tls_server, pair):
    context = ssl.create_default_context(cafile=str(pair[0]))
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)
    for number in range(100):
        raw = socket.create_connection(("127.0.0.1", tls_server.port))
        if number % 3 == 0:
            raw.sendall(hello[:number + 1])
        elif number % 3 == 1:
            raw = context.wrap_socket(raw, server_hostname="localhost")
            if number % 2:
                body = json.dumps({**HELLO, "stream": True, "max_tokens": 300, "ignore_eos": True}).encode()
                raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                raw.recv(100)
        raw.close()
    descriptors = pathlib.Path(f"/proc/{tls_server.process.pid}/fd")
    until(lambda: sum("socket" in str(link.readlink()) for link in descriptors.iterdir() if link.is_symlink()) < 10)
    assert curl("--cacert", pair[0], f"{tls_server.address}/health")[0] == 0


def served_certificate(port):
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=10).strip()


def test_a_renewed_certificate_is_taken_and_a_broken_one_is_not(folder):
    first, second = self_signed(folder, "old"), self_signed(folder, "new")
    certificate, key = folder / "live.pem", folder / "live.key"
    shutil.copy(first[0], certificate)
    shutil.copy(first[1], key)
    server = Running("up", "--port", 0, "--ssl-certfile", certificate, "--ssl-keyfile", key, "--enable-ssl-refresh")
    try:
        context = ssl.create_default_context(cafile=str(first[0]))
        kept = context.wrap_socket(socket.create_connection(("127.0.0.1", server.port)), server_hostname="localhost")
        assert served_certificate(server.port) == first[0].read_text().strip()
        certificate.write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
        time.sleep(2.5)
        assert served_certificate(server.port) == first[0].read_text().strip()
        shutil.copy(second[0], certificate)
        shutil.copy(second[1], key)
        until(lambda: served_certificate(server.port) == second[0].read_text().strip())
        kept.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(4096).startswith(b"HTTP/1.1 200 "), "a connection lives on with the certificate that it began with"
    finally:
        assert server.stop() == 0
    assert b"the old one stays" in server.log and b"PRIVATE KEY" not in server.log


def test_clients_certificates(folder, pair):
    authority = self_signed(folder, "authority")
    client = signed_by(folder, "client", authority)
    server = Running("up", "--port", 0, "--ssl-certfile", pair[0], "--ssl-keyfile", pair[1],
                     "--ssl-ca-certs", authority[0], "--ssl-cert-reqs", 2)
    try:
        assert curl("--cacert", pair[0], f"{server.address}/health")[0] != 0
        assert curl("--cacert", pair[0], "--cert", pair[0], "--key", pair[1], f"{server.address}/health")[0] != 0
        assert curl("--cacert", pair[0], "--cert", client[0], "--key", client[1], f"{server.address}/health")[0] == 0
    finally:
        assert server.stop() == 0


def test_wrong_files_end_the_start_and_are_named(folder, pair):
    other = self_signed(folder, "other")
    locked = folder / "locked.key"
    openssl("pkcs8", "-topk8", "-in", other[1], "-passout", "pass:secret", "-out", locked)

    def failure(*arguments):
        done = run("up", "--port", 0, *arguments, check=False)
        assert done.returncode in (1, 2), done
        return done.stderr.decode()

    assert "does not belong to" in failure("--ssl-certfile", pair[0], "--ssl-keyfile", other[1])
    assert "/nowhere.pem" in failure("--ssl-certfile", "/nowhere.pem", "--ssl-keyfile", pair[1])
    assert "encrypted" in failure("--ssl-certfile", other[0], "--ssl-keyfile", locked)
    assert "--ssl-certfile" in failure("--ssl-keyfile", pair[1])
    assert "--uds" in failure("--ssl-certfile", pair[0], "--ssl-keyfile", pair[1], "--uds", folder / "socket")
    assert "--ssl-ca-certs" in failure("--ssl-certfile", pair[0], "--ssl-keyfile", pair[1], "--ssl-cert-reqs", 1)


def test_hadal_chat_and_bench_over_https(tls_server, pair):
    question = b"What is 17 + 25?\n/quit\n"
    done = run("chat", "--url", tls_server.address, "--cacert", pair[0], "--temperature", 0, stdin=question)
    assert b"42" in done.stdout
    untrusted = run("chat", "--url", tls_server.address, stdin=question, check=False)
    assert untrusted.returncode == 1 and b"certificate verify failed" in untrusted.stderr
    measured = subprocess.run([HADAL, "bench", "serve", "--url", tls_server.address, "--num-prompts", "4", "--model", "demo"],
                              capture_output=True, timeout=120, env={"SSL_CERT_FILE": str(pair[0])})
    assert measured.returncode == 0, measured.stderr
