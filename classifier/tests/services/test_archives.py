"""ZIP archives of pictures: names only, nothing hidden, no bombs."""

import io
import zipfile
from unittest import mock

from django.test import TestCase

from classifier.errors import ArchiveError, MissingImage
from classifier.services.archives import archive_entries, archive_read
from classifier.tests.photos import plain
from classifier.tests.services.test_batches import archive


class ArchiveTests(TestCase):
    def read(self, stream, most=1000, max_bytes=100_000):
        return list(archive_read(*archive_entries(stream, most=most), max_bytes=max_bytes))

    def test_names_are_names_only(self):
        paths = ("../../etc/passwd", "/root/a.png", "C:\\b.png", "x/y/c.png")
        self.assertEqual(
            [each.name for each in self.read(archive(*((path, b"1") for path in paths)))],
            ["passwd", "a.png", "b.png", "c.png"],
        )

    def test_what_programs_hide_is_passed_over(self):
        hidden = ("__MACOSX/a.png", "._a.png", ".git/b.png", "Thumbs.db", "folder/")
        self.assertEqual(
            [each.name for each in self.read(archive(*((n, b"") for n in hidden), ("a.png", b"1")))], ["a.png"]
        )

    def test_a_bomb_is_not_unpacked(self):
        (bomb,) = self.read(archive(("a.png", bytes(50_000_000))))
        self.assertEqual((bomb.data, "the limit is 0.1 MB" in bomb.error), (b"", True))

    def test_a_size_that_lies_is_not_believed(self):
        data = bytearray(archive(("a.png", bytes(5_000_000))).getvalue())
        place = data.index(b"PK\x01\x02") + 24
        data[place : place + 4] = (10).to_bytes(4, "little")
        (bomb,) = self.read(io.BytesIO(bytes(data)))
        self.assertTrue(bomb.error)
        self.assertEqual(bomb.data, b"")

    def test_what_is_damaged_inside_fails_alone(self):
        data = bytearray(archive(("a.png", b"a" * 50), ("b.png", b"b" * 50), method=zipfile.ZIP_STORED).getvalue())
        data[data.index(b"aaaa")] ^= 1
        first, second = self.read(io.BytesIO(bytes(data)))
        self.assertIn("damaged", first.error)
        self.assertEqual(second.data, b"b" * 50)

    def test_encrypted_and_oddly_packed_files_fail_alone(self):
        data = bytearray(archive(("a.png", b"1")).getvalue())
        data[data.index(b"PK\x01\x02") + 8] |= 1
        self.assertIn("encrypted", self.read(io.BytesIO(bytes(data)))[0].error)
        self.assertIn("plain ZIP", self.read(archive(("a.png", b"1"), method=zipfile.ZIP_LZMA))[0].error)

    def test_what_is_no_archive_is_refused(self):
        for stream in (
            io.BytesIO(b""),
            io.BytesIO(plain("PNG")),
            io.BytesIO(archive(("a.png", b"1")).getvalue()[:-30]),
        ):
            with self.assertRaises(ArchiveError):
                self.read(stream)
        with self.assertRaises(MissingImage):
            self.read(archive(("folder/", b"")))

    def test_more_files_than_are_taken(self):
        with self.assertRaisesMessage(ArchiveError, "3 files; send 2 pictures at most"):
            self.read(archive(*((f"{n}.png", b"1") for n in range(3))), most=2)

    def test_a_list_of_very_many_files_is_not_even_read(self):
        stream = archive(*((f"{n:0200d}", b"") for n in range(5_000)))
        with mock.patch("zipfile.ZipFile", side_effect=AssertionError), self.assertRaises(ArchiveError):
            self.read(stream)
