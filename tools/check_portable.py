#!/usr/bin/env python3
"""Fail unless a binary needs nothing but glibc at run time (the portable preset's promise).

    tools/check_portable.py BINARY
"""
import re
import subprocess
import sys

GLIBC = re.compile(r"^(libc\.so\.6|libm\.so\.6|libdl\.so\.2|libpthread\.so\.0|librt\.so\.1|ld-linux[-a-z0-9_]*\.so\.[0-9])$")


def main():
    output = subprocess.run(["readelf", "-d", sys.argv[1]], check=True, capture_output=True, text=True).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.+?)\]", output)
    foreign = [name for name in needed if not GLIBC.match(name)]
    print("needs: " + ", ".join(needed))
    if foreign or not needed:
        print("not portable: " + ", ".join(foreign or ["no NEEDED entry was read"]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
