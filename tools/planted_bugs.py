#!/usr/bin/env python3
"""Plants the bugs of fuzz/planted/ one by one and asks whether their fuzz target finds them; fails if one is not found.

    tools/planted_bugs.py [--seconds N] [--report FILE.json] [PATTERN...]       PATTERN: part of TARGET/NAME

A bug is a patch of a few lines, fuzz/planted/TARGET/NAME.patch, its first lines say what was done. It goes into a copy
of the source (build/planted/source, built with the fuzz preset; your tree is not touched), the target is built, goes
through fuzz/corpus/TARGET, and, if that runs clean, fuzzes from there for at most N seconds. What it trips over must
be the planted bug: the corpus must run clean before anything is planted, and so must the very input that found the bug.
"""
import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLANTED = ROOT / "fuzz" / "planted"
SOURCES = ("CMakeLists.txt", "CMakePresets.json", "cmake", "src", "fuzz")
LEFT_OUT = ("fuzz/corpus", "fuzz/planted")
LIMITS = ("-timeout=20", "-rss_limit_mb=4096")
SANITIZER_ENV = {"ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=0",
                 "UBSAN_OPTIONS": "print_stacktrace=1"}


@dataclasses.dataclass
class Result:
    bug: str
    found: bool
    how: str


def bugs(patterns=()):
    """TARGET/NAME of every patch that one of the patterns is part of."""
    names = sorted(str(path.relative_to(PLANTED).with_suffix("")) for path in PLANTED.glob("*/*.patch"))
    return [name for name in names if not patterns or any(pattern in name for pattern in patterns)]


def source_files(root):
    for entry in SOURCES:
        path = root / entry
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            name = file.relative_to(root)
            if file.is_file() and not any(name.is_relative_to(folder) for folder in LEFT_OUT):
                yield name


def sync(copy):
    """Makes the copy what the tree is. Only what differs is written, and gets a new time: it has to be built again."""
    wanted = set(source_files(ROOT))
    for name in set(source_files(copy)) - wanted:
        (copy / name).unlink()
    for name in wanted:
        bytes_ = (ROOT / name).read_bytes()
        target = copy / name
        if target.is_file() and target.read_bytes() == bytes_:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bytes_)


def plant(copy, bug):
    """Applies a patch to the copy, exactly or not at all. Returns what git says against it, or nothing."""
    # a ceiling, so that git takes the copy for a plain folder and not for a part of our repository
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)}
    result = subprocess.run(["git", "apply", "--whitespace=nowarn", PLANTED / f"{bug}.patch"], cwd=copy, env=env,
                            capture_output=True, text=True)
    return result.stderr.strip() or f"exit {result.returncode}" if result.returncode != 0 else ""


class Builder:
    """One copy and one build folder for all bugs: a patch costs its own files and a link."""

    def __init__(self, folder):
        self.folder = folder
        self.copy = folder / "source"
        self.build = self.copy / "build" / "fuzz"
        self.env = {**os.environ, "CCACHE_NOHASHDIR": "1", "CCACHE_BASEDIR": str(self.copy)}

    def make(self, *targets):
        """Builds fuzz_TARGET...; returns what went wrong, if anything did."""
        log = self.folder / "build.log"
        commands = [["cmake", "--build", self.build, "--parallel", str(os.cpu_count() or 2), "--target",
                     *(f"fuzz_{target}" for target in targets)]]
        if not (self.build / "build.ninja").exists():
            commands.insert(0, ["cmake", "--preset", "fuzz"])
        with open(log, "wb") as out:
            for command in commands:
                if subprocess.run(command, cwd=self.copy, env=self.env, stdout=out, stderr=subprocess.STDOUT,
                                  stdin=subprocess.DEVNULL).returncode != 0:
                    out.flush()
                    errors = re.findall(r"^.*(?:error|undefined reference).*$", log.read_text(errors="replace"), re.M)
                    return f"{errors[0][-300:] if errors else 'no error named'} (all in {log})"
        return ""

    def binary(self, target):
        return self.build / "fuzz" / f"fuzz_{target}"


def describe(log):
    """What a sanitizer, libFuzzer or the target's own check has said, and where."""
    kinds = [r"terminate called after throwing an instance of '([^']+)'", r"ERROR: AddressSanitizer: ([a-z-]+)",
             r"(runtime error: [^\n]{1,90})", r"ERROR: libFuzzer: (timeout|out-of-memory)",
             r"(check failed[^\n]{0,90})", r"ERROR: LeakSanitizer: (detected memory leaks)"]
    kind = next((match[1] for match in (re.search(pattern, log, re.I) for pattern in kinds) if match), "abort")
    frame = re.search(r"#\d+ 0x[0-9a-f]+ in [^\n]*?/((?:src|fuzz)/(?!base/check)[a-z0-9_/]+\.(?:cc|h)\b(?::\d+)?)", log)
    return kind + (f" at {frame[1]}" if frame else "")


def run(binary, arguments, folder, timeout=None):
    """Runs a target; returns whether it ended clean, its log, and the input it stumbled over, if it left one."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "inputs").mkdir(parents=True)
    with open(folder / "log", "wb") as out:
        code = subprocess.run([binary, *LIMITS, f"-artifact_prefix={folder}/", *arguments], stdout=out,
                              stderr=subprocess.STDOUT, env={**os.environ, **SANITIZER_ENV}, timeout=timeout,
                              stdin=subprocess.DEVNULL).returncode
    log = (folder / "log").read_text(errors="replace")
    left = [path for kind in ("crash", "timeout", "oom", "leak") for path in folder.glob(f"{kind}-*")]
    return code == 0, log, left[0] if left else None


def corpus_name(target, artifact):
    """The corpus file that an artifact is a copy of."""
    digest = hashlib.sha1(artifact.read_bytes()).digest()
    for path in sorted((ROOT / "fuzz" / "corpus" / target).iterdir()):
        if hashlib.sha1(path.read_bytes()).digest() == digest:
            return path.name
    return artifact.name


class Hunt:
    def __init__(self, folder, seconds):
        self.builder = Builder(folder)
        self.folder = folder
        self.seconds = seconds

    def control(self, targets):
        """Builds the targets with nothing planted; their corpora must run clean. Returns {target: complaint}."""
        self.builder.copy.mkdir(parents=True, exist_ok=True)
        sync(self.builder.copy)
        if complaint := self.builder.make(*targets):
            return {target: f"the source itself does not build: {complaint}" for target in targets}
        (self.folder / "clean").mkdir(exist_ok=True)
        complaints = {}
        for target in targets:
            shutil.copy2(self.builder.binary(target), self.clean(target))
            ok, log, _ = run(self.clean(target), ["-runs=0", ROOT / "fuzz" / "corpus" / target], self.folder / "run")
            if not ok:
                complaints[target] = f"with nothing planted the corpus does not run clean: {describe(log)}"
        return complaints

    def clean(self, target):
        return self.folder / "clean" / f"fuzz_{target}"

    def hunt(self, bug):
        target = bug.split("/")[0]
        sync(self.builder.copy)
        if complaint := plant(self.builder.copy, bug):
            return Result(bug, False, f"the patch does not apply: {complaint}")
        if complaint := self.builder.make(target):
            return Result(bug, False, f"the patched source does not build: {complaint}")
        corpus = ROOT / "fuzz" / "corpus" / target
        scratch = self.folder / "run"
        started = time.monotonic()
        clean, log, left = run(self.builder.binary(target), ["-runs=0", corpus], scratch)
        how = f"corpus {corpus_name(target, left)}" if left else "corpus"
        if clean:
            clean, log, left = run(self.builder.binary(target), [f"-max_total_time={self.seconds}", "-seed=1",
                                                                 scratch / "inputs", corpus], scratch)
            how = f"fuzzed for {time.monotonic() - started:.0f} s"
        if clean:
            return Result(bug, False, f"not found in {self.seconds} s")
        if left is None:
            return Result(bug, False, f"the target ended without an input to show: {log[-500:]}")
        kept = self.folder / "found" / bug.replace("/", "-")
        kept.parent.mkdir(exist_ok=True)
        shutil.copyfile(left, kept)
        also_clean, clean_log, _ = run(self.clean(target), [kept], scratch)
        if not also_clean:
            return Result(bug, False, f"a bug that nobody planted: {describe(clean_log)}, input {kept}")
        return Result(bug, True, f"{how}: {describe(log)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="*", help="only bugs whose TARGET/NAME contains one of these")
    parser.add_argument("--seconds", type=int, default=60, help="of fuzzing for a bug that the corpus does not find")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "planted", help="for the copy and its build")
    parser.add_argument("--report", type=pathlib.Path, help="the results as JSON")
    arguments = parser.parse_args()
    names = bugs(arguments.pattern)
    if not names:
        sys.exit("no such bug under fuzz/planted")
    hunt = Hunt(arguments.folder.resolve(), arguments.seconds)
    complaints = hunt.control(sorted({name.split("/")[0] for name in names}))
    for target, complaint in complaints.items():
        print(f"{target}: {complaint}", flush=True)
    results = []
    for name in names:
        complaint = complaints.get(name.split("/")[0])
        result = Result(name, False, "nothing can be said: " + complaint) if complaint else hunt.hunt(name)
        results.append(result)
        print(f"{'found    ' if result.found else 'NOT FOUND'} {name:44} {result.how}", flush=True)
    sync(hunt.builder.copy)
    if arguments.report:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(json.dumps([dataclasses.asdict(result) for result in results], indent=1))
    found = sum(result.found for result in results)
    print(f"{found} of {len(results)} planted bugs found")
    return 0 if found == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
