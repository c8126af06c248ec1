"""Reading OpenAI's file format, and what is said of files that are not it."""

import pickle
import shutil
import zipfile

import torch
from django.test import SimpleTestCase

from classifier.engine.checkpoint import checkpoint_open, file_sha256
from classifier.errors import CheckpointError
from classifier.tests import checkpoints


class Evil:
    def __reduce__(self):
        return print, ("this must never run",)


class CheckpointTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.path = checkpoints.checkpoint("tiny")

    def scratch(self, name):
        path = checkpoints.scratch() / name
        self.addCleanup(path.unlink, missing_ok=True)
        return path

    def assert_refused(self, path, message, **options):
        with self.assertRaises(CheckpointError) as caught:
            checkpoint_open(path, **options)
        self.assertIn(message, str(caught.exception))
        self.assertIn(str(path), str(caught.exception))

    def test_it_reads_what_torch_reads(self):
        ours, theirs = checkpoint_open(self.path).state, torch.jit.load(str(self.path)).state_dict()
        self.assertEqual(ours.keys(), theirs.keys())
        for name in theirs:
            self.assertEqual(ours[name].dtype, theirs[name].dtype, name)
            self.assertTrue(torch.equal(ours[name], theirs[name]), name)

    def test_it_reads_a_plain_state_dict(self):
        path = self.scratch("state.pt")
        state = torch.jit.load(str(self.path)).state_dict()
        torch.save(state, path)
        opened = checkpoint_open(path)
        self.assertEqual(opened.state.keys(), state.keys())

    def test_it_infers_the_dimensions(self):
        shape = checkpoint_open(self.path).shape
        self.assertEqual(
            (shape.embed_dim, shape.resolution, shape.layers, shape.width, shape.patch), (64, 64, 2, 128, 16)
        )
        self.assertEqual(
            (shape.context_length, shape.vocab_size, shape.text_width, shape.text_layers), (77, 49408, 64, 2)
        )
        resnet = checkpoint_open(checkpoints.checkpoint("tiny-resnet")).shape
        self.assertEqual((resnet.vit, resnet.layers, resnet.resolution), (False, (1, 1, 1, 1), 64))

    def test_the_file_stays_as_it_is_when_tensors_are_written_to(self):
        before = file_sha256(self.path)
        checkpoint_open(self.path).state["positional_embedding"].zero_()
        self.assertEqual(file_sha256(self.path), before)

    def test_a_missing_file_is_named(self):
        self.assert_refused(self.path.with_name("nowhere.pt"), "There is no checkpoint")

    def test_a_wrong_hash_is_refused(self):
        self.assert_refused(self.path, "is not the file OpenAI published", sha256="0" * 64)

    def test_a_cut_file_is_refused_wherever_it_is_cut(self):
        whole = self.path.read_bytes()
        for length in (0, 1, 1000, len(whole) // 2, len(whole) - 1):
            with self.subTest(length=length):
                path = self.scratch("cut.pt")
                path.write_bytes(whole[:length])
                self.assert_refused(path, "cut, damaged, or not a PyTorch checkpoint")

    def test_a_flipped_bit_is_found(self):
        path = self.scratch("flipped.pt")
        shutil.copy(self.path, path)
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1]))
        self.assert_refused(path, "damaged")

    def test_other_zip_files_are_refused(self):
        path = self.scratch("other.zip")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "hello")
        self.assert_refused(path, "is a ZIP file but not a PyTorch checkpoint")

    def test_another_network_is_refused(self):
        path = self.scratch("linear.pt")
        torch.save(torch.nn.Linear(3, 3).state_dict(), path)
        self.assert_refused(path, "is not a CLIP model")

    def test_a_wrong_tensor_size_is_refused(self):
        path = self.scratch("odd.pt")
        state = torch.jit.load(str(self.path)).state_dict()
        state["visual.transformer.resblocks.1.mlp.c_fc.weight"] = torch.zeros(3, 3)
        torch.save(state, path)
        self.assert_refused(path, "visual.transformer.resblocks.1.mlp.c_fc.weight is (3, 3)")

    def test_code_in_the_description_is_not_run(self):
        path = self.scratch("evil.pt")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("evil/data.pkl", pickle.dumps({"weight": Evil()}, protocol=2))
        self.assert_refused(path, "no CLIP checkpoint needs")
