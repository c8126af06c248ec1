"""Prompts are remembered within a bound, and the text tower goes when it is idle."""

import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace
from unittest import mock

import numpy as np
from django.test import SimpleTestCase, override_settings

from classifier.capacity.admission import Admission
from classifier.capacity.container import MOST
from classifier.capacity.room import ROOM
from classifier.errors import Busy, TextUnsupported
from classifier.services import texts
from classifier.tests.colour_engine import ColourEngine


class PromptCacheTests(SimpleTestCase):
    def test_it_keeps_what_was_used_last_within_its_bytes(self):
        row = np.zeros(100, np.float32)
        cache = texts.PromptCache(3 * texts._size("a", row))
        for text in "abc":
            cache.put("w", text, row)
        cache.get("w", "a")
        cache.put("w", "d", row)
        self.assertEqual([text for text in "abcd" if cache.get("w", text) is not None], ["a", "c", "d"])
        self.assertLessEqual(cache.held, cache.limit)

    def test_the_same_prompt_is_counted_once(self):
        cache = texts.PromptCache(10_000)
        for _ in range(50):
            cache.put("w", "a", np.zeros(100, np.float32))
        self.assertEqual(cache.held, texts._size("a", np.zeros(100, np.float32)))

    def test_it_keeps_models_apart(self):
        cache = texts.PromptCache(10_000)
        cache.put("w", "a", np.zeros(4, np.float32))
        self.assertIsNone(cache.get("v", "a"))


class EmbedTests(SimpleTestCase):
    def setUp(self):
        texts.cache.clear()
        self.addCleanup(texts.cache.clear)
        self.addCleanup(texts.idle.unload)
        self.engine = ColourEngine()

    def test_a_prompt_is_computed_once(self):
        first = texts.texts_embed(self.engine, ["red", "blue"])
        again = texts.texts_embed(self.engine, ["blue", "green", "red", "red"])
        self.assertEqual(self.engine.texts_seen, ["red", "blue", "green"])
        np.testing.assert_array_equal(again[[2, 0, 3]], first[[0, 1, 0]])

    def test_a_head_is_the_mean_of_its_templates(self):
        head = texts.head_embed(self.engine, "custom", ("red", "blue"), ("a {}", "{} and green"))
        expected = self.engine.embed(["red"])[0] + self.engine.embed(["red and green"])[0]
        np.testing.assert_allclose(head.weights[0], expected / np.linalg.norm(expected), rtol=1e-6)
        self.assertEqual((head.labels, head.indices), (("red", "blue"), (None, None)))

    def test_the_stand_in_is_told_apart_before_anything_is_computed(self):
        standin = SimpleNamespace(info=SimpleNamespace(standin=True))
        with self.assertRaisesMessage(TextUnsupported, "need CLIP"):
            texts.texts_embed(standin, ["red"])


class IdleTests(SimpleTestCase):
    def setUp(self):
        texts.idle.unload()  # whatever other tests have left
        self.addCleanup(texts.idle.unload)

    def wait_for(self, condition):
        deadline = time.monotonic() + 10
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertTrue(condition())

    @override_settings(CLIP_TEXT_IDLE_SECONDS=0)
    def test_the_tower_goes_after_the_last_use_and_once(self):
        engine, idle = ColourEngine(), texts.IdleUnloader()
        with idle.use(engine):
            with idle.use(engine):
                pass
            time.sleep(0.1)
            self.assertEqual(engine.unloaded, 0, "somebody still uses it")
        self.wait_for(lambda: engine.unloaded == 1)
        with idle.use(engine):
            pass
        self.wait_for(lambda: engine.unloaded == 2)

    @override_settings(CLIP_TEXT_IDLE_SECONDS=60)
    def test_it_goes_when_a_picture_needs_its_memory(self):
        engine = ColourEngine()
        with texts.idle.use(engine):
            pass
        with ROOM.take(20_000_000):
            self.assertEqual(engine.unloaded, 0, "there is room for both")
        with ROOM.take(MOST):
            self.assertEqual(engine.unloaded, 1)
        with texts.idle.use(engine):  # and comes back
            self.assertLess(ROOM._left, MOST)
        texts.idle.unload()
        self.assertEqual((engine.unloaded, ROOM._left), (2, ROOM.size))

    @override_settings(CLIP_TEXT_IDLE_SECONDS=60)
    def test_a_picture_waits_for_those_who_use_it_and_no_longer(self):
        engine, order = ColourEngine(), []

        def look():
            with ROOM.take(MOST):
                order.append("picture")

        def read():
            with texts.idle.use(engine):
                order.append("second")

        with texts.idle.use(engine):
            picture = threading.Thread(target=look)
            picture.start()
            self.wait_for(lambda: ROOM.waited_for)
            second = threading.Thread(target=read)
            second.start()
            time.sleep(0.1)
            self.assertEqual((order, engine.unloaded), ([], 0))
        picture.join()
        second.join()
        self.assertEqual(order, ["picture", "second"])

    @override_settings(CLIP_TEXT_IDLE_SECONDS=60)
    def test_who_wants_a_slot_does_not_hold_the_room_meanwhile(self):
        """A search that had the tower's room and waited for a slot stopped the upload in that slot for want of room."""
        engine, one = ColourEngine(), Admission(slots=1, queue=5, deadline=10)
        texts.cache.clear()
        with mock.patch("classifier.capacity.admission.admission", return_value=one):
            with one.slot():
                search = threading.Thread(target=lambda: texts.texts_embed(engine, ["red"]))
                search.start()
                self.wait_for(lambda: one.waiting == 1)
                with ROOM.take(MOST):
                    pass
            search.join()
        self.assertEqual(engine.texts_seen, ["red"])

    @override_settings(CLIP_TEXT_IDLE_SECONDS=60)
    def test_pictures_go_between_the_pieces_of_a_long_head(self):
        order, waiting = [], []

        def look():
            with ROOM.take(MOST):
                order.append("picture")

        def before(done):
            if not waiting:
                waiting.append(threading.Thread(target=look))
                waiting[0].start()
                self.wait_for(lambda: ROOM.waited_for)
            order.append(done)

        labels = [f"{colour} {number}" for number in range(3) for colour in ("red", "blue")]
        engine, told = ColourEngine(before=before), []
        with mock.patch.object(texts, "PIECE", 4):
            head = texts.head_build(engine, "set", labels, ["a {}", "the {}"], lambda *said: told.append(said[1:]))
        waiting[0].join()
        self.assertEqual(order, [0, 1, 2, 3, "picture", 0, 1, 2, 3, 0, 1, 2, 3])
        self.assertEqual(told, [(done, 12) for done in range(12)])
        np.testing.assert_array_equal(head.weights, engine.embed(labels))
        self.assertEqual(head.labels, tuple(labels))

    def test_without_room_nothing_is_loaded(self):
        engine = ColourEngine()
        with (
            mock.patch.object(ROOM, "timeout", 0),
            ROOM.take(MOST),
            self.assertRaises(Busy),
            texts.idle.use(engine),
        ):
            self.fail("there was no room")
        with texts.idle.use(engine):
            pass
        texts.idle.unload()
        self.assertEqual(engine.unloaded, 1)

    def test_a_long_head_waits_until_there_is_room(self):
        engine, told = ColourEngine(), []
        held = ExitStack()
        held.enter_context(ROOM.take(MOST))

        def progress(what, done, total):
            told.append(what)
            held.close()

        with mock.patch.object(ROOM, "timeout", 0.01):
            head = texts.head_build(engine, "set", ["red", "blue"], ["a {}"], progress)
        self.assertIn("waiting", told[0])
        self.assertEqual(head.labels, ("red", "blue"))

    @override_settings(CLIP_TEXT_IDLE_SECONDS=60)
    def test_it_stays_while_the_time_has_not_passed(self):
        engine, idle = ColourEngine(), texts.IdleUnloader()
        with idle.use(engine):
            pass
        time.sleep(0.2)
        self.assertEqual(engine.unloaded, 0)
        idle.unload()
