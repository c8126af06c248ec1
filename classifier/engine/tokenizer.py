"""Text to the tokens CLIP reads, with OpenAI's own byte-pair tokenizer (clip/simple_tokenizer.py).

The tokenizer holds some 30 MB: make one when text is encoded and let it go afterwards.
"""

import functools
import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

KEPT_BYTES = 2_000_000  # of words that were looked up, whatever people type; ImageNet's prompts have 2,000 of 200 bytes
LONGEST_KEPT = 40  # characters; a longer word is no word, and is seldom typed twice
WORD_BYTES = 180  # that the containers of one take
SPECIAL = ("<|startoftext|>", "<|endoftext|>")


@functools.cache
def clip_module(name: str) -> ModuleType:
    """OpenAI's clip/`name`.py without clip/__init__.py, which imports torchvision.

    `sys.modules` does not get to know it, so that `import clip` is the real package for whoever wants that.
    """
    package = importlib.util.find_spec("clip")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("OpenAI's package is not installed: rf-clip, in requirements.txt")
    path = Path(package.submodule_search_locations[0]) / f"{name}.py"
    loader = SourceFileLoader(f"openai_{name}", str(path))
    module = ModuleType(loader.name)
    module.__file__ = str(path)
    loader.exec_module(module)
    return module


def words_read(text: str) -> list[str]:
    """The words of a text as CLIP reads them: cleaned by OpenAI's code, which finds nothing to do in plain ASCII."""
    if not (text.isascii() and text.isprintable() and "&" not in text):
        openai = clip_module("simple_tokenizer")
        text = openai.whitespace_clean(openai.basic_clean(text))
    return text.lower().split()


class Tokenizer:
    """OpenAI's tokenizer; `encode` adds the start-of-text and end-of-text tokens."""

    def __init__(self) -> None:
        self._bpe = clip_module("simple_tokenizer").SimpleTokenizer()
        self._bpe.decoder = {}  # tokens are never turned back into text
        self._words: dict[str, tuple[int, ...]] = {}
        self._held = 0  # bytes, about
        self.start = self._bpe.encoder["<|startoftext|>"]
        self.end = self._bpe.encoder["<|endoftext|>"]

    def encode(self, text: str, most: int | None = None) -> tuple[int, ...]:
        """Tokens of a text, from start-of-text up to and with the first end-of-text; with `most`, not many more.

        The same as SimpleTokenizer.encode, which splits a cleaned text by a pattern that never reaches across a space:
        so words are looked up one by one, and the prompts of a head, which repeat a few thousand, cost next to nothing.
        """
        tokens = [self.start]
        for word in words_read(text):
            tokens += self._words.get(word) or self._encode_word(word)
            if most is not None and len(tokens) > most:
                break
        # A text may spell "<|endoftext|>" itself. clip reads its embedding at the first one (text.argmax).
        tokens.append(self.end)
        return tuple(tokens[: tokens.index(self.end) + 1])

    def _encode_word(self, word: str) -> tuple[int, ...]:
        parts = self._bpe.pat.findall(word)
        as_bytes = ("".join(self._bpe.byte_encoder[byte] for byte in part.encode("utf-8")) for part in parts)
        pieces = (piece for part in as_bytes for piece in self._bpe.bpe(part).split(" "))
        tokens = tuple(self._bpe.encoder[piece] for piece in pieces)
        self._bpe.cache = {special: special for special in SPECIAL}  # OpenAI's keeps every word for good
        if len(word) <= LONGEST_KEPT:
            size = WORD_BYTES + 4 * len(word) + 8 * len(tokens)
            if self._held + size > KEPT_BYTES:
                self._words, self._held = {}, 0
            self._words[word] = tokens
            self._held += size
        return tokens
