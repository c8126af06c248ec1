import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from django.test import SimpleTestCase

from classifier.pictures import pixels
from classifier.tests import fuzz

ROOT = Path(__file__).resolve().parents[3]
CASES = int(os.environ.get("FUZZ_CASES", "20000"))
SEED = int(os.environ.get("FUZZ_SEED", str(fuzz.SEED)))
WORKERS = 2


def run(first, last):
    """The report of one worker; of one that died, which case did it."""
    with tempfile.NamedTemporaryFile() as at:
        done = subprocess.run(
            [sys.executable, "-m", "classifier.tests.fuzz", str(first), str(last), str(SEED)],
            cwd=ROOT, env={**os.environ, "FUZZ_AT": at.name}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            return {"cases": 0, "failed": [f"exit {done.returncode} at case {at.read().decode()}"], "outcomes": {}}
        return json.loads(done.stdout)


class FuzzTests(SimpleTestCase):
    def test_damaged_pictures_of_every_format_are_read_or_refused(self):
        """FUZZ_CASES and FUZZ_SEED change how many and which; `python -m classifier.tests.fuzz N N+1` runs one."""
        share = -(-CASES // WORKERS)
        with ThreadPoolExecutor(WORKERS) as pool:
            reports = list(
                pool.map(run, range(0, CASES, share), (min(n + share, CASES) for n in range(0, CASES, share)))
            )
        self.assertEqual([failure for report in reports for failure in report["failed"]], [])
        self.assertEqual(sum(report["cases"] for report in reports), CASES)
        for report in reports:
            self.assertEqual(set(report["outcomes"]), set(pixels.READERS))
            for name, counts in report["outcomes"].items():
                with self.subTest(
                    name=name, counts=counts
                ):  # both are reached, or the fuzzer is too gentle or too rough
                    self.assertGreater(counts["read"], 0)
                    self.assertGreater(counts["BrokenImage"], 0)

    def test_a_case_is_the_same_bytes_every_time(self):
        pictures = fuzz.seeds()
        for number in range(20):
            self.assertEqual(fuzz.mutated(number, SEED, pictures), fuzz.mutated(number, SEED, pictures))
        self.assertNotEqual(fuzz.mutated(0, SEED, pictures), fuzz.mutated(0, SEED + 1, pictures))
