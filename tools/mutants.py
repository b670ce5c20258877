#!/usr/bin/env python3
"""Plants each bug of tests/mutants/*.patch into a copy of the tree and expects the engine's stress test to find it.

Unpatched, the test must pass. The first line of a patch says what is wrong with the code then. A mutant that does not
apply or build, or that the test passes, is an error. The copy and its one build folder stay in build/mutants, so a second
run compiles only what a patch touches.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "mutants" / "tree"
BINARY = TREE / "build" / "dev" / "src" / "engine" / "hadal_engine_test"
TIMEOUT = 900  # seconds; a run that does not end has found something, too


def copy_changed(source, target):
    """Writes only what differs, so that the build sees nothing else as new."""
    if not target.exists() or target.read_bytes() != source.read_bytes():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def sync():
    """Makes the copy like the tree; of files that are gone, only what cmake would still find is removed."""
    wanted = [ROOT / "CMakeLists.txt", ROOT / "CMakePresets.json"]
    for folder in ("cmake", "src", "tests", "fuzz"):
        wanted += [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in wanted:
        copy_changed(path, TREE / path.relative_to(ROOT))
    known = {TREE / path.relative_to(ROOT) for path in wanted}
    for path in list((TREE / "src").rglob("*")):
        if path.is_file() and path not in known:
            path.unlink()


def run(command, log, cwd=TREE, env=None, timeout=None):
    with open(log, "ab") as out:
        try:
            return subprocess.run(command, cwd=cwd, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                  env={**os.environ, **(env or {})}, timeout=timeout).returncode
        except subprocess.TimeoutExpired:
            return "no end"


def build(log):
    env = {"CCACHE_NOHASHDIR": "1", "CCACHE_BASEDIR": str(TREE)}
    if not (TREE / "build" / "dev" / "build.ninja").exists() and run(["cmake", "--preset", "dev"], log, env=env) != 0:
        return False
    jobs = str(os.cpu_count() or 2)
    return run(["cmake", "--build", "build/dev", "--parallel", jobs, "--target", "hadal_engine_test"], log, env=env) == 0


def stress(log, steps):
    return run([BINARY, "--gtest_filter=EngineStress.*"], log, env={"HADAL_STRESS_STEPS": str(steps)}, timeout=TIMEOUT)


def try_mutant(patch, log, steps):
    """Returns what went wrong, or None if the test found the mutant; and how it did."""
    if run(["patch", "-p1", "--no-backup-if-mismatch", "-i", str(patch)], log) != 0:
        return "does not apply", ""
    try:
        if not build(log):
            return "does not build", ""
        code = stress(log, steps)
        return (None if code != 0 else "NOT FOUND"), f"exit {code}"
    finally:
        sync()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100000, help="steps of the stress test")
    parser.add_argument("--only", default="", help="only patches whose names contain this")
    arguments = parser.parse_args()
    patches = sorted(path for path in (ROOT / "tests" / "mutants").glob("*.patch") if arguments.only in path.name)
    if not patches:
        print("no patches")
        return 1
    logs = ROOT / "build" / "mutants" / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    sync()
    control = logs / "control.log"
    if not build(control) or stress(control, arguments.steps) != 0:
        print(f"the unpatched tree does not pass: {control}")
        return 1
    print("control: passes", flush=True)
    failures = 0
    for patch in patches:
        started = time.monotonic()
        wrong, how = try_mutant(patch, logs / f"{patch.stem}.log", arguments.steps)
        failures += wrong is not None
        title = patch.read_text().splitlines()[0]
        print(f"{patch.stem}: {wrong or 'found'} ({how}, {time.monotonic() - started:.0f} s): {title}", flush=True)
    print(f"{len(patches) - failures} of {len(patches)} mutants found")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
