"""CLIP inference: torch and numpy, no Django."""
