"""seglib: the canonical code of a course on semantic segmentation."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seglib.backbones import build_backbone
    from seglib.datasets import build_dataset
    from seglib.models import available_models, build_model
    from seglib.weights import load_weights, save_weights

__version__ = "0.1.0"
__all__ = [
    "available_models",
    "build_backbone",
    "build_dataset",
    "build_model",
    "load_weights",
    "save_weights",
]

_HOMES = {
    "available_models": "seglib.models",
    "build_backbone": "seglib.backbones",
    "build_dataset": "seglib.datasets",
    "build_model": "seglib.models",
    "load_weights": "seglib.weights",
    "save_weights": "seglib.weights",
}


def __getattr__(name: str) -> object:
    """Import a function when it is first asked for: the command line answers without PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'seglib' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
