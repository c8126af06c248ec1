#!/usr/bin/env python3
"""Write classifier/data/imagenet.json: the 1000 ImageNet classes and the 80 prompt templates of OpenAI's CLIP.

Sources, all read as text out of wheels from PyPI (importing them would need torchvision):
- open_clip_torch 3.3.0, `open_clip/zero_shot_metadata.py`: OpenAI's curated class names and prompt templates
  (https://github.com/openai/CLIP/blob/main/notebooks/Prompt_Engineering_for_ImageNet.ipynb);
- timm 1.0.31, `timm/data/_info/`: the WordNet id (synset) of each class, in ImageNet's order, and its WordNet lemmas;
- torchvision 0.28.0, `torchvision/models/_meta.py`: an independent list of the names, to check the order against.

Each class gets `name`, which goes into the prompts and is OpenAI's, untouched, so that the zero-shot head is OpenAI's
too; and `label`, which is shown. They differ where OpenAI's list names two classes alike (missile 657 and 744,
sunglasses 836 and 837): there the label of the second adds the WordNet lemma that tells it apart.

    pip download --no-deps open_clip_torch==3.3.0 timm==1.0.31 torchvision==0.28.0
    script/make_imagenet_json.py open_clip_torch-*.whl timm-*.whl torchvision-*.whl
"""

import argparse
import ast
import json
import zipfile
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "classifier" / "data" / "imagenet.json"


def wheel_text(wheel: str, member: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member).decode()


def assigned(source: str, name: str) -> ast.expr:
    """The expression that a module assigns to `name`."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return node.value
    raise SystemExit(f"{name} is not in the module.")


def template_text(function: ast.Lambda) -> str:
    """`lambda c: f'a photo of a {c}.'` -> `a photo of a {}.`"""
    return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in function.body.values)


def unique_labels(names: list[str], lemmas: list[list[str]]) -> list[str]:
    """What is shown: the name, and for the later of two equal names the lemma that the earlier does not have."""
    labels = []
    for name, own in zip(names, lemmas, strict=True):
        if name in labels:
            earlier = lemmas[labels.index(name)]
            name = f"{name} ({next(lemma for lemma in own if lemma not in (name, *earlier))})"
        labels.append(name)
    return labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("open_clip_wheel")
    parser.add_argument("timm_wheel")
    parser.add_argument("torchvision_wheel")
    args = parser.parse_args()

    metadata = wheel_text(args.open_clip_wheel, "open_clip/zero_shot_metadata.py")
    names = list(ast.literal_eval(assigned(metadata, "IMAGENET_CLASSNAMES")))
    templates = [template_text(function) for function in assigned(metadata, "OPENAI_IMAGENET_TEMPLATES").elts]
    synsets = wheel_text(args.timm_wheel, "timm/data/_info/imagenet_synsets.txt").split()
    rows = wheel_text(args.timm_wheel, "timm/data/_info/imagenet_synset_to_lemma.txt").splitlines()
    lemma_of = {row.split("\t")[0]: row.split("\t")[1].split(", ") for row in rows if row}
    lemmas = [lemma_of[synset] for synset in synsets]
    reference = ast.literal_eval(assigned(wheel_text(args.torchvision_wheel, "torchvision/models/_meta.py"),
                                          "_IMAGENET_CATEGORIES"))  # fmt: skip

    assert len(names) == len(set(synsets)) == 1000 and len(templates) == len(set(templates)) == 80
    assert synsets == sorted(synsets)  # ImageNet numbers its classes in the order of their ids
    strangers = [i for i in range(1000) if reference[i].lower() not in [lemma.lower() for lemma in lemmas[i]]]
    assert strangers == [134, 639], strangers  # torchvision's "crane bird" and "maillot tank suit"
    labels = unique_labels(names, lemmas)
    assert len(set(labels)) == 1000

    classes = [
        {"index": i, "synset": synsets[i], "name": names[i], "label": labels[i], "lemmas": lemmas[i]}
        for i in range(1000)
    ]
    lines = ",\n".join("    " + json.dumps(entry, ensure_ascii=False) for entry in classes)
    quoted = ",\n".join("    " + json.dumps(template) for template in templates)
    TARGET.write_text(f'{{\n  "templates": [\n{quoted}\n  ],\n  "classes": [\n{lines}\n  ]\n}}\n')
    changed = [f"{i}: {labels[i]}" for i in range(1000) if labels[i] != names[i]]
    print(f"{TARGET}: 1000 classes, 80 templates; labels that differ from OpenAI's names: {'; '.join(changed)}")


if __name__ == "__main__":
    main()
