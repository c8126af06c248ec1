"""Serve with the tiny CLIP: prepared once per run and precision, by the code behind `manage.py prepare_model`."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from django.test import override_settings

from classifier.engine import Config, prepare
from classifier.services import heads, texts
from classifier.tests import checkpoints, tiny_clip

# One prompt per ImageNet label where 80 would take a minute, and ImageNet's labels are not what the tiny CLIP knows.
FEW_PROMPTS = mock.patch("classifier.engine.conversion.imagenet_templates", return_value=("a photo of a {}.",))


@functools.cache
def prepared(precision: str) -> dict:
    """Settings under which the services serve with the tiny CLIP."""
    model, model_dir = str(tiny_clip.checkpoint_path()), checkpoints.scratch() / f"tiny-clip-{precision}"
    prepare(Config(model=model, model_dir=model_dir, precision=precision, threads=1))
    return {
        "CLIP_MODEL": model,
        "CLIP_MODEL_DIR": model_dir,
        "CLIP_PRECISION": precision,
        "CLIP_THREADS": 1,
        "RATE_LIMIT_PER_MINUTE": 0,
        "RATE_LIMIT_KEY_PER_MINUTE": 0,
    }


@contextmanager
def tiny_server(precision: str = "fp32") -> Iterator[None]:
    """Within it the services serve with the tiny CLIP, remembering nothing of other tests; for `enterClassContext`."""
    texts.cache.clear()
    heads.heads_forget()
    with FEW_PROMPTS, override_settings(**prepared(precision)):
        yield
