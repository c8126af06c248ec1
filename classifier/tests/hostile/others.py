"""Files that are no picture, or none that is read."""

from __future__ import annotations

from classifier.tests.hostile.common import FULL, LIMITS, Cases, noise
from classifier.tests.photos import encoded


def cases() -> Cases:
    texts = {
        "HTML": b"<!DOCTYPE html><script>alert(1)</script>",
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "SVG behind an XML bomb": b"<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a 'a'><!ENTITY b '&a;&a;'>]><l>&b;</l>",
        "JavaScript": b"alert(1)",
        "PostScript": b"%!PS-Adobe-3.0\n(/etc/passwd) (r) file\n",
        "PDF": b"%PDF-1.7\n",
        "ZIP": b"PK\3\4" + bytes(1000),
        "a program": b"\x7fELF" + bytes(1000),
        "HTML behind a line of control characters": b"\x1b[2J\x07\r\n<html>",
        "zeros": bytes(FULL),
        "one byte": b"\0",
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(1000),
        "MP4": b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(1000),
    }
    found = {name: ("UnsupportedImage", lambda data=data: data) for name, data in texts.items()}
    for kind in ("PPM", "ICO", "TGA", "PCX", "SGI", "JPEG2000", "EPS", "ICNS", "DDS", "QOI", "IM", "MSP", "SPIDER"):
        mode = {"MSP": "1", "SPIDER": "F"}.get(kind, "RGB")
        found[f"{kind}, which Pillow reads and we do not"] = (
            "UnsupportedImage",
            lambda kind=kind, mode=mode: encoded(noise(mode), kind),
        )
    found["nothing"] = ("MissingImage", lambda: b"")
    found["one byte too many"] = (
        "ImageTooLarge",
        lambda: encoded(noise(), "JPEG").ljust(LIMITS["max_bytes"] + 1, b"\0"),
    )
    return found
