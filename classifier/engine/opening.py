"""An engine in one line, for notebooks and scripts: what is missing is fetched and converted first."""

from __future__ import annotations

import os
from pathlib import Path

from classifier.engine import Config, Engine, get_engine, prepare
from classifier.engine.checkpoint import Progress
from classifier.engine.progress import StepBars
from classifier.errors import ModelUnavailable


def engine_open(
    model: str,
    *,
    precision: str,
    device: str,
    model_dir: str | Path | None,
    threads: int | None,
    progress: Progress | None,
) -> Engine:
    """See Engine.open."""
    config = Config(
        model=model,
        model_dir=directory(model_dir),
        precision=precision,
        device=device,
        threads=threads or os.cpu_count() or 1,
        weights_url=os.environ.get("CLIP_WEIGHTS_URL", "").strip() or Config.weights_url,
    )
    try:
        return get_engine(config)
    except ModelUnavailable:  # not prepared yet, or for something else: then the second call says what
        bars = StepBars()
        try:
            prepare(config, progress=progress or bars)
        finally:
            bars.close()
        return get_engine(config)


def directory(model_dir: str | Path | None) -> Path:
    """Where models are kept."""
    cache = os.environ.get("XDG_CACHE_HOME", "").strip() or "~/.cache"
    chosen = model_dir or os.environ.get("CLIP_MODEL_DIR", "").strip() or f"{cache}/heroku-clip"
    return Path(chosen).expanduser()
