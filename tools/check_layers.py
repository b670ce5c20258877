#!/usr/bin/env python3
"""Fail when a room includes a room that src/ROOMS does not allow it, or when ROOMS itself has a cycle.

    tools/check_layers.py [--root DIR]
"""
import argparse
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*"([a-z_]+)/[^"]+"', re.M)


def read_rooms(path):
    rooms = {}
    for line in path.read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, _, allowed = line.partition(":")
        rooms[name.strip()] = set(allowed.split())
    return rooms


def find_cycle(rooms):
    done, trail = set(), []

    def visit(room):
        if room in trail:
            return trail[trail.index(room):] + [room]
        if room in done:
            return None
        trail.append(room)
        for other in sorted(rooms.get(room, ())):
            if cycle := visit(other):
                return cycle
        trail.pop()
        done.add(room)
        return None

    for room in sorted(rooms):
        if cycle := visit(room):
            return cycle
    return None


def violations(root, rooms):
    source = root / "src"
    for path in sorted(source.rglob("*")):
        if path.suffix not in (".h", ".cc", ".inc", ".cu", ".cuh"):
            continue
        room = path.relative_to(source).parts[0]
        if room not in rooms:
            yield f"{path.relative_to(root)}: room '{room}' is not in src/ROOMS"
            continue
        text = path.read_text(errors="replace")
        for match in INCLUDE.finditer(text):
            other = match.group(1)
            if other in rooms and other != room and other not in rooms[room]:
                line = text.count("\n", 0, match.start(1)) + 1
                yield f"{path.relative_to(root)}:{line}: {room} must not include {other} (src/ROOMS)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root
    rooms = read_rooms(root / "src" / "ROOMS")
    if cycle := find_cycle(rooms):
        print("src/ROOMS has a cycle: " + " > ".join(cycle))
        return 1
    found = list(violations(root, rooms))
    for line in found:
        print(line)
    if not found:
        print(f"layers: {len(rooms)} rooms, every include allowed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
