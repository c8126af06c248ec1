"""manage.py prepare_model, from a checkpoint file to answers."""

import tempfile
from io import StringIO
from pathlib import Path

from django.core.management import CommandError, call_command
from django.test import SimpleTestCase, override_settings

from classifier.engine import load_engine
from classifier.services import engine_config

from . import checkpoints
from .test_engine_tower import photo


class PrepareModelTests(SimpleTestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.model_dir = Path(directory.name) / "model"
        settings = override_settings(
            CLIP_MODEL=str(checkpoints.checkpoint("tiny")), CLIP_MODEL_DIR=self.model_dir, CLIP_THREADS=1
        )
        settings.enable()
        self.addCleanup(settings.disable)

    def prepare(self, *args):
        output = StringIO()
        call_command("prepare_model", *args, stdout=output, stderr=StringIO())
        return output.getvalue()

    def test_it_makes_a_checkpoint_ready_to_answer(self):
        self.assertIn("tiny is ready (int8)", self.prepare())
        engine = load_engine(engine_config())
        answer = engine.classify(photo("coffee.png"))
        self.assertEqual([ranked.rank for ranked in answer.predictions], [1, 2, 3, 4, 5])
        self.assertEqual(answer.embedding.shape, (64,))
        self.assertEqual(engine.imagenet.weights.shape, (1000, 64))

    def test_a_missing_file_gets_one_clear_sentence(self):
        with self.assertRaisesMessage(CommandError, "There is no file /nowhere/x.pt"):
            self.prepare("/nowhere/x.pt")
