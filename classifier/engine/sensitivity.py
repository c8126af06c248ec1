"""How much agreement each linear layer costs when it is rounded to int8.

Rounding a layer moves its output by e, which is measured; to first order that moves the embedding z by J e, J being how
the embedding follows that output. A cosine loses |J e|^2 / 2|z|^2, of what is orthogonal to z. Instead of J, or of one
pass per layer, K random directions r are sent backwards: the mean of (r J e)^2 over r is |J e|^2. One pass forward, the
inputs of all blocks kept, and K backward, a block in memory at a time, serve all layers; for the towers here that is a
tenth to a fiftieth of the work of trying one layer after the other.

Shapes: T tokens (of B pictures or texts), I inputs, O outputs of a layer, E embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from classifier.engine.image_tower import LINEARS, block_tensors
from classifier.engine.quantise import Calibration, block_smoothed, rounded
from classifier.engine.stack import Stack

DIRECTIONS = 4  # K; with 8 pictures that are 32 samples of what a layer costs in the mean


def layer_losses(stack: Stack, calibration: Calibration, seed: int = 0) -> dict[str, Tensor]:
    """By layer ("blocks.3.fc") the cosine that int8 loses there, of each picture or text watched. (B',)"""
    inputs, count = calibration.inputs, len(calibration.inputs[0]) * stack.count // len(stack.start)
    losses: dict[str, Tensor] = {}
    with torch.inference_mode(False), torch.enable_grad():
        gradients = end_gradients(stack, inputs[-1].clone(), seed)
        for layer in reversed(range(stack.layers)):
            tensors = block_smoothed(block_tensors(stack.state, layer), calibration.scales[layer])
            watch, x = Watch(), inputs[layer].clone().requires_grad_()
            y = stack.block({name: tensor.clone() for name, tensor in tensors.items()}, x, count, watch)
            effects = {name: torch.zeros(count) for name in LINEARS}
            for place, gradient in enumerate(gradients):
                wanted = [x, *watch.moved.values()]
                found = torch.autograd.grad(y, wanted, gradient, retain_graph=place + 1 < len(gradients))
                gradients[place] = found[0]
                for name, along in zip(watch.moved, found[1:], strict=True):
                    effects[name] += (along * watch.errors[name]).view(count, -1).sum(dim=1).square()  # (r J e)^2
            losses |= {f"blocks.{layer}.{name}": effect / 2 / len(gradients) for name, effect in effects.items()}
    return losses


def end_gradients(stack: Stack, x: Tensor, seed: int) -> list[Tensor]:
    """K random directions of the embedding, orthogonal to it and as fractions of its length, sent back to the last
    block's output. (T, D) each"""
    x.requires_grad_()
    z = stack.finish(x)  # (B', E)
    unit = F.normalize(z.detach(), dim=1)
    random = torch.Generator().manual_seed(seed)
    gradients: list[Tensor] = []
    for place in range(DIRECTIONS):
        r = torch.randn(z.shape, generator=random)
        r = (r - (r * unit).sum(dim=1, keepdim=True) * unit) / z.detach().norm(dim=1, keepdim=True)
        gradients += torch.autograd.grad(z, x, r, retain_graph=place + 1 < DIRECTIONS)
    return gradients


class Watch:
    """Does linear layers, measures what int8 would add to each output, and lets gradients be taken there."""

    def __init__(self) -> None:
        self.errors: dict[str, Tensor] = {}  # (T, O)
        self.moved: dict[str, Tensor] = {}  # zeros, added to each output

    def __call__(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = F.linear(x, weight, bias)
        with torch.no_grad():
            self.errors[name] = F.linear(rounded(x), rounded(weight), bias) - y
        self.moved[name] = torch.zeros_like(y, requires_grad=True)
        return y + self.moved[name]
