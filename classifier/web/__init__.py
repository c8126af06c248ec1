"""Pages: each parses, calls a service and answers; neither torch nor Pillow."""
