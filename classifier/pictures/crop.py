"""Which square of a picture the model saw, drawn as SVG paths in the picture's own pixels."""

from dataclasses import dataclass

# Pixels that OpenAI's models read, where it is not 224: visual.input_resolution of each checkpoint. For one's own
# checkpoints 224 stands in, which moves the outline by less than a pixel of what they read.
RESOLUTIONS = {"RN50x4": 288, "RN50x16": 384, "RN50x64": 448, "ViT-L/14@336px": 336}
SMALLEST = 1 / 16  # of the shorter side, which a square that somebody chooses may measure
PANORAMA = 1.5  # longer by shorter side, from which on more than one square is offered
STANDIN_SHORTER = 256  # pixels: EfficientNet-Lite0 scales to this and cuts 224 out of the middle


@dataclass(frozen=True)
class Crop:
    """A square in pixels of the upright picture; width and height differ by rounding at most."""

    left: float
    top: float
    width: float
    height: float


def crop_seen(width: int, height: int, model: str) -> Crop:
    """The part of a picture of (width, height) that `model` reads; engine/preprocess.py has the rule."""
    side = RESOLUTIONS.get(model, 224)
    shorter = STANDIN_SHORTER if model.startswith("stand-in") else side
    longer = int(shorter * max(width, height) / min(width, height))
    across, down = (shorter, longer) if width <= height else (longer, shorter)
    x, y = width / across, height / down  # pixels of the picture per pixel of the resized one
    left, top = round((across - side) / 2), round((down - side) / 2)
    return Crop(left * x, top * y, side * x, side * y)


def crop_paths(crop: Crop, width: int, height: int) -> dict[str, str]:
    """`outside`: all but the crop (evenodd). `corners`: its four corners, drawn a little inside it."""
    inset, arm = 0.015 * crop.width, 0.13 * crop.width
    left, top = crop.left + inset, crop.top + inset
    right, bottom = crop.left + crop.width - inset, crop.top + crop.height - inset
    hole = f"M{crop.left:.1f} {crop.top:.1f}h{crop.width:.1f}v{crop.height:.1f}h-{crop.width:.1f}z"
    corners = [
        f"M{x:.1f} {y + down:.1f}V{y:.1f}H{x + across:.1f}"
        for x, across in ((left, arm), (right, -arm))
        for y, down in ((top, arm), (bottom, -arm))
    ]
    return {"outside": f"M0 0h{width}v{height}h-{width}z{hole}", "corners": "".join(corners)}


def smallest_side(width: int, height: int) -> int:
    """Pixels that a square somebody chooses in a picture of (width, height) has at least."""
    return max(1, round(SMALLEST * min(width, height)))


def square_within(width: int, height: int, left: int, top: int, side: int) -> Crop:
    """The nearest square to the one given that lies in a picture of (width, height)."""
    side = min(max(side, smallest_side(width, height)), width, height)
    return Crop(min(max(left, 0), width - side), min(max(top, 0), height - side), side, side)


def squares_offered(width: int, height: int) -> list[Crop]:
    """The squares that cover a panorama from end to end, overlapping as little as they can; none for other pictures."""
    side, longer = min(width, height), max(width, height)
    if longer < PANORAMA * side:
        return []
    count = -(-longer // side)
    places = [round(step * (longer - side) / (count - 1)) for step in range(count)]
    return [Crop(*((place, 0) if width > height else (0, place)), side, side) for place in places]
