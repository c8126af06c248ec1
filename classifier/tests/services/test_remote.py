"""Files by address: what lies there, how it comes, and that what is written is whole."""

import io
import tempfile
from pathlib import Path
from unittest import mock

import fsspec
from django.test import SimpleTestCase

from classifier.errors import ImageTooLarge, PackageMissing
from classifier.services import remote


class MemoryCase(SimpleTestCase):
    """A store that is no disk."""

    def setUp(self):
        self.store = fsspec.filesystem("memory")
        self.addCleanup(lambda: self.store.rm("/", recursive=True) if self.store.ls("/") else None)

    def put(self, path: str, data: bytes = b"x") -> None:
        self.store.pipe_file(path, data)


class FolderTests(MemoryCase):
    def places(self):
        yield "memory://out"
        yield self.enterContext(tempfile.TemporaryDirectory())
        yield Path(self.enterContext(tempfile.TemporaryDirectory())) / "a[1] b::c" / "new"

    def test_what_is_written_is_there_under_its_name_alone(self):
        for place in self.places():
            with self.subTest(place=place):
                folder = remote.Folder(place)
                self.assertEqual((folder.names("sub"), folder.read("sub/a")), ([], None))
                for text in (b"one", b"two"):
                    folder.write("sub/a", lambda file, text=text: file.write(text))
                self.assertEqual((folder.names("sub"), folder.read("sub/a")), (["sub/a"], b"two"))
                folder.remove("sub/a")
                self.assertEqual(folder.names("sub"), [])

    def test_what_could_not_be_written_is_not_there(self):
        def broken(file):
            file.write(b"half")
            raise OSError("disk full")

        for place in self.places():
            with self.subTest(place=place):
                folder = remote.Folder(place)
                with self.assertRaisesMessage(OSError, "disk full"):
                    folder.write("sub/a", broken)
                self.assertIsNone(folder.read("sub/a"))
                self.assertTrue(all(name.endswith(".part") for name in folder.names("sub")))


class FindingTests(MemoryCase):
    def test_a_folders_files_in_order_without_what_is_hidden(self):
        for name in ("b/2.png", "a.png", ".b.png", "b/__MACOSX/x", "b/._2.png", ".git/y"):
            self.put(f"/photos/{name}")
        names, hidden = remote.addresses_found("memory://photos")
        self.assertEqual((names, hidden), (["memory:///photos/a.png", "memory:///photos/b/2.png"], 4))

    def test_a_pattern_and_one_file(self):
        for name in ("1.tar", "2.tar", "notes.txt"):
            self.put(f"/s/{name}")
        self.assertEqual(remote.addresses_found("memory://s/*.tar")[0], ["memory:///s/1.tar", "memory:///s/2.tar"])
        self.assertEqual(remote.addresses_found("memory://s/gone.png"), (["memory://s/gone.png"], 0))
        with self.assertRaisesMessage(FileNotFoundError, "Nothing is called so"):
            remote.addresses_found("memory://s/*.gone")

    def test_unknown_kinds_of_address_say_what_to_install(self):
        for place in ("nowhere://bucket/a", "s3x://bucket"):
            with self.assertRaisesMessage(PackageMissing, "pip install -r requirements-ray.txt"):
                remote.files_of(place)
        missing = mock.patch("fsspec.core.url_to_fs", side_effect=ImportError("Install s3fs to access S3"))
        with missing, self.assertRaisesMessage(PackageMissing, "Install s3fs to access S3. For s3:// and gs:// run:"):
            remote.files_of("s3://bucket/a")


class FetchingTests(MemoryCase):
    def test_files_come_in_order_and_those_that_do_not_say_why(self):
        names = [f"memory://p/{number}" for number in range(2 * remote.AT_ONCE)]
        for number, name in enumerate(names):
            if number != 70:
                self.put(name.removeprefix("memory:/"), b"%d" % number)
        sources = list(remote.sources_fetched(names, asked=False))
        self.assertEqual([source.name for source in sources], names)
        with self.assertRaisesMessage(OSError, "No such file or directory"):
            sources.pop(70).open()
        numbers = [int(source.open().read()) for source in sources]
        self.assertEqual(numbers, [number for number in range(len(names)) if number != 70])

    def test_a_file_is_held_up_to_a_limit(self):
        self.put("/p/large", b"12345")
        with mock.patch.object(remote, "HELD_BYTES", 4):
            (source,) = remote.sources_fetched(["memory://p/large"], asked=True)
            with self.assertRaises(ImageTooLarge):
                source.open()

    def test_what_a_store_raises_becomes_an_error_of_that_file(self):
        with self.assertRaisesMessage(OSError, "no credentials"):
            remote.held_open(RuntimeError("no credentials"))
        self.assertIsInstance(remote.held_open(b""), io.BytesIO)
