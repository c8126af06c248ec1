"""Batches: kept whole, classified once each whatever happens to whoever works, and after everybody's uploads."""

import io
import threading
import zipfile
from contextlib import nullcontext
from datetime import timedelta
from unittest import mock

from django.db import connection
from django.test import TestCase, override_settings
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from classifier.capacity.admission import Admission
from classifier.capacity.room import Room
from classifier.errors import BatchTooLarge, Busy, LabelError, MissingImage, StorageFull
from classifier.models import BatchItem, Classification, Upload
from classifier.services import batch_work, batches, storage
from classifier.services.archives import Given
from classifier.services.heads import choice_of_labels, choice_of_set
from classifier.services.label_sets import label_set_create
from classifier.tests.colour_engine import ColourTestCase
from classifier.tests.concurrency import ConcurrencyTestCase, begin, together
from classifier.tests.photos import plain

NAMES = ("red", "blue", "green", "yellow", "black", "white")
COLOURS = choice_of_labels(NAMES, ("a {}",))


def given(*names):
    return [Given(f"{name}.png", plain("PNG", name)) for name in names]


def sent(*names, **options):
    return batches.batch_create(pictures=given(*names), owner="me", **{"choice": COLOURS, **options})


def work():
    """All that is on the queue. What a task raises is kept in its row."""
    kept = "django_tasks_db.management.commands.db_worker.close_old_connections"
    with mock.patch(kept) if connection.in_atomic_block else nullcontext():  # a test's connection stays open
        batch_work.queue_empty()
    if failed := list(DBTaskResult.objects.failed()):
        raise AssertionError(failed[0].traceback)


def found(batch):
    """Each picture's top label, or why it has none."""
    return [item.upload.top_label if item.upload else item.reason for item in batch.items.order_by("place")]


class BatchTests(ColourTestCase):
    def test_each_picture_becomes_an_upload_with_its_run(self):
        batch = sent("red", "blue", "green")
        self.assertEqual(batches.batch_progress(batch).status, "waiting")
        self.assertEqual(Upload.objects.count(), 0)
        work()
        self.assertEqual(found(batch), ["red", "blue", "green"])
        upload = Upload.objects.with_latest().get(name="blue.png")
        self.assertEqual((upload.owner, upload.width, upload.status), ("me", 32, "done"))
        self.assertEqual(upload.latest.predictions.count(), len(NAMES))
        self.assertEqual(upload.embeddings.count(), 1)
        progress = batches.batch_progress(batch)
        self.assertEqual((progress.status, progress.done, progress.failed, progress.percent), ("done", 3, 0, 100))

    def test_the_files_go_once_they_are_done(self):
        batch = sent("red", "blue")
        self.assertTrue(all(batch.items.values_list("data", flat=True)))
        work()
        self.assertEqual(set(batch.items.values_list("data", flat=True)), {None})

    def test_what_is_no_picture_fails_alone(self):
        pictures = [*given("red"), Given("notes.txt", b"no picture"), *given("blue")]
        batch = batches.batch_create(pictures=pictures, owner="me", choice=COLOURS)
        work()
        first, second, third = found(batch)
        self.assertEqual((first, third), ("red", "blue"))
        self.assertIn("not a picture", second)
        self.assertEqual(batches.batch_progress(batch).failed, 1)

    def test_a_picture_that_the_model_fails_at_does_not_fail_the_others(self):
        batch, original = sent("red", "blue", "green"), self.engine.embed_images

        def embed(pictures):
            rows = original(pictures)
            if any(picture.getpixel((0, 0)) == (0, 0, 255) for picture in pictures):
                raise RuntimeError("blue is too much")
            return rows

        with mock.patch.object(self.engine, "embed_images", embed), self.assertLogs("classifier", "ERROR"):
            work()
        self.assertEqual(found(batch), ["red", "RuntimeError: blue is too much", "green"])

    def test_a_long_batch_and_another_take_turns(self):
        with mock.patch.object(batch_work, "ITEMS_PER_TASK", 2), mock.patch.object(batch_work, "TASKS_AT_ONCE", 1):
            long = sent(*NAMES, *NAMES)
            short = sent("red")
            with mock.patch.object(batch_work, "AT_ONCE", 2), mock.patch.object(batch_work, "_at_once", 2):
                work()
        last = long.items.latest("finished").finished
        self.assertLess(short.items.get().finished, last)
        self.assertEqual(batches.batch_progress(long).done, 12)

    def test_nothing_is_kept_of_a_batch_that_is_refused(self):
        for limit, value in (("MOST", 2), ("PIECE", 1)):
            with mock.patch.object(batches, limit, value), override_settings(MAX_BATCH_MB=0.0002):
                with self.subTest(limit=limit), self.assertRaises(BatchTooLarge):
                    sent("red", "blue", "green")
                self.assertEqual((BatchItem.objects.count(), DBTaskResult.objects.count()), (0, 0))
        with self.assertRaises(MissingImage):
            sent()
        with mock.patch.object(batches, "WAITING_MOST", 1), self.assertRaises(Busy):
            sent("red")
            sent("blue")

    def test_one_is_taken_in_at_a_time(self):
        """A picture of an archive is in memory twice while it is unpacked, before there is anything to share out."""
        with mock.patch.object(batches, "TURN", Room(1, timeout=0.05)):

            def pictures():
                yield from given("red")
                with self.assertRaises(Busy) as caught:
                    sent("blue")
                self.assertEqual(caught.exception.retry_after, 5)

            batches.batch_create(pictures=pictures(), owner="me", choice=COLOURS)
            sent("green")
        self.assertEqual(
            list(BatchItem.objects.order_by("id").values_list("name", flat=True)), ["red.png", "green.png"]
        )

    @override_settings(MAX_STORED_MB=0.00005)
    def test_what_waits_counts_as_stored(self):
        self.addCleanup(storage.meter.forget)
        storage.meter.forget()
        sent("red")
        storage.meter.forget()
        with self.assertRaises(StorageFull):
            sent("blue")

    def test_labels_that_cannot_be_used_are_refused_at_once(self):
        with (
            self.assertRaises(LabelError),
            mock.patch("classifier.services.batches.head_obtain", side_effect=LabelError("too long")),
        ):
            sent("red")
        self.assertEqual(BatchItem.objects.count(), 0)

    def test_a_label_set_that_is_deleted_meanwhile(self):
        label_set = label_set_create(name="hues", labels=list(NAMES), templates=["a {}"])
        from classifier.services.label_sets import heads_compute

        heads_compute(self.engine)
        batch = sent("red", choice=choice_of_set(label_set))
        label_set.delete()
        work()
        self.assertEqual(found(batch), ["There is no label set named “hues” any more."])

    def test_a_batch_that_is_given_up_leaves_what_it_has_become(self):
        batch = sent("red", "blue")
        with mock.patch.object(batch_work, "ITEMS_PER_TASK", 1), mock.patch.object(batch_work, "_at_once", 1):
            batch_work.batch_go_on.call(str(batch.pk))
        batches.batch_delete(batch=batch)
        work()
        self.assertEqual(list(Upload.objects.values_list("name", flat=True)), ["red.png"])

    def test_an_upload_takes_its_line_along(self):
        batch = sent("red", "blue")
        work()
        Upload.objects.get(name="red.png").delete()
        self.assertEqual(found(batch), ["blue"])


class KilledTests(ColourTestCase):
    """A process that is killed has claimed some pictures, and its task runs for ever."""

    def setUp(self):
        super().setUp()
        self.batch = sent("red", "blue", "green")
        DBTaskResult.objects.update(status="RUNNING", started_at=timezone.now())
        self.claimed = batch_work._claim(self.batch, "of the dead")[:2]

    def age(self):
        past = timezone.now() - timedelta(seconds=batch_work.LEASE_SECONDS + 1)
        BatchItem.objects.exclude(claimed=None).update(claimed=past)

    def test_what_it_had_claimed_is_left_to_it_for_a_while(self):
        batch_work.batches_resume()
        work()
        self.assertEqual(batches.batch_progress(self.batch).done, 0)

    def test_and_taken_up_then(self):
        self.age()
        batch_work.batches_resume()
        work()
        self.assertEqual(found(self.batch), ["red", "blue", "green"])
        self.assertEqual(Upload.objects.count(), 3)

    def test_one_that_was_only_slow_stores_nothing_a_second_time(self):
        self.age()
        batch_work.batches_resume()
        work()
        item = self.claimed[0]
        upload = Upload.objects.get(name=item.name)
        compute = mock.Mock(side_effect=lambda function, *arguments: function(*arguments))
        late = batch_work._computed(compute, self.engine, None, 5, [item])
        batch_work._store(self.batch, item, "of the dead", self.engine, COLOURS, late[0])
        self.assertEqual((Upload.objects.count(), Classification.objects.count()), (3, 3))
        self.assertEqual(BatchItem.objects.get(pk=item.pk).upload, upload)

    def test_a_picture_that_kills_each_time_is_given_up(self):
        BatchItem.objects.filter(name="blue.png").update(tries=batch_work.TRIES)
        self.age()
        batch_work.batches_resume()
        work()
        first, second, third = found(self.batch)
        self.assertEqual((first, third), ("red", "green"))
        self.assertIn("stopped 3 times", second)

    def test_nothing_is_asked_for_twice(self):
        self.age()
        batch_work.batches_resume()
        batch_work.batches_resume()
        self.assertEqual(DBTaskResult.objects.filter(status="READY").count(), 1)


class AtOnceTests(ConcurrencyTestCase):
    def test_two_that_work_at_once_share_and_double_nothing(self):
        batch = sent(*NAMES * 10)
        with mock.patch.object(batch_work, "_at_once", 2), mock.patch.object(batch_work, "admission") as admission:
            admission.side_effect = lambda: Admission(slots=1, queue=0, deadline=1)
            self.assertEqual(together(work, work), [None, None])
        self.assertEqual(found(batch), list(NAMES * 10))
        self.assertEqual((Upload.objects.count(), self.engine.pictures_seen), (60, 60))


class PrecedenceTests(TestCase):
    def test_what_has_time_waits_for_everybody_else(self):
        gate, order = Admission(slots=2, queue=4, deadline=5), []

        def spare():
            with gate.spare():
                order.append("batch")

        with gate.slot():
            waiting = begin(spare)
            waiting.join(0.2)
            self.assertEqual(order, [])
            with gate.slot():
                order.append("upload")
        waiting.end()
        self.assertEqual(order, ["upload", "batch"])

    def test_an_upload_does_not_wait_for_it(self):
        gate, go_on = Admission(slots=2, queue=0, deadline=1), threading.Event()

        def spare():
            with gate.spare():
                go_on.wait(5)

        working = begin(spare)
        with gate.slot():
            pass
        go_on.set()
        working.end()


def archive(*entries, method=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as packed:
        for name, data in entries:
            packed.writestr(name, data)
    stream.seek(0)
    return stream
