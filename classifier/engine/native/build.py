"""Compiling the C files, once for each version of them: at `prepare_model`, on Heroku in the slug's build.

Nothing depends on it: without a compiler the engine runs on torch's kernels.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
BUILT = HERE / "built"
FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC", "-pthread", "-march=x86-64-v4", "-mavx512vnni")
COMPILERS = ("cc", "gcc", "clang")
TIMEOUT = 180  # seconds; it takes 3

logger = logging.getLogger(__name__)


@functools.cache
def library_path() -> Path:
    """Where the library of these sources belongs. Another version's has another name."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for source in sorted([*HERE.glob("*.c"), *HERE.glob("*.h")]):
        digest.update(source.read_bytes())
    return BUILT / f"native-{digest.hexdigest()[:16]}.so"


def library_build() -> bool:
    """Compile what is not compiled yet; whether it is there now. What went wrong is logged, and no error."""
    if library_path().is_file():
        return True
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return False
    compiler = next(filter(shutil.which, (os.environ.get("CC", ""), *COMPILERS)), None)
    if compiler is None:
        logger.info("There is no C compiler: int8 runs on torch's kernels, which take half as long again.")
        return False
    try:
        compile_by(compiler)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        logger.warning("%s could not compile the C kernels; int8 runs on torch's: %s", compiler, said)
        return False
    return True


def compile_by(compiler: str) -> None:
    """Beside its place first, so that nobody ever loads half a library."""
    BUILT.mkdir(exist_ok=True)
    partial = BUILT / f"{os.getpid()}.partial"
    try:
        command = [compiler, *FLAGS, *map(str, sorted(HERE.glob("*.c"))), "-o", str(partial)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT)
        for old in BUILT.glob("native-*.so"):
            old.unlink(missing_ok=True)
        partial.replace(library_path())
    finally:
        partial.unlink(missing_ok=True)
