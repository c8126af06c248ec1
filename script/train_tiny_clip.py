#!/usr/bin/env python3
"""Train the tiny CLIP of the tests and write classifier/tests/data/tiny_clip.npz: some ten minutes on one core.

    .venv/bin/python script/train_tiny_clip.py [--steps 2000] [--out FILE]

The network is OpenAI's (clip.model.CLIP: a vision and a text transformer, OpenAI's tokenizer), 48 px. The pictures and
their captions are those of classifier/tests/tiny_clip.py: shapes by colour, shape, count and place. The loss is CLIP's
(Radford et al. 2021, figure 3), symmetric over a batch, with one difference: as the scenes are known, every caption of
the batch that is true of a picture counts as right, not its own alone. Captions leave out parts of what they describe
("something red", "a circle"), which teaches colour and shape apart; the pairs of HELD_OUT are never drawn nor named.
"""

import argparse
import json
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from classifier.engine.tokenizer import Tokenizer  # noqa: E402
from classifier.tests import tiny_clip  # noqa: E402
from classifier.tests.tiny_clip import COLOURS, COUNTS, HELD_OUT, PLACES, SHAPES, caption, draw  # noqa: E402

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)  # OpenAI's preprocessing
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
WITH_ARTICLE = ["{}", "{}.", "a photo of {}", "This is a photo of {}.", "a picture of {}", "a drawing of {}.",
                "an image of {}", "there is {}", "I see {}."]  # fmt: skip
PAIRS = [(colour, shape) for colour in COLOURS for shape in SHAPES]
SEEN = [pair for pair in PAIRS if pair not in HELD_OUT]


@dataclass(frozen=True)
class Scene:
    """What a picture shows, or what a caption says; None: it does not say."""

    colour: str | None
    shape: str | None
    count: int | None
    place: str | None

    def holds(self, picture: "Scene") -> bool:
        """Whether this, as a caption, is true of a picture."""
        return (
            self.colour in (None, picture.colour)
            and self.shape in (None, picture.shape)
            and self.count in (None, picture.count)
            and self.place in (None, picture.place)
        )


def scene_random(chance: random.Random) -> Scene:
    """What to draw. A third has a colour that has no name here, which teaches shapes apart from colours."""
    colour, shape = chance.choice(SEEN) if chance.random() < 0.65 else (None, chance.choice(SHAPES))
    if chance.random() < 0.35:
        return Scene(colour, shape, chance.choice([2, 3, 4]), None)
    return Scene(colour, shape, 1, chance.choice([None, *PLACES]))


def said_random(chance: random.Random, scene: Scene) -> Scene:
    """A caption of a scene that says all of it or leaves some of it out."""
    dice = chance.random()
    if dice < 0.12 and scene.colour:
        return Scene(scene.colour, None, None, None)
    if dice < 0.35:
        return Scene(None, scene.shape, scene.count, None)
    return Scene(scene.colour, scene.shape, scene.count, scene.place if dice > 0.65 else None)


def sentence(chance: random.Random, said: Scene, templates: list[str]) -> str:
    """A caption in words, with or without its article, in a random template."""
    phrase = caption(said.colour, said.shape, said.count, said.place)
    if said.shape is None or chance.random() < 0.5:
        return chance.choice(WITH_ARTICLE).replace("{}", phrase)
    bare = phrase.removeprefix("an ").removeprefix("a ")
    return chance.choice(["{}", *templates]).replace("{}", bare)


def pixels(picture: Image.Image) -> torch.Tensor:
    """The tensor CLIP reads, (3, 48, 48), from a square picture."""
    size = tiny_clip.SHAPE[1]
    array = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))
    return (torch.from_numpy(array.copy()).permute(2, 0, 1) / 255 - MEAN) / STD


class Words:
    """OpenAI's tokens, renumbered from 0 in their order, so that the end-of-text token stays the highest."""

    def __init__(self, templates: list[str]) -> None:
        self.tokenizer = Tokenizer()
        chance = random.Random(0)
        scenes = [Scene(*pair, count, place) for pair in PAIRS for count in COUNTS for place in (None, *PLACES)]
        said = [*scenes, *(Scene(colour, None, None, None) for colour in COLOURS)]
        texts = {sentence(chance, s, templates) for s in said} | {t.replace("{}", "red") for t in templates}
        texts |= {t.replace("{}", caption(*pair)) for t in WITH_ARTICLE for pair in PAIRS}
        self.tokens = sorted({token for text in texts for token in self.tokenizer.encode(text)})
        self.number = {token: number for number, token in enumerate(self.tokens)}

    def encode(self, texts: list[str]) -> torch.Tensor:
        """(T, length of the longest) numbers; what follows the end of a text is 0 and is never attended to."""
        rows = [torch.tensor([self.number[token] for token in self.tokenizer.encode(text)]) for text in texts]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def encode_text(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """clip.model.CLIP.encode_text for texts shorter than 77 tokens."""
    length = tokens.shape[1]
    for block in model.transformer.resblocks:
        block.attn_mask = model.build_attention_mask()[:length, :length]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x.permute(1, 0, 2)).permute(1, 0, 2))
    return x[torch.arange(len(x)), tokens.argmax(dim=-1)] @ model.text_projection


class Pool:
    """Pictures drawn once, with what they show, of which each batch takes some at random."""

    def __init__(self, chance: random.Random, count: int) -> None:
        self.scenes = [scene_random(chance) for _ in range(count)]
        self.pictures = torch.stack([
            pixels(draw(s.colour, s.shape, count=s.count, place=s.place, size=(96, 96), seed=chance.getrandbits(32)))
            for s in self.scenes
        ])  # fmt: skip

    def batch(self, chance: random.Random, count: int, words: Words, templates: list[str]) -> tuple[torch.Tensor, ...]:
        """Pictures (B, 3, 48, 48), tokens (B, L) and which caption is true of which picture (B, B)."""
        picked = chance.sample(range(len(self.scenes)), count)
        said = [said_random(chance, self.scenes[number]) for number in picked]
        noise = torch.randn(count, *self.pictures.shape[1:]) * 0.1 * torch.rand(count, 1, 1, 1)
        shift = (chance.randint(-2, 2), chance.randint(-2, 2))  # pixels
        pictures = torch.roll(self.pictures[picked], shift, (2, 3)) * (0.9 + 0.2 * torch.rand(count, 1, 1, 1)) + noise
        tokens = words.encode([sentence(chance, s, templates) for s in said])
        truth = [[s.holds(self.scenes[number]) for s in said] for number in picked]
        return pictures, tokens, torch.tensor(truth, dtype=torch.float32)


def loss_of(model: torch.nn.Module, pictures: torch.Tensor, tokens: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    images = F.normalize(model.encode_image(pictures), dim=-1)
    texts = F.normalize(encode_text(model, tokens), dim=-1)
    logits = model.logit_scale.exp() * images @ texts.T  # (B, B)
    by_image = F.cross_entropy(logits, truth / truth.sum(1, keepdim=True))
    by_text = F.cross_entropy(logits.T, truth.T / truth.T.sum(1, keepdim=True))
    return (by_image + by_text) / 2


def train(words: Words, templates: list[str], steps: int, size: int, seed: int) -> torch.nn.Module:
    from clip.model import CLIP

    torch.manual_seed(seed)
    chance = random.Random(seed)
    shape = list(tiny_clip.SHAPE)
    shape[6] = len(words.tokens)
    model = CLIP(*shape)
    pool = Pool(chance, 10_000)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    began = time.monotonic()
    for step in range(1, steps + 1):
        loss = loss_of(model, *pool.batch(chance, size, words, templates))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        model.logit_scale.data.clamp_(max=4.6052)  # 100, as OpenAI's
        if step % 100 == 0:
            print(f"step {step}/{steps}  loss {loss.item():.3f}  {time.monotonic() - began:.0f} s", flush=True)
            if step % 500 == 0:
                print(report(model, words, 10), flush=True)
    return model.eval()


def write(model: torch.nn.Module, words: Words, path: Path) -> None:
    """The trained parameters in float16; the rows of the token embedding belong to `tokens`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: value.half().numpy() for name, value in model.state_dict().items()}
    np.savez_compressed(path, tokens=np.array(words.tokens, dtype=np.uint16), **arrays)


@torch.no_grad()
def report(model: torch.nn.Module, words: Words, each: int) -> str:
    """Accuracy over all 48 pairs' labels, on new pictures of the pairs that were seen and of those that were not."""
    encoded = encode_text(model, words.encode([f"a photo of {caption(*pair)}" for pair in PAIRS]))
    texts = F.normalize(encoded, dim=-1)
    lines = []
    for name, pairs in (("seen", SEEN), ("held out", HELD_OUT)):
        drawn = torch.stack([pixels(draw(*pair, seed=10_000 + i)) for pair in pairs for i in range(each)])
        chosen = (F.normalize(model.encode_image(drawn), dim=-1) @ texts.T).argmax(1)
        right = torch.tensor([PAIRS.index(pair) for pair in pairs for _ in range(each)])
        lines.append(f"{name}: {(chosen == right).float().mean():.1%} of {len(right)}")
    return "top-1 among 48 labels (chance 2.1%): " + "; ".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=tiny_clip.WEIGHTS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    templates = json.loads((ROOT / "classifier/data/imagenet.json").read_text())["templates"]
    words = Words(templates)
    write(train(words, templates, args.steps, args.batch, args.seed), words, args.out)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes, {len(words.tokens)} tokens")


if __name__ == "__main__":
    main()
