"""The notebook, cell by cell in a kernel of its own, with the tiny CLIP that was trained and pictures it knows."""

import os
import re
import tempfile
from pathlib import Path

import nbformat
from django.test import SimpleTestCase
from nbclient import NotebookClient

from classifier.tests import tiny_clip

ROOT = Path(__file__).parents[3]
NOTEBOOK = ROOT / "notebooks" / "heroku_clip_colab.ipynb"
PICTURES = (("red", "circle"), ("blue", "square"), ("green", "star"))


class NotebookTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        scratch = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        pictures = scratch / "pictures"
        pictures.mkdir()
        for number, (colour, shape) in enumerate(PICTURES):
            tiny_clip.draw(colour, shape).save(pictures / f"{number} {colour} {shape}.png")
        (pictures / "9 broken.png").write_bytes((pictures / "0 red circle.png").read_bytes()[:100])
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("CLIP_", "DJANGO_"))}
        environment |= {
            "CLIP_MODEL": str(tiny_clip.checkpoint_path()),
            "CLIP_MODEL_DIR": str(scratch / "model"),
            "CLIP_PICTURES": str(pictures),
            "CLIP_LABELS": "a blue square, a red circle",
            "CLIP_WORDS": "a green star",
            "IPYTHONDIR": str(scratch / "ipython"),
        }
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        nbformat.validate(notebook)
        client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}})
        client.execute(env=environment)  # raises where a cell does
        cls.cells = {cell.id: cell for cell in notebook.cells}

    def printed(self, cell: str) -> str:
        return "".join(output.text for output in self.cells[cell].outputs if output.get("name") == "stdout")

    def shown(self, cell: str, kind: str) -> list[str]:
        return [output.data[kind] for output in self.cells[cell].outputs if kind in output.get("data", {})]

    def labels(self, cell: str) -> list[str]:
        (table,) = self.shown(cell, "text/html")
        return re.findall(r"<tr><td>(.*?)</td><td><meter value='[01]\.\d+'", table)

    def test_it_opens_the_model_on_the_device_at_hand(self):
        self.assertRegex(self.printed("open"), r"tiny-clip.*, stored as (int8|fp16).*, computed on (cpu|cuda)")

    def test_a_picture_gets_bars_of_imagenets_labels(self):
        self.assertEqual(len(self.labels("classify")), 5)
        self.assertEqual(len(self.shown("classify", "image/png")), 1)

    def test_own_labels_are_ranked(self):
        self.assertEqual(self.labels("labels"), ["a red circle", "a blue square"])

    def test_neighbours_of_a_picture_and_of_words(self):
        own, *others = re.findall(r"(-?\d\.\d+)  (.*)", self.printed("embed"))
        self.assertEqual(own, ("1.000", "0 red circle.png"))
        self.assertEqual({name for _, name in others}, {"1 blue square.png", "2 green star.png"})
        self.assertEqual(re.findall(r"\d  (.*)", self.printed("words"))[0], "2 green star.png")
        self.assertEqual(len(self.shown("words", "image/png")), 1)

    def test_what_cannot_be_read_is_named(self):
        self.assertIn("9 broken.png", self.printed("embed"))

    def test_it_tells_its_speed(self):
        self.assertRegex(self.printed("speed"), r"^[1-9]\d* pictures per second on (cpu|cuda)$")


class NotebookFileTests(SimpleTestCase):
    def test_it_is_kept_without_what_a_run_leaves(self):
        cells = nbformat.read(NOTEBOOK, as_version=4).cells
        self.assertFalse([cell.id for cell in cells if cell.get("outputs") or cell.get("execution_count")])

    def test_readme_links_it_from_a_badge(self):
        badge = re.search(r"\[!\[Open in Colab\]\(\S+\)\]\((\S+)\)", (ROOT / "README.md").read_text())
        self.assertTrue(badge[1].startswith("https://colab.research.google.com/github"))
        self.assertIn(f"({NOTEBOOK.relative_to(ROOT)})", (ROOT / "README.md").read_text())
