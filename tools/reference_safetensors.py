"""safetensors files in numpy, with the number formats that numpy lacks. For tests and tools; shares nothing with src/.

read(path) gives {name: Stored}. A Stored keeps the bytes as an array of the storage type and knows its dtype;
`.values()` are the numbers as float64 (exact for every format) or int64.
"""

import json
import struct
from dataclasses import dataclass

import numpy as np

STORAGE = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
    "F8_E4M3": np.uint8,
    "F8_E8M0": np.uint8,
    "I8": np.int8,
    "U8": np.uint8,
    "I32": np.int32,
    "I64": np.int64,
}


def _e4m3_table():
    table = np.zeros(256)
    for code in range(256):
        exponent, mantissa = code >> 3 & 15, code & 7
        value = mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
        table[code] = -value if code & 128 else value
    table[127] = table[255] = np.nan
    return table


E4M3 = _e4m3_table()


@dataclass
class Stored:
    dtype: str
    data: np.ndarray

    @property
    def shape(self):
        return self.data.shape

    def values(self):
        if self.dtype == "BF16":
            return (self.data.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        if self.dtype == "F8_E4M3":
            return E4M3[self.data]
        if self.dtype == "F8_E8M0":
            return np.where(self.data == 255, np.nan, np.exp2(self.data.astype(np.float64) - 127))
        if self.dtype.startswith("F"):
            return self.data.astype(np.float64)
        return self.data.astype(np.int64)


def f32(x):
    return Stored("F32", np.ascontiguousarray(x, dtype=np.float32))


def f16(x):
    return Stored("F16", np.ascontiguousarray(x, dtype=np.float16))


def bf16(x):
    """Nearest, ties to even."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    return Stored("BF16", ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16))


def e4m3(x):
    """Nearest, ties to the even code, saturating at 448."""
    x = np.asarray(x, dtype=np.float64)
    magnitudes = E4M3[:127]
    v = np.minimum(np.abs(x), 448.0)
    low = np.clip(np.searchsorted(magnitudes, v, side="right") - 1, 0, 125)
    down, up = v - magnitudes[low], magnitudes[low + 1] - v
    code = np.where((up < down) | ((up == down) & (low % 2 == 1)), low + 1, low)
    return Stored("F8_E4M3", (code | np.where(np.signbit(x), 128, 0)).astype(np.uint8))


def e8m0(power_of_two):
    return Stored("F8_E8M0", (np.log2(power_of_two).round() + 127).astype(np.uint8))


def i32(x):
    return Stored("I32", np.ascontiguousarray(x, dtype=np.int32))


def i64(x):
    return Stored("I64", np.ascontiguousarray(x, dtype=np.int64))


def read(path):
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        data = file.read()
    out = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            raw = np.frombuffer(data[begin:end], dtype=STORAGE[entry["dtype"]])
            out[name] = Stored(entry["dtype"], raw.reshape(entry["shape"]))
    return out


def write(path, tensors):
    """Wider elements first, then by name: every tensor is aligned."""
    order = sorted(tensors, key=lambda name: (-tensors[name].data.itemsize, name))
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in order:
        stored = tensors[name]
        header[name] = {
            "dtype": stored.dtype,
            "shape": list(stored.shape),
            "data_offsets": [offset, offset + stored.data.nbytes],
        }
        offset += stored.data.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(np.ascontiguousarray(tensors[name].data).tobytes())
