"""An engine that knows colours, for tests in which CLIP is not the point: pictures and texts lie at their colour."""

from unittest import mock

import numpy as np
from django.test import TestCase
from PIL import ImageColor

from classifier.engine import Answer, Engine, Head, ModelInfo
from classifier.engine.occlusion import Occlusion, windows
from classifier.services import engines, heads, texts

COLOURS = {name: np.array(ImageColor.getrgb(name)) for name in ("red", "green", "blue", "yellow", "black", "white")}
MODEL = ModelInfo("colours", "fp32", "c0105" + "0" * 59, dim=4, input_resolution=8, standin=False, manifest={})
GRID = 7  # of its heat maps


def place(rgb) -> np.ndarray:
    """A colour's embedding, (4,) float32, L2-normalised: black and white lie apart, too."""
    point = np.array([*(np.asarray(rgb, float) / 127.5 - 1), 0.5], np.float32)
    return point / np.linalg.norm(point)


class ColourEngine(Engine):
    """Embeds a picture as its mean colour and a text as the colours it names. Counts what it computes."""

    def __init__(self, weights_sha256=MODEL.weights_sha256, before=lambda done: None):
        self.info = ModelInfo(**{**vars(MODEL), "weights_sha256": weights_sha256})
        self.imagenet = Head("imagenet", ("red thing", "blue thing"), self.embed(["red", "blue"]), (0, 1))
        self.before = before  # called with the number of prompts that are done
        self.pictures_seen, self.texts_seen, self.unloaded = 0, [], 0

    def embed(self, texts):
        return np.stack([self.place_of(text) for text in texts])

    def place_of(self, text):
        named = [rgb for name, rgb in COLOURS.items() if name in text.lower()]
        return place(np.mean(named, axis=0)) if named else place((127.5, 127.5, 127.5))

    def embed_images(self, pictures):
        self.pictures_seen += len(pictures)
        return np.stack([place(np.asarray(picture).reshape(-1, 3).mean(axis=0)) for picture in pictures])

    def classify(self, picture, head=None, top=5):
        embedding = self.embed_images([picture])[0]
        return Answer(self.rank_embedding(embedding, head, top), embedding)

    def rank_embedding(self, embedding, head=None, top=5):
        head = head or self.imagenet
        cosines = head.weights @ embedding
        learned = 0 if head.adapter is None else head.adapter.cosines(embedding[None])[0]
        return self.rank(100 * (cosines + learned), cosines, head, top)

    def occlude(self, picture):
        """Covers with grey, by the same windows as CLIP."""
        covered = windows(GRID).reshape(-1, GRID, GRID)
        edges = np.arange(picture.width) * GRID // picture.width, np.arange(picture.height) * GRID // picture.height
        pixels = np.asarray(picture.convert("RGB"))
        rows = [pixels] + [np.where(each[edges[1]][:, edges[0]][:, :, None], 127, pixels) for each in covered]
        return Occlusion(GRID, self.embed_images(rows))

    def occlusion_logits(self, occlusion, head):
        return 100 * occlusion.responses @ head.weights.T

    def embed_texts(self, texts):
        self.texts_seen += texts
        return self.embed(texts)

    def build_head(self, name, labels, templates, progress=None):
        total = len(labels) * len(templates)
        for done in range(total):
            self.before(done)
            if progress:
                progress("building", done, total)
        return Head(name, tuple(labels), self.embed(labels), (None,) * len(labels))

    def unload_text(self):
        self.unloaded += 1


def serve(loaded: Engine):
    """Make the services answer with this engine, which is there, whatever was tried before."""
    return mock.patch.multiple(engines, engine_get=mock.Mock(return_value=loaded), _away=set())


class ColourEngineMixin:
    """The colour engine answers, and no label or prompt is remembered from another test."""

    def setUp(self):
        heads.heads_forget()
        texts.cache.clear()
        self.addCleanup(texts.cache.clear)
        self.engine = ColourEngine()
        self.enterContext(serve(self.engine))


class ColourTestCase(ColourEngineMixin, TestCase):
    pass
