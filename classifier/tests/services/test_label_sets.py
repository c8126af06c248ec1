"""Saved label sets: checked, computed once per model, and ready when they say so."""

import threading
from datetime import timedelta
from types import SimpleNamespace
from unittest import mock

from django.test import TestCase, TransactionTestCase
from django.utils import timezone

from classifier.errors import LabelError, LabelSetNotReady, ModelUnavailable, TextUnsupported
from classifier.models import Classification, LabelHead, LabelSet
from classifier.services import heads, label_sets, runs, texts, upkeep, uploads
from classifier.tests.colour_engine import MODEL, ColourEngine, serve
from classifier.tests.services.test_search import coloured

LABELS, TEMPLATES = ("red", "green", "blue"), ("a photo of {}.",)


def obtain(engine, label_set):
    return heads.head_obtain(engine, heads.choice_of_set(label_set), compute=None)[0]


class SavedTests(TestCase):
    def setUp(self):
        heads.heads_forget()
        self.engine = ColourEngine()
        self.enterContext(serve(self.engine))

    def create(self, name="Colours", labels=LABELS, templates=TEMPLATES):
        with self.captureOnCommitCallbacks(execute=True):
            return label_sets.label_set_create(name=name, labels=labels, templates=templates)

    def update(self, label_set, **changed):
        values = {"name": label_set.name, "labels": label_set.label_list, "templates": label_set.template_list}
        with self.captureOnCommitCallbacks(execute=True):
            return label_sets.label_set_update(label_set=label_set, **{**values, **changed})

    def test_a_small_set_is_ready_when_it_is_saved(self):
        label_set = self.create()
        (entry,) = label_sets.label_sets_list()
        self.assertEqual((entry.label_set, entry.state, entry.note), (label_set, "ready", ""))
        head = obtain(self.engine, label_set)
        self.assertEqual(head.labels, LABELS)
        self.assertGreater((head.weights * self.engine.embed(LABELS)).sum(axis=1).min(), 0.99999)

    def test_its_head_lies_in_the_database_as_float16(self):
        row = self.create().heads.get()
        self.assertEqual(len(row.vectors), 3 * MODEL.dim * 2)
        self.assertEqual((row.weights_sha256, row.done, row.total), (MODEL.weights_sha256, 3, 3))

    def test_names_are_unique_whatever_their_case(self):
        self.create("Colours")
        with self.assertRaisesMessage(LabelError, "There is a label set named “colours” already."):
            self.create("colours")

    def test_bad_labels_templates_and_names_are_refused_and_nothing_is_saved(self):
        for bad in ({"labels": ("red", "red")}, {"templates": ("no place",)}, {"name": "imagenet"}):
            with self.subTest(bad=bad), self.assertRaises(LabelError):
                self.create(**bad)
        self.assertFalse(LabelSet.objects.exists())

    def test_changed_labels_or_templates_are_computed_anew(self):
        label_set = self.create()
        self.assertEqual(len(obtain(self.engine, label_set).labels), 3)
        self.update(label_set, labels=("red", "white"))
        self.assertEqual(obtain(self.engine, label_set).labels, ("red", "white"))
        digest = label_set.heads.get().digest
        self.update(label_set, templates=("art of {}",))
        self.assertNotEqual(label_set.heads.get().digest, digest)
        self.assertEqual(label_set.heads.get().state, "ready")

    def test_a_new_name_alone_computes_nothing(self):
        label_set = self.create()
        with mock.patch.object(self.engine, "build_head") as build:
            self.update(label_set, name="Other colours")
        build.assert_not_called()
        self.assertEqual(label_sets.label_sets_list()[0].state, "ready")

    def test_another_model_computes_its_own_and_the_first_ones_stays(self):
        label_set = self.create()
        other = ColourEngine(weights_sha256="d" * 64)
        with serve(other):
            self.assertEqual(label_sets.label_sets_list()[0].state, "waiting")
            with self.assertRaisesMessage(LabelSetNotReady, "“Colours” is still being computed"):
                obtain(other, label_set)
            label_sets.heads_compute(other)
            self.assertEqual(label_sets.label_sets_list()[0].state, "ready")
        self.assertEqual(label_sets.label_sets_list()[0].state, "ready")
        self.assertEqual(label_set.heads.count(), 2)

    def test_a_label_that_clip_cannot_read_makes_the_set_say_why(self):
        too_long = mock.patch.object(self.engine, "build_head", side_effect=LabelError("The label “x” is too long."))
        with too_long, self.assertLogs("classifier.services.heads", "ERROR"):
            label_set = self.create()
        (entry,) = label_sets.label_sets_list()
        self.assertEqual((entry.state, entry.note), ("failed", "The label “x” is too long."))
        with self.assertRaisesMessage(LabelSetNotReady, "cannot be used: The label “x” is too long."):
            obtain(self.engine, label_set)
        label_sets.head_retry(label_set=label_set)
        self.assertEqual(label_sets.label_sets_list()[0].state, "ready")

    def test_without_a_model_it_is_saved_and_computed_later(self):
        with mock.patch("classifier.services.engines.engine_get", side_effect=ModelUnavailable("none")):
            with self.assertLogs("classifier.services.label_sets", "WARNING"):
                label_set = self.create()
            self.assertEqual(label_sets.label_sets_list()[0].state, "waiting")
            with self.assertRaises(ModelUnavailable):
                label_sets.heads_resume()
        label_sets.heads_compute(self.engine)
        self.assertEqual(obtain(self.engine, label_set).labels, LABELS)

    def test_the_stand_in_says_that_it_needs_clip(self):
        label_set = self.create()
        standin = SimpleNamespace(info=SimpleNamespace(standin=True, weights_sha256="e" * 64))
        with serve(standin):
            self.assertEqual(label_sets.label_sets_list()[0].note, "needs CLIP")
            with self.assertRaisesMessage(TextUnsupported, "need CLIP"):
                obtain(standin, label_set)

    def test_a_list_costs_two_queries_and_loads_no_labels(self):
        for name in ("a", "b", "c"):
            self.create(name)
        with self.assertNumQueries(2) as queries:
            label_sets.label_sets_list()
        self.assertNotIn('"labels"', queries[0]["sql"])
        self.assertNotIn('"vectors"', queries[1]["sql"])

    def test_deleting_a_set_keeps_what_was_classified_with_it(self):
        label_set = self.create()
        upload = coloured("red")
        run = uploads.upload_relabel(upload=upload, choice=heads.choice_of_set(label_set))
        self.assertEqual((run.label_set, run.saved_set, run.templates), ("Colours", label_set, TEMPLATES[0]))
        label_sets.label_set_delete(label_set=label_set)
        run = Classification.objects.get(pk=run.pk)
        self.assertEqual((run.label_set, run.saved_set, run.predictions.count()), ("Colours", None, 3))


class ClaimTests(TestCase):
    """Of several servers one computes, and one that stops is relieved."""

    def setUp(self):
        self.engine = ColourEngine()
        self.label_set = LabelSet.objects.create(name="s", labels="red\nblue", templates="{}", digest="1" * 64)

    def claim(self):
        return heads.head_claim(self.engine, self.label_set)

    def test_one_claims_at_a_time(self):
        self.assertTrue(self.claim())
        self.assertIsNone(self.claim())

    def test_a_claim_not_heard_of_for_a_minute_is_taken_over_and_its_holder_stops(self):
        first = self.claim()
        LabelHead.objects.update(alive=timezone.now() - timedelta(seconds=heads.STALE_SECONDS + 1))
        second = self.claim()
        self.assertNotIn(second, (None, first))
        heads.head_compute(self.engine, self.label_set, first)
        self.assertEqual(LabelHead.objects.get().state, "building")
        heads.head_compute(self.engine, self.label_set, second)
        self.assertEqual(LabelHead.objects.get().state, "ready")
        self.assertIsNone(self.claim())

    def test_labels_changed_meanwhile_are_computed_and_the_old_ones_dropped(self):
        first = self.claim()
        self.label_set.labels, self.label_set.digest = "red\nblue\nwhite", "2" * 64
        self.label_set.save()
        second = self.claim()
        heads.head_compute(self.engine, self.label_set, first)
        self.assertEqual(LabelHead.objects.get().state, "building")
        heads.head_compute(self.engine, self.label_set, second)
        self.assertEqual(len(bytes(LabelHead.objects.get().vectors)), 3 * MODEL.dim * 2)

    def test_progress_is_told_while_it_goes_on(self):
        seen = []
        self.engine.before = lambda done: seen.append(LabelHead.objects.get().done)
        with mock.patch("classifier.services.heads.HEARTBEAT_SECONDS", 0):
            claim = self.claim()
            self.label_set.labels = "\n".join(f"label {n}" for n in range(50))
            heads.head_compute(self.engine, self.label_set, claim)
        self.assertEqual(seen[:3] + seen[-1:], [0, 0, 1, 48])


class BackgroundTests(TransactionTestCase):
    """A large set is computed in a thread of its own."""

    def setUp(self):
        heads.heads_forget()
        self.gate, self.begun = threading.Event(), threading.Event()
        self.engine = ColourEngine(before=self.before)
        self.enterContext(serve(self.engine))
        self.enterContext(mock.patch("classifier.services.label_sets.PROMPTS_AT_ONCE", 2))

    def before(self, done):
        if done == 1:
            self.begun.set()
            self.gate.wait(20)

    def finish(self):
        self.gate.set()
        for thread in threading.enumerate():
            if thread.name == "label-sets":
                thread.join(20)

    def test_it_is_not_ready_at_once_and_then_it_is(self):
        self.addCleanup(self.finish)
        label_set = label_sets.label_set_create(name="Colours", labels=LABELS, templates=TEMPLATES)
        self.assertTrue(self.begun.wait(20))
        entry = label_sets.label_set_entry(label_set.pk)
        self.assertEqual((entry.state, entry.total), ("building", 3))
        with self.assertRaisesMessage(LabelSetNotReady, "“Colours” is still being computed, 0 % done."):
            obtain(self.engine, label_set)
        other = label_sets.label_set_create(name="More colours", labels=("red", "white", "black"), templates=TEMPLATES)
        self.finish()
        self.assertEqual(label_sets.label_set_entry(label_set.pk).state, "ready")
        self.assertEqual(label_sets.label_set_entry(other.pk).state, "ready")

    def test_what_a_restart_left_is_taken_up_by_the_next_server(self):
        LabelSet.objects.create(name="s", labels="red\nblue", templates="{}", digest="1" * 64)
        left = LabelHead.objects.create(
            label_set=LabelSet.objects.get(), weights_sha256=MODEL.weights_sha256, digest="1" * 64, claim="gone"
        )
        upkeep.tick()
        self.finish()
        self.assertEqual(LabelHead.objects.get().state, "building", "somebody may still be at it")
        LabelHead.objects.filter(pk=left.pk).update(alive=timezone.now() - timedelta(seconds=90))
        upkeep.tick()
        self.finish()
        self.assertEqual(LabelHead.objects.get().state, "ready")


class OneOffTests(TestCase):
    """Labels for one picture."""

    def setUp(self):
        self.engine = ColourEngine()
        self.upload = coloured("red")
        self.enterContext(serve(self.engine))
        self.addCleanup(texts.cache.clear)

    def relabel(self, *labels, templates=("a {} thing",)):
        return uploads.upload_relabel(upload=self.upload, choice=heads.choice_of_labels(labels, templates))

    def test_other_labels_need_neither_picture_nor_image_tower(self):
        run = self.relabel("blue", "red", "white")
        self.assertEqual(self.engine.pictures_seen, 0)
        self.assertEqual((run.status, run.label_set, run.templates), ("done", "custom", "a {} thing"))
        self.assertEqual(run.predictions.first().label, "red")
        self.upload.refresh_from_db()
        self.assertEqual((self.upload.latest, self.upload.top_label), (run, "red"))

    def test_every_label_given_is_kept_with_softmax_and_cosine(self):
        predictions = list(self.relabel("blue", "red", "white", "black", "green", "yellow", "grey").predictions.all())
        self.assertEqual(len(predictions), 7)
        self.assertAlmostEqual(sum(prediction.score for prediction in predictions), 1, places=5)
        self.assertEqual([p.index for p in predictions], [None] * 7)
        self.assertTrue(all(-1 <= p.similarity <= 1.0001 for p in predictions))

    def test_a_picture_another_model_saw_is_looked_at_again(self):
        self.engine = ColourEngine(weights_sha256="d" * 64)
        with serve(self.engine):
            self.relabel("blue", "red")
        self.assertEqual(self.engine.pictures_seen, 1)
        self.assertEqual(self.upload.embeddings.count(), 2)

    def test_imagenets_labels_can_be_had_again(self):
        self.relabel("blue", "red")
        run = uploads.upload_relabel(upload=self.upload, choice=heads.IMAGENET_CHOICE)
        self.assertEqual((run.label_set, run.templates), ("imagenet", runs.IMAGENET_TEMPLATES))
        self.assertEqual(run.predictions.first().label, "red thing")

    def test_labels_that_cannot_be_read_leave_no_run(self):
        with (
            mock.patch.object(self.engine, "embed_texts", side_effect=LabelError("too long")),
            self.assertRaises(LabelError),
        ):
            self.relabel("blue", "red")
        self.assertEqual(self.upload.classifications.count(), 1)
