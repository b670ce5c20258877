"""The planted bugs' patches fit the source, and the tool that plants them says so when one does not (nothing is built)."""
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import planted_bugs  # noqa: E402

TARGETS = sorted(path.name.removesuffix("_fuzz.cc") for path in (planted_bugs.ROOT / "fuzz").glob("*_fuzz.cc"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted") / "source"
    folder.mkdir()
    planted_bugs.sync(folder)
    return folder


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_bugs(target):
    assert len(planted_bugs.bugs([f"{target}/"])) >= 4


def test_no_bug_is_without_a_target():
    assert {bug.split("/")[0] for bug in planted_bugs.bugs()} == set(TARGETS)


@pytest.mark.parametrize("bug", planted_bugs.bugs())
def test_patch_applies_and_is_taken_out_again(copy, bug):
    patch = (planted_bugs.PLANTED / f"{bug}.patch").read_text()
    reason, diff = patch.split("\n\n", 1)
    assert reason and diff.startswith("--- a/src/"), "its first lines say what was done"
    assert sum(line[0] in "+-" for line in diff.splitlines()[2:] if line) <= 12, "a few lines"
    before = {name: (copy / name).read_bytes() for name in planted_bugs.source_files(copy)}
    assert planted_bugs.plant(copy, bug) == ""
    changed = [name for name, text in before.items() if (copy / name).read_bytes() != text]
    assert len(changed) == 1
    planted_bugs.sync(copy)
    assert (copy / changed[0]).read_bytes() == before[changed[0]]


def test_a_patch_that_does_not_apply_is_a_failure(copy, tmp_path, monkeypatch):
    bug = planted_bugs.bugs()[0]
    (tmp_path / bug).parent.mkdir(parents=True)
    text = (planted_bugs.PLANTED / f"{bug}.patch").read_text()
    (tmp_path / f"{bug}.patch").write_text(text.replace("\n-", "\n-what nobody wrote ", 2))
    monkeypatch.setattr(planted_bugs, "PLANTED", tmp_path)
    hunt = planted_bugs.Hunt(copy.parent, 1)
    result = hunt.hunt(bug)
    assert not result.found and "does not apply" in result.how


def test_a_file_that_is_gone_leaves_the_copy_too(copy):
    stray = copy / "src" / "stray.cc"
    stray.write_text("int stray;\n")
    planted_bugs.sync(copy)
    assert not stray.exists()


@pytest.mark.parametrize("log, said", [
    ("==1==ERROR: AddressSanitizer: heap-buffer-overflow on address\n    #0 0x55 in memcpy (/lib/x)\n"
     "    #1 0x56 in hadal::f(int) /home/me/hadal/src/http/message.cc:61:9\n", "heap-buffer-overflow at src/http/message.cc:61"),
    ("/h/src/a.cc:3:5: runtime error: division by zero\n    #0 0x1 in g /h/build/fuzz/../../src/a.cc:3:5\n",
     "runtime error: division by zero at src/a.cc:3"),
    ("terminate called after throwing an instance of 'std::out_of_range'\n==1== ERROR: libFuzzer: deadly signal\n",
     "std::out_of_range"),
    ("==1== ERROR: libFuzzer: timeout after 20 seconds\n", "timeout"),
    ("==1== ERROR: libFuzzer: deadly signal\n    #7 0x1 in LLVMFuzzerTestOneInput /h/fuzz/http_fuzz.cc:80:5\n",
     "abort at fuzz/http_fuzz.cc:80"),
    ("==1== ERROR: libFuzzer: deadly signal\n    #7 0x1 in LLVMFuzzerTestOneInput /h/fuzz/http_fuzz.cc\n    #8 0x2 in f (/h/x)\n",
     "abort at fuzz/http_fuzz.cc")])
def test_a_log_becomes_one_line(log, said):
    assert planted_bugs.describe(log) == said


def test_nothing_to_plant_is_a_failure():
    tool = pathlib.Path(planted_bugs.__file__)
    assert subprocess.run([sys.executable, tool, "no/such_bug"], capture_output=True).returncode != 0
