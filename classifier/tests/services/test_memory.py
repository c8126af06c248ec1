"""What a loaded model leaves for pictures and texts."""

from unittest import mock

from django.test import SimpleTestCase, override_settings

from classifier.capacity import limits
from classifier.capacity.container import MOST, SERVER
from classifier.capacity.room import ROOM
from classifier.services import memory, texts


class Loaded:
    """An engine of ViT-B/32's size, in one of the precisions."""

    text_streamed = False

    def __init__(self, precision, text_precision):
        weights = {"int8": 91_000_000, "fp16": 176_000_000}[precision]
        shape = {"embed_dim": 512, "resolution": 224, "layers": 12, "width": 768, "patch": 32, "context_length": 77}
        tried = {"float16": {}, "float16_bytes": 0}
        manifest = {
            "precision": precision,
            "shape": {**shape, "vocab_size": 49408, "text_width": 512, "text_layers": 12},
            "files": {
                f"image-{precision}.safetensors": {"bytes": weights},
                "imagenet-head.safetensors": {"bytes": 2**21},
            },
            "tried": [{**tried, "precision": precision}],
            "text_tried": [{**tried, "precision": text_precision}],
        }
        self.info = mock.Mock(standin=False, manifest=manifest)


class MemoryTests(SimpleTestCase):
    def setUp(self):
        self.addCleanup(setattr, texts.idle, "memory", texts.idle.memory)
        self.addCleanup(limits.decode_memory_set, MOST)
        self.addCleanup(ROOM.resize, ROOM.size)

    def share(self, loaded, megabytes):
        with (
            override_settings(MEMORY_MB=megabytes, CLIP_SLOTS=3),
            mock.patch("classifier.capacity.container.cgroup_limit", return_value=None),
        ):
            memory.memory_share(loaded)

    def test_everything_together_stays_within_the_limit(self):
        for precision, text in (("int8", "int8"), ("int8", "fp16"), ("fp16", "int8"), ("fp16", "fp16")):
            with self.subTest(precision=precision, text=text):
                loaded = Loaded(precision, text)
                self.share(loaded, 512)
                weights = loaded.info.manifest["files"][f"image-{precision}.safetensors"]["bytes"]
                self.assertLessEqual(SERVER + weights + ROOM.size, 512_000_000)
                self.assertLessEqual(texts.idle.memory, ROOM.size)
                self.assertEqual(limits.decode_memory(), ROOM.size)

    def test_processes_share_what_there_is(self):
        self.share(Loaded("int8", "int8"), 512)
        alone = ROOM.size
        with override_settings(SERVER_PROCESSES=2):
            self.share(Loaded("int8", "int8"), 1024)
        self.assertEqual(ROOM.size, alone)

    def test_a_larger_model_leaves_less_for_pictures_and_reads_texts_in_pieces(self):
        small, large = Loaded("int8", "int8"), Loaded("fp16", "fp16")
        self.share(small, 512)
        room = ROOM.size
        self.assertFalse(small.text_streamed)
        self.share(large, 512)
        self.assertLess(ROOM.size, room)
        self.assertTrue(large.text_streamed)
        self.assertLess(limits.pixel_limits(50_000_000)["PNG"], 12_000_000)

    def test_where_nothing_is_known_pictures_have_what_they_always_had(self):
        loaded = Loaded("fp16", "fp16")
        self.share(loaded, 0)
        self.assertEqual((ROOM.size, limits.decode_memory(), loaded.text_streamed), (MOST, MOST, False))

    def test_a_model_that_leaves_nothing_is_said_in_the_log(self):
        with self.assertLogs("classifier.services.memory", "WARNING") as logs:
            self.share(Loaded("fp16", "int8"), 400)
        self.assertIn("memory_short", logs.output[0])
