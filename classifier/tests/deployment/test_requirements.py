"""What gets installed is what was chosen: pinned, hashed, the same in every file, and torch without CUDA."""

import re
from pathlib import Path

from django.test import SimpleTestCase
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[3]
SOURCES = sorted(ROOT.glob("requirements*.in"))
LOCKS = [source.with_suffix(".txt") for source in SOURCES]


def lines(path):
    """Logical lines, without comments."""
    text = re.sub(r"(^|\s)#.*", "", path.read_text().replace("\\\n", ""), flags=re.MULTILINE)
    return [line.strip() for line in text.splitlines() if line.strip()]


def pins(path):
    """(requirement, its SHA-256 hashes) for each line that names a package."""
    for line in lines(path):
        if not line.startswith("-"):
            pin, *hashes = re.split(r"\s+--hash=sha256:", line)
            yield Requirement(pin), hashes


def included(path):
    return [ROOT / line.removeprefix("-r ") for line in lines(path) if line.startswith("-r ")]


def versions(path):
    """{package: its versions without local labels}, with what the file includes."""
    found = {}
    for file in included(path):
        found |= versions(file)
    for requirement, _ in pins(path):
        version = Version(str(requirement.specifier).removeprefix("==")).public
        found.setdefault(canonicalize_name(requirement.name), set()).add(version)
    return found


class RequirementsTests(SimpleTestCase):
    def test_every_package_is_pinned_and_hashed(self):
        for path in LOCKS:
            for requirement, hashes in pins(path):
                with self.subTest(file=path.name, requirement=str(requirement)):
                    self.assertRegex(str(requirement.specifier), r"^==[^*,]+$")
                    self.assertTrue(hashes)
                    for each in hashes:
                        self.assertRegex(each, r"^[0-9a-f]{64}$")

    def test_direct_dependencies_are_locked_as_they_are_chosen(self):
        for source, lock in zip(SOURCES, LOCKS, strict=True):
            locked = versions(lock)
            for name, version in versions(source).items():
                with self.subTest(file=lock.name, package=name):
                    self.assertEqual(locked.get(name), version)
            self.assertEqual([path.stem for path in included(lock)], [path.stem for path in included(source)])

    def test_no_package_has_two_versions(self):
        merged = {}
        for path in LOCKS:
            for name, found in versions(path).items():
                merged.setdefault(name, set()).update(found)
        self.assertEqual({name: found for name, found in merged.items() if len(found) > 1}, {})


class TorchTests(SimpleTestCase):
    """PyPI's Linux wheels of torch bring CUDA; those of script/torch.sha256 do not."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rows = (line.split() for line in lines(ROOT / "script/torch.sha256"))
        cls.table = {file: sha256 for sha256, file in rows}

    def locked(self, name, **environment):
        """Specifier and hashes of the line that pip takes on such a system."""
        [line] = [
            (str(requirement.specifier), set(hashes))
            for requirement, hashes in pins(ROOT / "requirements.txt")
            if requirement.name == name and (not requirement.marker or requirement.marker.evaluate(environment))
        ]
        return line

    def wheels(self, prefix):
        return {sha256 for file, sha256 in self.table.items() if file.startswith(prefix)}

    def test_linux_takes_the_cpu_build_alone(self):
        specifier, hashes = self.locked("torch", sys_platform="linux")
        version = specifier.removeprefix("==")
        self.assertTrue(version.endswith("+cpu"))
        self.assertEqual(hashes, self.wheels(f"torch-{version}-"))
        self.assertIn("--extra-index-url https://download.pytorch.org/whl/cpu", lines(ROOT / "requirements.txt"))

    def test_other_systems_take_their_own_wheels(self):
        for system, tag in [("darwin", "macosx"), ("win32", "win_amd64")]:
            with self.subTest(system=system):
                specifier, hashes = self.locked("torch", sys_platform=system)
                prefix = f"torch-{specifier.removeprefix('==')}-"
                self.assertEqual(hashes, self.wheels(prefix))
                self.assertTrue(any(file.startswith(prefix) and tag in file for file in self.table))

    def test_the_table_names_no_linux_wheel_of_pypi(self):
        linux = [file for file in self.table if "linux" in file]
        self.assertTrue(linux)
        self.assertEqual([file for file in linux if "+cpu-" not in file], [])

    def test_torchvision_may_be_the_cpu_build_or_the_one_on_pypi(self):
        specifier, hashes = self.locked("torchvision", sys_platform="linux")
        cpu = self.wheels(f"torchvision-{specifier.removeprefix('==')}+cpu-")
        self.assertTrue(cpu)
        self.assertLess(cpu, hashes)

    def test_torchvision_has_a_cpu_build_wherever_torch_has(self):
        def builds(name):
            return {file.split("+cpu-")[1] for file in self.table if file.startswith(f"{name}-") and "+cpu-" in file}

        self.assertEqual(len(builds("torch")), 6)
        self.assertEqual(builds("torchvision"), builds("torch"))
