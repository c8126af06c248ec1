#!/usr/bin/env python3
"""Write classifier/static/classifier/favicon.ico, for browsers that ask for it, and card.png, for shared links.

Both are icon.svg's drawing: the ground, four corners and the eye in the middle.
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

TARGET = Path(__file__).resolve().parent.parent / "classifier" / "static" / "classifier"
GROUND, CORNERS, EYE, PAPER, INK, MUTED = "#0c6b5e", "#ffffff", "#8fe3d6", "#fbfaf7", "#1d1c1a", "#625d55"


def icon(side: int) -> Image.Image:
    """icon.svg, drawn at four times the size and scaled down."""
    unit = 4 * side / 32
    image = Image.new("RGBA", (4 * side, 4 * side))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, 4 * side - 1, 4 * side - 1), 8 * unit, fill=GROUND)
    for x, y, turn in ((7, 7, 180), (25, 7, 270), (25, 25, 0), (7, 25, 90)):
        inward_x, inward_y = (1 if x < 16 else -1), (1 if y < 16 else -1)
        line = {"fill": CORNERS, "width": round(2.5 * unit)}
        draw.line([(x * unit, (y + 2 * inward_y) * unit), (x * unit, (y + 5 * inward_y) * unit)], **line)
        draw.line([((x + 2 * inward_x) * unit, y * unit), ((x + 5 * inward_x) * unit, y * unit)], **line)
        centre = ((x + 2 * inward_x) * unit, (y + 2 * inward_y) * unit)
        reach = 2 * unit + line["width"] / 2
        box = (centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach)
        draw.arc(box, turn, turn + 90, **line)
    draw.ellipse((12.5 * unit, 12.5 * unit, 19.5 * unit, 19.5 * unit), fill=EYE)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def card() -> Image.Image:
    """1200 x 630, what networks cut others to."""
    image = Image.new("RGB", (1200, 630), PAPER)
    sign = icon(240)
    image.paste(sign, (96, 195), sign)
    draw = ImageDraw.Draw(image)
    draw.text((400, 218), "Heroku CLIP", font=ImageFont.load_default(84), fill=INK)
    draw.text((402, 338), "What is in this picture?", font=ImageFont.load_default(46), fill=MUTED)
    return image


def main() -> None:
    icon(48).save(TARGET / "favicon.ico", sizes=[(16, 16), (32, 32), (48, 48)])
    card().quantize(64).save(TARGET / "card.png", optimize=True)


if __name__ == "__main__":
    main()
