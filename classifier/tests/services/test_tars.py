"""Pictures out of tar files: which, how they are called, and that damage is neither missed nor fatal."""

import io
import tarfile
from unittest import mock

from django.test import SimpleTestCase

from classifier.errors import BrokenImage, ImageTooLarge
from classifier.services import remote, tars
from classifier.services.bulk import pictures_embed
from classifier.tests.colour_engine import ColourEngine
from classifier.tests.photos import plain


def tar(files: dict[str, bytes], **options) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", **options) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


class Unseekable(io.RawIOBase):
    """As a network gives it."""

    def __init__(self, data: bytes):
        self.inner = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.inner.readinto(buffer)


class TarTests(SimpleTestCase):
    def embed(self, data: bytes) -> list[tuple[str, str, bool]]:
        """(name, error, whether there is a value) of all that is not passed over."""
        sources = tars.tar_sources(Unseekable(data), "s.tar")
        results = pictures_embed(sources, loaded=ColourEngine(), batch=2)
        return [(each.source.name, each.error, each.value is not None) for each in results if not each.passed_over]

    def pictures(self, count: int) -> dict[str, bytes]:
        return {f"{number}.png": plain("PNG", "red", (32, 24)) for number in range(count)}

    def test_pictures_are_found_by_what_is_in_them_and_named_after_the_archive(self):
        files = {"a/1.seg": plain("PNG", "red"), "a/1.cls": b"7", "a/1.json": b"{}", "2.jpg": b"\xff\xd8\xffx"}
        found = self.embed(tar(files))
        self.assertEqual([(name, ok) for name, _, ok in found], [("s.tar/a/1.seg", True), ("s.tar/2.jpg", False)])
        self.assertIn("damaged", found[1][1])

    def test_nothing_but_files_that_show(self):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
                member = tarfile.TarInfo("link.png")
                member.type, member.linkname = kind, "/etc/passwd"
                archive.addfile(member)
            for name in (".hidden.png", "__MACOSX/1.png", "a/._1.png", "../../up.png"):
                member = tarfile.TarInfo(name)
                member.size = len(plain("PNG", "red"))
                archive.addfile(member, io.BytesIO(plain("PNG", "red")))
        self.assertEqual([name for name, _, _ in self.embed(stream.getvalue())], ["s.tar/../../up.png"])

    def test_long_and_odd_names_in_each_format(self):
        name = "ä" * 150 + ".png"
        for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            found = self.embed(tar({name: plain("PNG", "red")}, format=form))
            self.assertEqual(found, [(f"s.tar/{name}", "", True)])

    def test_damage_ends_an_archive_with_an_error_after_what_came_before(self):
        whole = tar(self.pictures(4))
        size = 1024  # of each: a header and a block
        header = bytearray(whole)
        header[2 * size : 2 * size + 100] = b"\xff" * 100
        cases = {"no archive": b"nothing", "empty": b"", "header": bytes(header)}
        cases |= {"cut in a header": whole[: 2 * size + 100], "cut in a file": whole[: 2 * size + 520]}
        for case, data in cases.items():
            with self.subTest(case):
                *found, last = self.embed(data)
                self.assertEqual((last[0], last[2]), ("s.tar", False))
                self.assertIn("This archive is damaged or cut short", last[1])
                self.assertEqual(len(found), 2 if len(data) > 10 else 0)
                self.assertTrue(all(ok for _, _, ok in found))

    def test_every_cut_is_told_or_loses_nothing(self):
        whole, size = tar(self.pictures(3)), 1024
        for cut in range(0, 3 * size, 64):
            with self.subTest(cut=cut):
                found = self.embed(whole[:cut])
                length = len(self.pictures(1)["0.png"])  # behind a header of 512, and before zeros up to 1024
                self.assertEqual(sum(ok for _, _, ok in found), cut // size + (cut % size >= 512 + length))
                self.assertEqual(any(error for _, error, _ in found), not cut or cut % size != 0)

    def test_a_file_and_a_header_have_limits(self):
        with mock.patch.object(remote, "HELD_BYTES", 40), mock.patch.object(tars, "HELD_BYTES", 40):
            (source,) = tars.tar_sources(io.BytesIO(tar({"a.png": b"x" * 100})), "s.tar")
            with self.assertRaises(ImageTooLarge):
                source.open()
        long = tar({"n" * 2_000_000: b"", "b.png": plain("PNG", "red")}, format=tarfile.GNU_FORMAT)
        (source,) = tars.tar_sources(io.BytesIO(long), "s.tar")
        with self.assertRaises(BrokenImage):
            source.open()

    def test_many_files_are_not_all_held(self):
        data = tar({f"{number}.txt": b"x" for number in range(300)})
        sources = tars.tar_sources(io.BytesIO(data), "s.tar")
        with mock.patch.object(tars.Member, "__del__", create=True) as gone:
            for _ in sources:
                pass
        self.assertGreater(gone.call_count, 250)
