#!/usr/bin/env python3
"""Runs every test of the house in stages and counts them; `./check` calls it after installing packages."""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
RESULTS = BUILD / "results"
JOBS = str(os.cpu_count() or 2)


@dataclasses.dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __iadd__(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        return self


PASS, FAIL = Count(passed=1), Count(failed=1)


def note(text):
    print(text, flush=True)


def run(command, log, env=None, timeout=None):
    """Runs a command with its output in a file; on failure prints the file's end. Returns whether it exited 0."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        try:
            code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, timeout=timeout,
                                  env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL).returncode
        except subprocess.TimeoutExpired:
            code = f"none after {timeout} s"
    if code != 0:
        note(f"    FAILED (exit {code}): {' '.join(map(str, command))}")
        note("".join("    | " + line for line in open(log, errors="replace").readlines()[-40:]))
    return code == 0


def build(preset, *targets):
    folder = BUILD / preset
    if not (folder / "build.ninja").exists():
        if not run(["cmake", "--preset", preset], RESULTS / f"configure-{preset}.log"):
            return False
    return run(["cmake", "--build", str(folder), "--parallel", JOBS] + (["--target", *targets] if targets else []),
               RESULTS / f"build-{preset}.log", env={"CCACHE_NOHASHDIR": "1", "CCACHE_BASEDIR": str(ROOT)})


def gtest(binary, name, env=None, timeout=1800, leave_out=None):
    """Counts the cases of one GoogleTest binary. A binary that dies counts as one failure more."""
    report = RESULTS / f"{name}.json"
    report.unlink(missing_ok=True)
    leave_out = [f"--gtest_filter=-{leave_out}"] if leave_out else []
    ok = run([binary, f"--gtest_output=json:{report}", "--gtest_brief=1", *leave_out], RESULTS / f"{name}.log", env, timeout)
    count = Count()
    if report.exists():
        for suite in json.loads(report.read_text()).get("testsuites", []):
            for case in suite["testsuite"]:
                if case.get("failures"):
                    count.failed += 1
                elif case["result"] == "SKIPPED":
                    count.skipped += 1
                    note(f"    skipped: {suite['name']}.{case['name']}")
                elif case["result"] == "COMPLETED":
                    count.passed += 1
    if not ok and count.failed == 0:
        count.failed += 1
    if count.passed + count.failed + count.skipped == 0:
        note(f"    {name}: no test ran")
        count.failed += 1
    return count


def room_tests(preset, env=None, only=None, leave_out=None, timeout=1800):
    """`leave_out`: {room: gtest pattern} of cases that this stage does not run."""
    count = Count()
    binaries = sorted((BUILD / preset).glob("**/hadal_*_test"))
    for binary in binaries:
        room = re.sub(r"^hadal_|_test$", "", binary.name)
        if only and room not in only:
            continue
        started = time.monotonic()
        found = gtest(binary, f"{preset}-{room}", env, timeout, (leave_out or {}).get(room))
        note(f"    {room}: {found.passed} passed, {found.failed} failed ({time.monotonic() - started:.0f} s)")
        count += found
    if not binaries:
        note("    no test binaries found")
        return FAIL
    return count


def pytest(folder, name, env=None, timeout=1800):
    python = venv()
    if python is None:
        return FAIL
    report = RESULTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    ok = run([python, "-m", "pytest", "-q", f"--junitxml={report}", folder],
             RESULTS / f"{name}.log", env, timeout)
    count = Count()
    if report.exists():
        for suite in xml.parse(report).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped = int(suite.get("skipped", 0))
            count += Count(int(suite.get("tests", 0)) - bad - skipped, bad, skipped)
    if not ok and count.failed == 0:
        count.failed += 1
    return count


def venv(name="venv", requirements="tests/requirements.txt", *options):
    """A virtual environment, by default that of the Python tests, made once and again when its list changes."""
    folder = BUILD / name
    python = folder / "bin" / "python"
    wanted = (ROOT / requirements).read_text()
    stamp = folder / "requirements.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    if folder.exists():
        shutil.rmtree(folder)
    if not run([sys.executable, "-m", "venv", str(folder)], RESULTS / f"{name}.log"):
        return None
    if not run([python, "-m", "pip", "install", "-q", *options, "-r", requirements], RESULTS / f"pip-{name}.log"):
        return None
    stamp.write_text(wanted)
    return python


# ---- stages ----------------------------------------------------------------------------------------------------------

SANITIZER_ENV = {"ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=0",
                 "UBSAN_OPTIONS": "print_stacktrace=1",
                 "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1"}


def stage_layers():
    return PASS if run([sys.executable, "tools/check_layers.py"], RESULTS / "layers.log") else FAIL


def stage_release():
    if not build("release"):
        return FAIL
    return room_tests("release")


def stage_isa():
    """No vector registers outside the ISA translation units (docs/contracts/device.md)."""
    return PASS if run([sys.executable, "tools/check_isa.py", str(BUILD / "release")], RESULTS / "isa.log") else FAIL


def stage_e2e():
    if not (BUILD / "release" / "hadal").exists() and not build("release", "hadal"):
        return FAIL
    # its pins and those of the other clients do not go together
    if venv("venv-lm-eval", "tests/e2e/lm_eval/requirements.txt", "--no-deps") is None:
        return FAIL
    return pytest("tests/e2e", "e2e")


def stage_tools():
    return pytest("tools", "tools")


def stage_asan():
    if not build("asan"):
        return FAIL
    # the wide cases' 2,500 tokens take minutes under sanitizers; the small ones walk the same code
    return room_tests("asan", SANITIZER_ENV, leave_out={"oracle": "*wide*"})


def stage_corpora():
    """Every fuzz corpus through its target, under ASan and UBSan."""
    if not build("asan"):
        return FAIL
    count = Count()
    for target in sorted((BUILD / "asan" / "fuzz").glob("fuzz_*")):
        if not target.is_file() or not os.access(target, os.X_OK):
            continue
        name = target.name.removeprefix("fuzz_")
        ok = run([target, f"fuzz/corpus/{name}"], RESULTS / f"corpus-{name}.log", SANITIZER_ENV, 600)
        count += PASS if ok else FAIL
    return count if count.passed + count.failed else FAIL


TSAN_ROOMS = ("base", "telemetry", "kernels", "http", "engine", "server")


def stage_tsan():
    targets = [f"hadal_{room}_test" for room in TSAN_ROOMS]
    if not build("tsan", *targets):
        return FAIL
    # every kernel under TSan takes minutes (--full); the server's tests run the demo model's on several threads
    return room_tests("tsan", SANITIZER_ENV, only=TSAN_ROOMS, leave_out={"kernels": "Ref*:TwinHarness.*:Ops/CpuTwin.*"})


def stage_tsan_kernels():
    """All kernels, all instruction sets, under ThreadSanitizer."""
    if not build("tsan", "hadal_kernels_test"):
        return FAIL
    return room_tests("tsan", SANITIZER_ENV, only=("kernels",))


def stage_portable():
    """The engine binary must need glibc alone."""
    if not build("portable", "hadal"):
        return FAIL
    return PASS if run([sys.executable, "tools/check_portable.py", str(BUILD / "portable" / "hadal")],
                       RESULTS / "portable.log") else FAIL


def stage_cuda():
    """The GPU backend compiles and needs glibc alone besides the driver; tools/gpu_check runs it where there is a GPU."""
    nvcc = find_nvcc()
    if nvcc is None:
        note("    skipped: no nvcc on PATH or in /usr/local/cuda/bin")
        return Count(skipped=1)
    os.environ["PATH"] += os.pathsep + str(nvcc.parent)
    if not build("cuda", "hadal", "hadal_cuda", "hadal_fault", "hadal_cuda_test", "hadal_oracle_test", "hadal_pipeline_test"):
        return FAIL
    count = Count()
    for name in ("hadal", "libhadal_cuda.so", "hadal_cuda_test", "hadal_oracle_test", "hadal_pipeline_test"):
        ok = run([sys.executable, "tools/check_portable.py", str(BUILD / "cuda" / name)], RESULTS / f"cuda-{name}.log")
        count += PASS if ok else FAIL
    return count


def find_nvcc():
    """Its path, or None; on PATH or where NVIDIA's packages put it."""
    found = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    return None if found is None else pathlib.Path(found)


def stage_ampere():
    """Every kernel compiles for the oldest GPU that is supported, where nothing of Hopper is there. Device code alone and
    little optimised; preset cuda-release builds the real thing."""
    nvcc = find_nvcc()
    if nvcc is None:
        note("    skipped: no nvcc on PATH or in /usr/local/cuda/bin")
        return Count(skipped=1)
    kernels = sorted((ROOT / "src" / "kernels" / "cuda" / "kernels").glob("*.cu"))
    options = subprocess.run([nvcc, "--help"], capture_output=True, text=True).stdout
    hasty = "-Ofc=mid" if "--Ofast-compile" in options else "-Xptxas=-O1"

    def compiles(kernel):
        return run([nvcc, "-arch=sm_80", "-cubin", "-o", os.devnull, hasty, "-std=c++20", "--expt-relaxed-constexpr",
                    "-DFMT_HEADER_ONLY=1", f"-I{ROOT / 'src'}", kernel], RESULTS / f"ampere-{kernel.stem}.log")

    with concurrent.futures.ThreadPoolExecutor(int(JOBS)) as pool:
        return sum_counts(PASS if good else FAIL for good in pool.map(compiles, kernels))


def sum_counts(counts):
    total = Count()
    for count in counts:
        total += count
    return total


def fuzz_targets():
    return sorted("fuzz_" + source.name.removesuffix("_fuzz.cc") for source in (ROOT / "fuzz").glob("*_fuzz.cc"))


def stage_fuzz():
    """Coverage-guided fuzzing, some minutes a target."""
    if not build("fuzz", *fuzz_targets()):
        return FAIL
    count = Count()
    for target in (BUILD / "fuzz" / "fuzz" / name for name in fuzz_targets()):
        name = target.name.removeprefix("fuzz_")
        found = BUILD / "found" / name
        found.mkdir(parents=True, exist_ok=True)
        seconds = os.environ.get("HADAL_FUZZ_SECONDS", "120")
        ok = run([target, f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=4096",
                  f"-artifact_prefix={found}/", str(found), f"fuzz/corpus/{name}"],
                 RESULTS / f"fuzz-{name}.log", SANITIZER_ENV)
        note(f"    {name}: {'clean' if ok else 'CRASH, see ' + str(found)}")
        count += PASS if ok else FAIL
    return count if count.passed + count.failed else FAIL


def stage_planted():
    """Bugs planted for the purpose, which the fuzz targets must find."""
    report = RESULTS / "planted.json"
    report.unlink(missing_ok=True)
    ok = run([sys.executable, "tools/planted_bugs.py", "--report", report,
              "--seconds", os.environ.get("HADAL_PLANTED_SECONDS", "60")], RESULTS / "planted.log")
    if not report.exists():
        return FAIL
    found = [bug["found"] for bug in json.loads(report.read_text())]
    if ok != all(found):
        note("    the tool's exit and its report do not agree")
        return FAIL
    return Count(found.count(True), found.count(False))


def stage_coverage():
    """The corpora reach 80% of their parsers' lines."""
    if not build("coverage", *fuzz_targets()):
        return FAIL
    return PASS if run([sys.executable, "tools/fuzz_coverage.py"], RESULTS / "coverage.log") else FAIL


def stage_mutants():
    """Every planted bug is found by the engine's stress test (tests/mutants)."""
    ok = run([sys.executable, "tools/mutants.py"], RESULTS / "mutants.log", timeout=3600)
    return Count(passed=(RESULTS / "mutants.log").read_text().count(": found ("), failed=0 if ok else 1)


def stage_soak():
    return pytest("tests/soak", "soak", timeout=3600)


STAGES = {"layers": stage_layers, "release": stage_release, "isa": stage_isa, "e2e": stage_e2e, "tools": stage_tools,
          "asan": stage_asan, "corpora": stage_corpora, "tsan": stage_tsan, "mutants": stage_mutants,
          "portable": stage_portable, "ampere": stage_ampere, "cuda": stage_cuda}
FULL_STAGES = {"tsan_kernels": stage_tsan_kernels, "coverage": stage_coverage, "fuzz": stage_fuzz,
               "planted": stage_planted, "soak": stage_soak}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="fuzzing and soak tests besides")
    parser.add_argument("--only", action="append", default=[], help="only stages whose names contain this")
    parser.add_argument("--list", action="store_true", help="show the stages")
    arguments = parser.parse_args()
    stages = {**STAGES, **(FULL_STAGES if arguments.full or arguments.only else {})}
    if arguments.list:
        print("\n".join([*STAGES, *(f"{name} (--full)" for name in FULL_STAGES)]))
        return 0
    if arguments.only:
        stages = {name: stage for name, stage in stages.items() if any(part in name for part in arguments.only)}
    RESULTS.mkdir(parents=True, exist_ok=True)
    total = Count()
    for number, (name, stage) in enumerate(stages.items(), 1):
        started = time.monotonic()
        note(f"[{number}/{len(stages)}] {name}")
        count = stage()
        total += count
        note(f"    {name}: {count.passed} passed, {count.failed} failed, {count.skipped} skipped, "
             f"{time.monotonic() - started:.0f} s")
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    note(f"{total.passed} passed, {total.failed} failed{skipped}")
    return 1 if total.failed or total.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
