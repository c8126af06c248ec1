"""Pages that were read once are given back, and what lies on them still works."""

import subprocess
import sys
from unittest import TestCase, skipUnless

TRY = """
import numpy, torch
from classifier.capacity.resident import release_unused

def resident():
    return sum(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Pss:"))

weights = torch.ones(300, 200)
before = resident()
assert release_unused() > 0
after = resident()
answer = torch.nn.functional.gelu(torch.ones(2, 200) @ weights.T).sum().item()
answer += float(numpy.linalg.inv(numpy.eye(3)).sum())
print(before - after, answer)
"""


class ReleaseTests(TestCase):
    @skipUnless(sys.platform == "linux", "needs /proc")
    def test_torch_takes_less_and_computes_the_same(self):
        done = subprocess.run([sys.executable, "-c", TRY], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        released, answer = done.stdout.split()
        self.assertGreater(int(released), 20_000)  # kB
        self.assertAlmostEqual(float(answer), 2 * 300 * 200 + 3, places=0)
