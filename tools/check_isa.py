#!/usr/bin/env python3
"""Fail when code outside the ISA translation units uses ymm or zmm registers.

A template or inline function instantiated in a file built for AVX-512 may be the copy that the linker keeps for
everybody; the program then dies on an older machine. So ISA files define nothing with external linkage outside their
own namespaces, and no other object may hold wide registers.

    tools/check_isa.py BUILD_DIR
"""
import pathlib
import re
import subprocess
import sys

ISA_OBJECT = re.compile(r"_(avx2|avx512|avx512bf16)\.cc\.o$")
WIDE = re.compile(r"%[yz]mm[0-9]")
SHARED_SYMBOL = re.compile(r"^[0-9a-f]* +[WVu] (.+)$", re.M)


def objects(build):
    return [path for path in sorted(build.rglob("*.o")) if "hadal_" in str(path) and "_test" not in str(path)
            and "_bench" not in str(path)]


def main():
    build = pathlib.Path(sys.argv[1])
    bad, isa_count, plain_count = [], 0, 0
    for path in objects(build):
        if ISA_OBJECT.search(path.name):
            isa_count += 1
            symbols = subprocess.run(["nm", "-C", path], check=True, capture_output=True, text=True).stdout
            bad += [f"{path.name}: shared symbol in an ISA object: {name}" for name in SHARED_SYMBOL.findall(symbols)
                    if "DW.ref" not in name]
        else:
            plain_count += 1
            code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", path], check=True, capture_output=True,
                                  text=True).stdout
            if WIDE.search(code):
                bad.append(f"{path.name}: wide registers outside an ISA translation unit")
    for line in bad:
        print(line)
    print(f"{isa_count} ISA objects and {plain_count} others checked, {len(bad)} findings")
    return 1 if bad or isa_count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
