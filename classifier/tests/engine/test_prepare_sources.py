"""manage.py prepare_model and which file it was: another is not answered for, and what cannot be told is refused."""

from unittest import mock

import torch
from django.core.management import CommandError
from django.test import override_settings

from classifier.engine import load_engine
from classifier.errors import ModelUnavailable
from classifier.services.engines import engine_config
from classifier.tests import checkpoints
from classifier.tests.engine.test_prepare_model import PrepareTestCase


class SourceTests(PrepareTestCase):
    def test_another_file_of_the_same_name_is_not_answered_for(self):
        """Artifacts are named by the file's name, which two checkpoints may share."""
        first, second = (self.model_dir.parent / folder / "model.pt" for folder in ("a", "b"))
        for path, seed in ((first, 0), (second, 1)):
            path.parent.mkdir()
            path.write_bytes(checkpoints.checkpoint("tiny", seed=seed).read_bytes())
        other = "was made from another file than CLIP_MODEL names"
        with override_settings(CLIP_MODEL=str(first)):
            self.prepare()
            sha256 = load_engine(engine_config()).info.weights_sha256
        with override_settings(CLIP_MODEL=str(second)):
            with self.assertRaisesMessage(ModelUnavailable, other):
                load_engine(engine_config())
            self.prepare()
            self.assertNotEqual(load_engine(engine_config()).info.weights_sha256, sha256)
        with override_settings(CLIP_MODEL=str(first)), self.assertRaisesMessage(ModelUnavailable, other):
            load_engine(engine_config())
        with override_settings(CLIP_MODEL="/nowhere/model.pt"):
            with self.assertRaisesMessage(ModelUnavailable, other):
                load_engine(engine_config())
            with self.assertRaisesMessage(CommandError, "There is no file /nowhere/model.pt"):
                self.prepare()

    def test_a_checkpoint_may_move_or_go_once_it_is_converted(self):
        path, moved = (self.model_dir.parent / folder / "model.pt" for folder in ("a", "b"))
        for folder in (path.parent, moved.parent):
            folder.mkdir()
        path.write_bytes(self.path.read_bytes())
        with override_settings(CLIP_MODEL=str(path)):
            self.prepare()
            path.rename(moved)
            self.assert_answers()
        with override_settings(CLIP_MODEL=str(moved)):
            self.assert_answers()  # the same bytes

    def test_an_artifact_of_openais_name_must_be_of_openais_file(self):
        self.prepare()
        self.directory.rename(self.model_dir / "ViT-B-32")
        with override_settings(CLIP_MODEL="ViT-B/32"), self.assertRaisesMessage(ModelUnavailable, "another file"):
            load_engine(engine_config())

    def test_an_artifact_for_other_labels_is_not_served(self):
        self.prepare()
        with (
            mock.patch("classifier.engine.artifact.imagenet_names", lambda: ("cat",) * 1000),
            self.assertRaisesMessage(ModelUnavailable, "for other labels"),
        ):
            load_engine(engine_config())

    def test_a_file_that_changed_is_converted_again(self):
        copy = self.model_dir.parent / "mine.pt"
        copy.write_bytes(self.path.read_bytes())
        with override_settings(CLIP_MODEL=str(copy)):
            self.prepare()
            copy.write_bytes(checkpoints.checkpoint("tiny-resnet").read_bytes())
            self.prepare()
            self.assert_answers("fp32")


class ActivationTests(PrepareTestCase):
    def test_a_file_that_does_not_say_its_activation_is_not_guessed_at(self):
        path = self.model_dir.parent / "state.pt"
        torch.save(torch.jit.load(str(self.path)).state_dict(), path)
        with override_settings(CLIP_MODEL=str(path)):
            with self.assertRaisesMessage(CommandError, "If it is QuickGELU, set CLIP_ACTIVATION=quickgelu."):
                self.prepare()
            with override_settings(CLIP_ACTIVATION="quickgelu"):
                self.prepare()
                self.assert_answers()

    def test_a_file_trained_with_plain_gelu_is_refused_whatever_is_said_of_it(self):
        path = self.model_dir.parent / "gelu.pt"
        with mock.patch.object(checkpoints.clip_model_module(), "QuickGELU", torch.nn.GELU):
            checkpoints.checkpoint_write("tiny", path)
        for stated in ("auto", "quickgelu"):
            with (
                override_settings(CLIP_MODEL=str(path), CLIP_ACTIVATION=stated),
                self.assertRaisesMessage(CommandError, "was trained with GELU"),
            ):
                self.prepare()
