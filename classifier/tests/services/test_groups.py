"""The pieces of a job: what is in them, what an earlier run has done, and where their files come from."""

import io
import os
import tarfile
import tempfile
from pathlib import Path

import fsspec
from django.test import SimpleTestCase

from classifier.services.groups import Group, Listing
from classifier.services.shards import Earlier
from classifier.tests.photos import plain


class GroupsCase(SimpleTestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        here = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, here)

    def put(self, *names: str) -> None:
        for name in names:
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(name.encode())


class ListingTests(GroupsCase):
    def test_archives_are_groups_of_their_own_and_files_are_taken_in_order(self):
        self.put("in/1.png", "in/2.png", "in/3.tar", "in/4.png", "in/.hidden", "asked.png", "in/5.png")
        listing = Listing(["in", "asked.png"], rows=2)
        groups = listing.groups(Earlier())
        self.assertEqual(
            [(group.names, group.archive, group.asked) for group in groups],
            [
                (("in/1.png", "in/2.png"), False, False),
                (("in/3.tar",), True, False),
                (("in/4.png", "in/5.png"), False, False),
                (("asked.png",), False, True),
            ],
        )
        self.assertEqual([group.number for group in groups], [0, 1, 2, 3])
        self.assertEqual(listing.hidden, 1)

    def test_what_an_earlier_run_did_is_left_out_and_counted(self):
        self.put("1.png", "2.png", "3.png", "4.png", "a.tar", "b.tar")
        earlier = Earlier(
            {0, 2}, {"1.png"}, {"3.png"}, [{"done": 1, "failed": 1}, {"archive": "a.tar", "done": 7, "failed": 2}]
        )
        listing = Listing(["1.png", "2.png", "3.png", "4.png", "a.tar", "b.tar"], rows=10)
        groups = listing.groups(earlier)
        self.assertEqual([(group.number, group.names) for group in groups], [(1, ("2.png", "4.png")), (3, ("b.tar",))])
        self.assertEqual((listing.before, listing.failed_before), (8, 3))

    def test_names_that_are_not_utf8_are_known_again(self):
        name = os.fsdecode(b"caf\xe9.png")
        self.put("x.png")
        self.assertEqual(Listing([name], rows=10).groups(Earlier(done={"caf\\xe9.png"})), [])

    def test_how_many_files_there_are_where_no_archive_hides_more(self):
        self.put("1.png", "2.png")
        for paths, total in ((["1.png", "2.png"], 2), (["1.png", "2.png", "a.tar"], 0)):
            listing = Listing(paths, rows=1)
            listing.groups(Earlier(done={"1.png"}))
            self.assertEqual(listing.count(), total)

    def test_a_folder_that_cannot_be_listed_is_named(self):
        class Closed(fsspec.AbstractFileSystem):
            protocol = "closed"

            def isdir(self, path):
                return True

            def find(self, path):
                raise PermissionError(13, "Permission denied")

        fsspec.register_implementation("closed", Closed, clobber=True)
        self.put("1.png")
        listing = Listing(["closed://bucket", "1.png"], rows=1)
        self.assertEqual(len(listing.groups(Earlier())), 1)
        self.assertEqual(listing.unreadable, [("closed://bucket", "Permission denied.")])


class SourcesTests(GroupsCase):
    def read(self, group: Group) -> list[tuple[str, bytes]]:
        return [(source.name, source.open().read()) for source in group.sources()]

    def test_relative_names_begin_where_the_job_was_begun(self):
        self.put("1.png")
        (group,) = Listing(["1.png"], rows=1).groups(Earlier())
        os.chdir("/")
        self.assertEqual(self.read(group), [("1.png", b"1.png")])

    def test_files_and_archives_at_addresses(self):
        store = fsspec.filesystem("memory")
        self.addCleanup(store.rm, "/photos", recursive=True)
        data, stream = plain("PNG", "red"), io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            member = tarfile.TarInfo("7.png")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        store.pipe_file("/photos/a.tar", stream.getvalue())
        store.pipe_file("/photos/b.png", b"picture")
        self.put("1.png")
        groups = Listing(["memory://photos", "1.png"], rows=5).groups(Earlier())
        found = [pair for group in groups for pair in self.read(group)]
        self.assertEqual(
            found,
            [("memory:///photos/a.tar/7.png", data), ("memory:///photos/b.png", b"picture"), ("1.png", b"1.png")],
        )
