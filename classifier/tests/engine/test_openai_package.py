"""`import clip` is OpenAI's own package, and works, whatever the engine did before or did not do."""

import importlib.util
import subprocess
import sys
from unittest import skipUnless

from django.conf import settings
from django.test import SimpleTestCase

READ = "from classifier.engine.tokenizer import Tokenizer; Tokenizer().encode('café')\n"
LEFT = "import sys; print([name for name in sys.modules if name.partition('.')[0] in ('clip', 'torchvision')])\n"
IMPORTED = """
import clip, numpy as np, torch
from PIL import Image
from classifier.engine.preprocess import picture_to_pixels
from classifier.engine.tokenizer import Tokenizer
from classifier.tests.photos import photo
assert clip.available_models()[0] == "RN50"
tokens = clip.tokenize(["a café"])[0]
assert tuple(tokens[tokens != 0].tolist()) == Tokenizer().encode("a café")
for name in ("coffee.png", "rocket.jpg"):
    pixels = clip.clip._transform(224)(photo(name))
    assert torch.equal(pixels, torch.from_numpy(picture_to_pixels(photo(name), 224))), name
"""
# What torchvision's compiled part does where it can be loaded, before the same is asked of torch.
DECLARED = """
import torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import sys; sys.path.insert(0, "script")
from torchvision_without_cuda import Declaring
assert Declaring.find_spec("torchvision._meta_registrations") is None and Declaring.library is None
"""
INSTALLED = importlib.util.find_spec("torchvision") is not None  # bin/prune_torch takes it out of a slug


class OpenAIPackageTests(SimpleTestCase):
    def run_python(self, code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=settings.BASE_DIR
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    @skipUnless(INSTALLED, "torchvision was pruned")
    def test_it_is_imported_and_agrees_with_the_engine(self):
        self.run_python(IMPORTED)

    @skipUnless(INSTALLED, "torchvision was pruned")
    def test_so_it_is_after_the_engine_has_read_a_text(self):
        self.assertEqual(self.run_python(READ + LEFT + IMPORTED), "[]\n")

    @skipUnless(INSTALLED, "torchvision was pruned")
    def test_operators_that_this_build_lacks_say_so(self):
        told = self.run_python(
            "import torch, torchvision\n"
            "try: print(torchvision.ops.nms(torch.tensor([[0., 0., 1., 1.]]), torch.ones(1), 0.5).tolist())\n"
            "except RuntimeError as error: print(error)"
        )
        self.assertRegex(told, r"^(\[0\]|Couldn't load custom C\+\+ ops)")

    def test_nothing_is_declared_where_torchvision_brings_its_own(self):
        self.run_python(DECLARED)
