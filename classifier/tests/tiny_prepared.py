"""The tiny CLIP for a server that is started as a program: prepared once into a folder, as `prepare_model` would.

    eval "$(python -m classifier.tests.tiny_prepared FOLDER)"

prints the settings to serve with. ImageNet's labels are not what it knows, but it reads texts and embeds pictures.
"""

import shlex
import shutil
import sys
from pathlib import Path

from classifier.engine import Config, prepare
from classifier.tests import tiny_clip


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model = folder.resolve() / "tiny-clip.pt"
    if not model.exists():
        shutil.copy(tiny_clip.checkpoint_path(), model)
    prepare(Config(model=str(model), model_dir=folder.resolve(), precision="int8", threads=1))
    for name, value in (("CLIP_MODEL", model), ("CLIP_MODEL_DIR", folder.resolve()), ("CLIP_PRECISION", "int8")):
        print(f"export {name}={shlex.quote(str(value))}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
