"""From bytes to upright RGB pictures; Pillow, no Django."""
