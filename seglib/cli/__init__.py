"""`seglib` on the command line: train, evaluate, predict, data, models."""

from seglib.cli.app import main

__all__ = ["main"]
