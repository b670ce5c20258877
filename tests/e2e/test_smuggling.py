"""Requests about whose end two servers could disagree: refused or read in one way, and what is hidden in them is never answered."""
import pytest

from attackers import VERSION_REQUEST, exchange, statuses, undisturbed

POST = b"POST /tokenize HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"prompt": "x"}'

# each is followed by a whole request for /version, which must stay unanswered
REFUSED = {
    "length and coding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 15\r\nContent-Length: 5\r\n\r\n" + BODY,
    "a length twice": POST + b"Content-Length: 15\r\nContent-Length: 15\r\n\r\n" + BODY,
    "a list of lengths": POST + b"Content-Length: 15, 15\r\n\r\n" + BODY,
    "length with a sign": POST + b"Content-Length: +15\r\n\r\n" + BODY,
    "negative length": POST + b"Content-Length: -1\r\n\r\n" + BODY,
    "hexadecimal length": POST + b"Content-Length: 0xf\r\n\r\n" + BODY,
    "length with a point": POST + b"Content-Length: 15.0\r\n\r\n" + BODY,
    "empty length": POST + b"Content-Length:\r\n\r\n" + BODY,
    "length with a blank inside": POST + b"Content-Length: 1 5\r\n\r\n" + BODY,
    "length that wraps": POST + b"Content-Length: 18446744073709551631\r\n\r\n" + BODY,
    "blank before the colon": POST + b"Content-Length : 15\r\n\r\n" + BODY,
    "blank before the coding's colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "gzip and chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked, then something": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "almost chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked behind a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked with a parameter": POST + b"Transfer-Encoding: chunked;x=1\r\n\r\n0\r\n\r\n",
    "HTTP/1.0 with a coding": b"POST /tokenize HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "coding hidden in a fold": GET + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length hidden in a fold": GET + b"X: a\r\n\tContent-Length: 50\r\n\r\n",
    "a fold as the first field": b"GET /health HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n",
    "bare line feeds": b"GET /health HTTP/1.1\nHost: x\n\n",
    "a bare line feed between fields": GET + b"X: a\nY: b\r\n\r\n",
    "a bare line feed at the end": GET[:-2] + b"\n\r\n",
    "a bare carriage return in a value": GET + b"X: a\rContent-Length: 50\r\n\r\n",
    "NUL in a value": GET + b"X: a\0b\r\n\r\n",
    "NUL in a name": GET + b"X\0: a\r\n\r\n",
    "a field without a colon": GET + b"Content-Length\r\n\r\n",
    "a field without a name": GET + b": 5\r\n\r\n",
    "a name with a blank": GET + b"Content Length: 5\r\n\r\n",
    "a name in brackets": GET + b"[Content-Length]: 5\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"Host: y\r\n\r\n",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": b"GET /health HTTP/1.2\r\nHost: x\r\n\r\n",
    "a version in small letters": b"GET /health http/1.1\r\nHost: x\r\n\r\n",
    "two blanks": b"GET  /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab": b"GET\t/health\tHTTP/1.1\r\nHost: x\r\n\r\n",
    "a target with a blank": b"GET /health x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is no path": b"GET health HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown expectation": POST + b"Expect: 200-ok\r\nContent-Length: 15\r\n\r\n" + BODY,
    "chunk size with a prefix": CHUNKED + b"0xf\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size with a sign": CHUNKED + b"+f\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size with a blank before": CHUNKED + b" f\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size with a blank behind": CHUNKED + b"f \r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size that wraps": CHUNKED + b"1000000000000000f\r\n" + BODY + b"\r\n0\r\n\r\n",
    "an enormous chunk": CHUNKED + b"ffffffffffffff\r\n" + BODY,
    "chunk size without digits": CHUNKED + b"\r\n" + BODY,
    "chunk size behind a bare line feed": CHUNKED + b"f\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk that is longer than it says": CHUNKED + b"5\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk's end by a bare line feed": CHUNKED + b"f\r\n" + BODY + b"\n0\r\n\r\n",
    "line feed in an extension": CHUNKED + b"f;a\nb\r\n" + BODY + b"\r\n0\r\n\r\n",
    "an endless extension": CHUNKED + b"f;" + b"a" * 100_000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "the last chunk's end by a bare line feed": CHUNKED + b"f\r\n" + BODY + b"\r\n0\n\r\n",
}

# read in one way by everybody: how many answers, the hidden request never among them
ANSWERED = {
    "a request in a request's body": (b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(VERSION_REQUEST) + VERSION_REQUEST, [200]),
    "a request in a chunk": (CHUNKED + b"%x\r\n" % len(VERSION_REQUEST) + VERSION_REQUEST + b"\r\n0\r\n\r\n", [400]),
    "a request as a trailer": (CHUNKED + b"f\r\n" + BODY + b"\r\n0\r\nX: GET /version HTTP/1.1\r\n\r\n", [200]),
    "a length in a trailer": (CHUNKED + b"f\r\n" + BODY + b"\r\n0\r\nContent-Length: 50\r\n\r\n", [200]),
    "an upgrade": (GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", [200]),
    "an absolute target": (b"GET http://evil/health HTTP/1.1\r\nHost: x\r\n\r\n", [200]),
    "a tunnel": (b"CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n", [400]),
    "a length in another case": (b"POST /tokenize HTTP/1.1\r\nHOST: x\r\ncOnTeNt-LeNgTh: 15\r\n\r\n" + BODY, [200]),
    "blanks around a length": (POST + b"Content-Length: \t 15 \t\r\n\r\n" + BODY, [200]),
    "empty lines before a request": (b"\r\n\r\n" + GET + b"\r\n", [200]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_is_refused_and_the_connection_closed(server, name):
    answer = exchange(server, REFUSED[name] + VERSION_REQUEST)
    assert len(statuses(answer)) == 1 and 400 <= statuses(answer)[0] < 600 and statuses(answer)[0] != 500, answer
    assert b"Connection: close" in answer and b'"version"' not in answer


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_clear_is_read_in_one_way(server, name):
    data, expected = ANSWERED[name]
    answer = exchange(server, data + GET + b"Connection: close\r\n\r\n")
    after_error = expected[0] == 400 and b"Connection: close" in answer and len(statuses(answer)) == 1
    assert statuses(answer) == expected + ([] if after_error else [200]), answer
    assert b'"version"' not in answer


def test_nothing_was_disturbed(server):
    with undisturbed(server):
        for data in REFUSED.values():
            exchange(server, data)
