"""Which files of a folder are looked at."""

import os
import tempfile
from pathlib import Path
from unittest import mock

from django.test import SimpleTestCase

from classifier.services.finding import Finder, name_escaped, paths_expanded, paths_listed


class FinderTests(SimpleTestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def make(self, *names: str) -> None:
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")

    def found(self, *paths: Path) -> list[str]:
        self.finder = Finder([str(path) for path in paths or [self.folder]])
        return [os.path.relpath(source.name, self.folder) for source in self.finder]

    def test_files_of_any_ending_come_sorted_folder_by_folder(self):
        self.make("b/2.jfif", "a/deep/1", "a/x.jpg_large", "c.jpe", "b/1.txt")
        self.assertEqual(self.found(), ["a/deep/1", "a/x.jpg_large", "b/1.txt", "b/2.jfif", "c.jpe"])
        self.assertEqual(self.finder.count(), 5)

    def test_hidden_files_and_what_macos_leaves_are_passed_over_and_counted(self):
        self.make("a.jpg", ".hidden.jpg", "._a.jpg", ".cache/b.jpg", "__MACOSX/c.jpg", "in/__MACOSX/d.jpg")
        self.assertEqual(self.found(), ["a.jpg"])
        self.assertEqual(self.finder.hidden, 5)

    def test_what_is_named_is_looked_at_even_if_hidden(self):
        self.make(".hidden.jpg", ".folder/a.jpg")
        found = self.found(self.folder / ".hidden.jpg", self.folder / ".folder")
        self.assertEqual(found, [".hidden.jpg", ".folder/a.jpg"])

    def test_a_linked_folder_is_followed_once_and_circles_end(self):
        self.make("real/a.jpg", "elsewhere/b.jpg")
        (self.folder / "real/up").symlink_to(self.folder)
        (self.folder / "again").symlink_to(self.folder / "elsewhere")
        (self.folder / "self").symlink_to("self")
        self.assertEqual(self.found(), ["again/b.jpg", "real/a.jpg", "self"])  # the last cannot be opened, and is told

    def test_a_folder_named_twice_is_looked_at_once(self):
        self.make("a/1.jpg")
        self.assertEqual(self.found(self.folder, self.folder / "a"), ["a/1.jpg"])

    def test_a_link_to_a_file_that_is_gone_is_kept_to_be_told_and_a_pipe_is_left_alone(self):
        (self.folder / "gone.jpg").symlink_to("nowhere")
        os.mkfifo(self.folder / "pipe")
        self.assertEqual(self.found(), ["gone.jpg"])
        self.assertEqual(self.finder.hidden, 1)

    def test_every_folder_that_may_not_be_read_is_named(self):
        self.make("a/1.jpg", "b/1.jpg", "c/1.jpg")
        scandir = os.scandir

        def closed(path):  # root may read everything
            if Path(path).name in ("a", "c"):
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        with mock.patch("os.scandir", closed):
            self.assertEqual(self.found(), ["b/1.jpg"])
        self.assertEqual(
            self.finder.unreadable,
            [(str(self.folder / name), "Permission denied.") for name in ("a", "c")],
        )

    def test_names_that_are_not_utf8_are_found_and_escaped(self):
        odd = os.path.join(os.fsencode(self.folder), b"caf\xe9.jpg")
        with open(odd, "wb") as file:
            file.write(b"x")
        (name,) = self.found()
        with open(self.folder / name, "rb") as file:
            self.assertEqual(file.read(), b"x")
        self.assertEqual(name_escaped(name), "caf\\xe9.jpg")

    def test_control_characters_are_escaped_and_others_stay(self):
        self.assertEqual(name_escaped("a\nb\x1b[2J\u202ec é 猫.jpg"), "a\\nb\\x1b[2J\\u202ec é 猫.jpg")


class ListTests(SimpleTestCase):
    def listed(self, data: bytes) -> list[str]:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return paths_listed(file.name)

    def test_one_path_a_line_or_separated_by_nul(self):
        self.assertEqual(self.listed(b"a b.jpg\r\n\nc.jpg"), ["a b.jpg", "c.jpg"])
        self.assertEqual(self.listed(b"a\nb.jpg\0c.jpg\0"), ["a\nb.jpg", "c.jpg"])
        self.assertEqual(os.fsencode(self.listed(b"caf\xe9.jpg\n")[0]), b"caf\xe9.jpg")

    def test_a_dash_stands_for_what_stdin_lists(self):
        with mock.patch("sys.stdin") as stdin:
            stdin.buffer.read.return_value = b"b\nc\n"
            self.assertEqual(paths_expanded(["a", "-", "d"]), ["a", "b", "c", "d"])
