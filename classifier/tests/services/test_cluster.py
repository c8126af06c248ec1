"""What an actor does with a group, in this process and into a store that is no disk; and how many actors there are."""

import dataclasses
import io
import sys
import tarfile
from pathlib import Path
from unittest import mock

import fsspec
import numpy as np
import pyarrow.parquet as pq
from django.test import SimpleTestCase

from classifier.engine import Config
from classifier.errors import ModelUnavailable, OutputMismatch, PackageMissing
from classifier.services import cluster
from classifier.services.groups import Listing
from classifier.services.outputs import Classifications, Embeddings
from classifier.services.remote import Folder
from classifier.services.shards import Earlier
from classifier.tests.colour_engine import ColourEngine, place
from classifier.tests.photos import plain

CONFIG = Config(model="colours", model_dir=Path("/nowhere"))
RUN = {"model": "colours", "run": "1"}


class JobTests(SimpleTestCase):
    def setUp(self):
        self.engine, self.output = ColourEngine(), "memory://out"
        self.store = fsspec.filesystem("memory")
        self.addCleanup(lambda: self.store.rm("/", recursive=True) if self.store.ls("/") else None)
        for name, colour in (("1", "red"), ("2", "blue"), ("3", "red"), ("4", "blue")):
            self.store.pipe_file(f"/in/{name}.png", plain("PNG", colour))
        self.store.pipe_file("/in/notes.txt", b"no picture")

    def run_job(self, output, paths=("memory://in",), rows=2) -> list[cluster.Report]:
        """As a cluster would do it: what is left, a group at a time."""
        self.listing = Listing(paths, rows)
        job = cluster.Job(CONFIG, self.engine.info, output, lanes=2)
        groups = self.listing.groups(output.begin(self.engine.info))
        return [job.do(group, self.engine) for group in groups]

    def table(self, name: str) -> dict[str, list]:
        folder = Folder(self.output)
        tables = []
        for each in sorted(folder.names(name)):
            with folder.open(each) as file:
                tables.append(pq.read_table(file).to_pydict())
        return {key: [value for table in tables for value in table[key]] for key in tables[0]}

    def classifications(self, **changes) -> Classifications:
        return dataclasses.replace(Classifications(self.output, RUN, None, 2), **changes)

    def test_embeddings_are_laid_out_as_without_a_cluster(self):
        reports = self.run_job(Embeddings(self.output))
        self.assertEqual([report.tally.done for report in reports], [2, 2, 0])
        folder = Folder(self.output)
        self.assertEqual(sorted(folder.names("img_emb")), ["img_emb/img_emb_0.npy", "img_emb/img_emb_1.npy"])
        with folder.open("img_emb/img_emb_0.npy") as file:
            vectors = np.load(io.BytesIO(file.read()))
        np.testing.assert_allclose(vectors, [place((255, 0, 0)), place((0, 0, 255))], atol=1e-3)
        names = self.table("metadata")["image_path"]
        self.assertEqual(names, [f"memory:///in/{number}.png" for number in range(1, 5)])

    def test_classifications_have_labels_scores_or_an_error(self):
        self.store.pipe_file("/in/2.png", b"\x89PNG\r\n\x1a\n")
        (report, *_) = self.run_job(self.classifications(), rows=10)
        table = self.table("predictions")
        self.assertEqual(list(table), ["path", "labels", "scores", "error"])
        self.assertEqual(table["labels"][0], ["red thing", "blue thing"])
        self.assertAlmostEqual(sum(table["scores"][0]), 1)
        self.assertEqual((table["labels"][1], table["scores"][1]), (None, None))
        self.assertIn("damaged", table["error"][1])
        self.assertEqual([bool(error) for error in table["error"]], [False, True, False, False])
        self.assertEqual((report.tally.done, report.tally.failed, report.tally.passed_over), (3, 1, 1))
        self.assertEqual([name for name, _ in report.errors], ["memory:///in/2.png"])

    def test_a_shard_that_is_whole_is_not_done_again(self):
        for output, table in (
            (Embeddings("memory://e"), "metadata"),
            (Classifications("memory://c", RUN, None, 2), "predictions"),
        ):
            with self.subTest(table=table):
                self.output = output.place
                self.store.pipe_file("/in/2.png", b"\x89PNG\r\n\x1a\n")
                self.run_job(output)
                self.store.rm_file(f"/{self.output[-1]}/{table}/{table}_1.parquet")
                self.store.pipe_file(f"/{self.output[-1]}/{table}/{table}_7.parquet.1.part", b"half")
                self.engine.pictures_seen = 0
                self.run_job(output)
                self.assertEqual(self.engine.pictures_seen, 2)
                self.assertEqual((self.listing.before, self.listing.failed_before), (1, 1))
                self.run_job(output)
                self.assertEqual(self.engine.pictures_seen, 2)
                self.assertEqual((self.listing.before, self.listing.failed_before), (3, 1))
                self.assertFalse([name for name in Folder(self.output).names(table) if name.endswith(".part")])

    def test_an_archive_is_done_once_and_its_damaged_picture_is_a_row(self):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for name, data in (("1.png", plain("PNG", "red")), ("2.png", b"\x89PNG\r\n\x1a\n"), ("2.txt", b"caption")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        self.store.pipe_file("/tars/0.tar", stream.getvalue())
        for output in (self.classifications(place="memory://c"), Embeddings("memory://e")):
            (report,) = self.run_job(output, ["memory://tars"])
            self.assertEqual((report.tally.done, report.tally.failed, report.tally.passed_over), (1, 1, 1))
            self.assertEqual(self.run_job(output, ["memory://tars"]), [])
            self.assertEqual((self.listing.before, self.listing.failed_before), (1, 1))
        self.output = "memory://e"
        self.assertEqual(self.table("failed")["path"], ["memory:///tars/0.tar/2.png"])
        self.assertEqual(self.table("metadata")["image_path"], ["memory:///tars/0.tar/1.png"])

    def test_a_group_that_cannot_be_read_or_written_is_told_and_leaves_nothing(self):
        (report,) = self.run_job(self.classifications(), ["memory://gone.tar"])
        self.assertEqual((report.trouble, report.tally.done), ("No such file or directory.", 0))
        with mock.patch.object(Folder, "write", side_effect=OSError(28, "No space left on device")):
            job = cluster.Job(CONFIG, self.engine.info, self.classifications())
            (group, *_) = Listing(["memory://in"], 2).groups(Earlier())
            self.assertEqual(job.do(group, self.engine).trouble, "No space left on device.")

    def test_another_runs_folder_is_left_alone(self):
        self.run_job(self.classifications())
        with self.assertRaisesMessage(OutputMismatch, "name another folder"):
            self.run_job(self.classifications(run={"model": "colours", "run": "2"}))
        self.run_job(Embeddings("memory://e"))
        self.engine = ColourEngine(weights_sha256="f" * 64)
        with self.assertRaisesMessage(OutputMismatch, "another model's embeddings"):
            self.run_job(Embeddings("memory://e"))

    def test_a_machine_with_another_model_takes_no_part(self):
        job = cluster.Job(CONFIG, self.engine.info, self.classifications())
        with mock.patch.object(cluster, "get_engine", return_value=self.engine):
            self.assertIs(job.engine(), self.engine)
        other = mock.patch.object(cluster, "get_engine", return_value=ColourEngine(weights_sha256="f" * 64))
        with other, self.assertRaisesMessage(ModelUnavailable, "another model or precision: run prepare_model there"):
            job.engine()


class PoolTests(SimpleTestCase):
    def test_actors_share_the_cores_that_there_are(self):
        machines = [{"CPU": 16.0}, {"CPU": 6.0}, {}]
        cases = {None: (5, 4), 1: (1, 16), 2: (2, 11), 4: (4, 5), 22: (22, 1), 90: (90, 1)}
        for actors, (count, cores) in cases.items():
            with self.subTest(actors=actors):
                self.assertEqual(cluster.Pool.of(machines, actors, cards=True), cluster.Pool(count, cores, 0))
        self.assertEqual(cluster.Pool.of([{"CPU": 2.0}], None, cards=True), cluster.Pool(1, 2, 0))

    def test_and_the_cards(self):
        machines = [{"CPU": 16.0, "GPU": 1.0}, {"CPU": 16.0, "GPU": 1.0}]
        self.assertEqual(cluster.Pool.of(machines, 2, cards=True), cluster.Pool(2, 16, 1))
        self.assertEqual(cluster.Pool.of(machines, 4, cards=True), cluster.Pool(4, 8, 0.5))
        self.assertEqual(cluster.Pool.of(machines, 2, cards=False), cluster.Pool(2, 16, 0))


class WithoutRayTests(SimpleTestCase):
    def test_it_says_what_to_install(self):
        with (
            mock.patch.dict(sys.modules, {"ray": None}),
            self.assertRaisesMessage(PackageMissing, "pip install -r requirements-ray.txt"),
            cluster.connected(cluster.LOCAL),
        ):
            pass
