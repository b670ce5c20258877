"""The shipped binary when its device is lost or hangs, as tools/gpu_check shows it; here the faults are played on the CPU,
with two steps in flight."""
import os
import subprocess
import sys

from conftest import HADAL, ROOT


def test_a_lost_and_a_hung_device_end_the_server(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "tools" / "gpu_check", "faults", "--build", HADAL.parent],
                          env={**os.environ, "OUT": str(tmp_path)}, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and "2 passed, 0 failed" in done.stdout, done.stdout
