"""Text to the tokens CLIP reads, with OpenAI's own byte-pair tokenizer (clip/simple_tokenizer.py).

The tokenizer holds some 30 MB: make one when text is encoded and let it go afterwards.
"""

import importlib.util
import sys


def clip_package() -> None:
    """Make OpenAI's modules importable without running clip/__init__.py, which imports torchvision."""
    sys.modules.setdefault("clip", importlib.util.module_from_spec(importlib.util.find_spec("clip")))


class Tokenizer:
    """OpenAI's tokenizer; `encode` adds the start-of-text and end-of-text tokens."""

    def __init__(self) -> None:
        clip_package()
        from clip.simple_tokenizer import SimpleTokenizer

        self._bpe = SimpleTokenizer()
        self.start = self._bpe.encoder["<|startoftext|>"]
        self.end = self._bpe.encoder["<|endoftext|>"]

    def encode(self, text: str) -> tuple[int, ...]:
        """Tokens of a text, from start-of-text up to and with the first end-of-text."""
        tokens = (self.start, *self._bpe.encode(text), self.end)
        # A text may spell "<|endoftext|>" itself. clip reads its embedding at the first one (text.argmax).
        return tokens[: tokens.index(self.end) + 1]
