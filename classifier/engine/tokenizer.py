"""Text to the tokens CLIP reads, with OpenAI's own byte-pair tokenizer (clip/simple_tokenizer.py).

The tokenizer holds some 30 MB: make one when text is encoded and let it go afterwards.
"""

import importlib.util
import sys

WORDS_KEPT = 10_000  # some 5 MB at most, whatever people type; ImageNet's prompts have 2,000


def clip_package() -> None:
    """Make OpenAI's modules importable without running clip/__init__.py, which imports torchvision."""
    if "clip" not in sys.modules:
        found = importlib.util.find_spec("clip")
        if found is None:
            raise ModuleNotFoundError("OpenAI's package is not installed: rf-clip, in requirements.txt")
        sys.modules["clip"] = importlib.util.module_from_spec(found)


class Tokenizer:
    """OpenAI's tokenizer; `encode` adds the start-of-text and end-of-text tokens."""

    def __init__(self) -> None:
        clip_package()
        from clip import simple_tokenizer

        self._openai = simple_tokenizer
        self._bpe = simple_tokenizer.SimpleTokenizer()
        self._bpe.decoder = {}  # tokens are never turned back into text
        self._words: dict[str, tuple[int, ...]] = {}
        self.start = self._bpe.encoder["<|startoftext|>"]
        self.end = self._bpe.encoder["<|endoftext|>"]

    def encode(self, text: str) -> tuple[int, ...]:
        """Tokens of a text, from start-of-text up to and with the first end-of-text.

        The same as SimpleTokenizer.encode, which splits a cleaned text by a pattern that never reaches across a space:
        so words are looked up one by one, and the prompts of a head, which repeat a few thousand, cost next to nothing.
        """
        tokens = [self.start]
        for word in self._clean(text):
            tokens += self._words.get(word) or self._encode_word(word)
        # A text may spell "<|endoftext|>" itself. clip reads its embedding at the first one (text.argmax).
        tokens.append(self.end)
        return tuple(tokens[: tokens.index(self.end) + 1])

    def _clean(self, text: str) -> list[str]:
        """The words of a text, cleaned as OpenAI's code does; cleaning finds nothing to do in plain ASCII."""
        if not (text.isascii() and text.isprintable() and "&" not in text):
            text = self._openai.whitespace_clean(self._openai.basic_clean(text))
        return text.lower().split()

    def _encode_word(self, word: str) -> tuple[int, ...]:
        if len(self._words) >= WORDS_KEPT:
            self._words.clear()
            self._bpe.cache = {special: special for special in ("<|startoftext|>", "<|endoftext|>")}
        parts = self._bpe.pat.findall(word)
        as_bytes = ("".join(self._bpe.byte_encoder[byte] for byte in part.encode("utf-8")) for part in parts)
        pieces = (piece for part in as_bytes for piece in self._bpe.bpe(part).split(" "))
        self._words[word] = tuple(self._bpe.encoder[piece] for piece in pieces)
        return self._words[word]
