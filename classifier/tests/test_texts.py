"""Prompts are remembered within a bound, and the text tower goes when it is idle."""

import threading
import time
from types import SimpleNamespace
from unittest import mock

import numpy as np
from django.test import SimpleTestCase, override_settings

from classifier import texts
from classifier.errors import Busy, TextUnsupported
from classifier.limits import DECODE_MEMORY
from classifier.room import ROOM

from .colour_engine import ColourEngine


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
        with ROOM.take(DECODE_MEMORY):
            self.assertEqual(engine.unloaded, 1)
        with texts.idle.use(engine):  # and comes back
            self.assertLess(ROOM._left, DECODE_MEMORY)
        texts.idle.unload()
        self.assertEqual((engine.unloaded, ROOM._left), (2, ROOM.size))

    @override_settings(CLIP_TEXT_IDLE_SECONDS=60)
    def test_a_picture_waits_for_those_who_use_it_and_no_longer(self):
        engine, order = ColourEngine(), []

        def look():
            with ROOM.take(DECODE_MEMORY):
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
        texts.idle.unload()

    def test_without_room_nothing_is_loaded(self):
        engine = ColourEngine()
        with (
            mock.patch.object(ROOM, "timeout", 0),
            ROOM.take(DECODE_MEMORY),
            self.assertRaises(Busy),
            texts.idle.use(engine),
        ):
            self.fail("there was no room")
        with texts.idle.use(engine):
            pass
        texts.idle.unload()
        self.assertEqual(engine.unloaded, 1)

    @override_settings(CLIP_TEXT_IDLE_SECONDS=60)
    def test_it_stays_while_the_time_has_not_passed(self):
        engine, idle = ColourEngine(), texts.IdleUnloader()
        with idle.use(engine):
            pass
        time.sleep(0.2)
        self.assertEqual(engine.unloaded, 0)
        idle.unload()
