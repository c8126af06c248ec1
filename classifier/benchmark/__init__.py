"""Measuring: not imported by the application."""
