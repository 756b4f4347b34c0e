"""Why weights don't fit a model, and the options of `build_model` under which they would."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seglib.backbones import BACKBONES, build_backbone

# Options that change what a network computes, but no tensor's name or shape, with their defaults.
DEFAULTS: dict[str, dict[str, object]] = {
    "backbone_options": {
        "legacy_padding": False,
        "legacy_tail": False,
        "legacy_dilation": False,
        "legacy_stem": False,
        "norm_eps": 1e-3,
        "multi_grid": None,
        "style": "pytorch",
    },
    "head_options": {"align_corners": False, "aspp_rates": None},
}


class Hint(NamedTuple):
    """An option of `build_model` to set; or, without an argument, words that say what to do."""

    argument: str  # backbone_options, head_options or ""
    option: str
    value: object = None


def silent_differences(
    model: nn.Module, options: Mapping[str, object], config: Mapping[str, object]
) -> list[Hint]:
    """The options that no tensor shows and that the model has with another value.

    Args:
        model: into which the weights shall go.
        options: option → value, known of the weights' origin; those that the model lacks are
            skipped.
        config: arguments of `build_model` kept with the weights, or empty.
    """
    trained = dict(options)
    for argument, defaults in DEFAULTS.items():
        kept = config.get(argument)
        if isinstance(kept, Mapping):
            trained |= {option: kept.get(option, value) for option, value in defaults.items()}
    hints = []
    for option, value in trained.items():
        value = tuple(value) if isinstance(value, list) else value
        if option == "aspp_rates" and value is None:
            continue  # they follow output_stride, which may differ from training's
        argument = "head_options" if option in DEFAULTS["head_options"] else "backbone_options"
        owners = (model, getattr(model, "backbone", model), getattr(model, "head", model))
        if any(getattr(owner, option, value) != value for owner in owners):
            hints.append(Hint(argument, option, value))
    return hints


def in_words(hints: Iterable[Hint]) -> str:
    """Arguments of `build_model`, as one would type them; "" for no hint."""
    hints = list(hints)
    words = [hint.option for hint in hints if not hint.argument]
    for argument in DEFAULTS:
        options = {hint.option: hint.value for hint in hints if hint.argument == argument}
        if options:
            words.append(f"{argument}={options}")
    return ", ".join(words)


def adopt_options(model: nn.Module, options: Mapping[str, object]) -> None:
    """Set options that no layer depends on, in the backbone and in the arguments kept to rebuild
    it.
    """
    backbone = getattr(model, "backbone", model)
    config = getattr(model, "config", {})
    for option, value in options.items():
        if hasattr(backbone, option):
            setattr(backbone, option, value)
            if "backbone_options" in config:
                config["backbone_options"] = {**config["backbone_options"], option: value}


def shape_hints(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[Hint]:
    """What would give the model the shapes of `given`, as far as they tell."""
    other = _another_backbone(given, own, _prefix(own))
    if other is not None:
        return [Hint("", f"the backbone {other}"), *_head_hints(given, own)]
    return [*_backbone_hints(given, own), *_head_hints(given, own)]


def _prefix(own: Mapping[str, Tensor]) -> str:
    return "backbone." if any(name.startswith("backbone.") for name in own) else ""


def _size(state: Mapping[str, Tensor], name: str, axis: int) -> int | None:
    return state[name].shape[axis] if name in state and state[name].ndim > axis else None


def _backbone_hints(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[Hint]:
    prefix = _prefix(own)
    stems = ("features.0.0.weight", "conv1.weight", "conv_stem.weight")
    for name in (prefix + stem for stem in stems):
        channels = _size(given, name, 1)
        if channels is not None and name in own and channels != _size(own, name, 1):
            yield Hint("", f"in_channels={channels}")
    width = f"{prefix}features.17.conv.2.weight"
    if _size(given, width, 0) not in (None, _size(own, width, 0)):
        yield Hint("backbone_options", "width_mult", round(given[width].shape[0] / 320, 3))
    last = "head.aspp.convs.0.0.weight"
    for number, channels in ((16, 960), (12, 576)):  # MobileNetV3's last convolution
        there = _size(given, last, 1), f"{prefix}features.{number}.0.weight" in given
        if there == (channels, True) and _size(own, last, 1) != channels:
            yield Hint("backbone_options", "out_blocks", (number,))


def _another_backbone(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], prefix: str
) -> str | None:
    """The name of the backbone that `given` is of, if it is known and not the model's."""
    shapes = {n.removeprefix(prefix): t.shape for n, t in given.items() if n.startswith(prefix)}
    best: tuple[int, str | None] = (0, None)
    for name in BACKBONES:
        with torch.device("meta"):
            state = build_backbone(name).state_dict()
        if all(n in shapes and shapes[n][:1] == t.shape[:1] for n, t in state.items() if t.ndim):
            same = {n: t.shape[:1] for n, t in state.items()} == {
                n.removeprefix(prefix): t.shape[:1]
                for n, t in own.items()
                if n.startswith(prefix) and not n.startswith("head.")
            }
            best = max(best, (len(state), None if same else name), key=lambda pair: pair[0])
    return best[1]


def _head_hints(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[Hint]:
    if not any(name.startswith("head.") for name in given):
        return

    def convs(state: Mapping[str, Tensor]) -> list[str]:
        return [n for n, t in state.items() if n.startswith("head.classifier.") and t.ndim == 4]

    def separable(state: Mapping[str, Tensor]) -> bool:
        return any(n.startswith("head.") and "pointwise" in n for n in state)

    def kind(state: Mapping[str, Tensor]) -> str:
        if any(name.startswith("head.fpn.") for name in state):
            return "fpn"
        return "deeplabv3plus" if "head.project.0.weight" in state else "deeplabv3"

    if kind(given) != kind(own):
        yield Hint("", f"the head {kind(given)}")
    elif separable(given) != separable(own):
        yield Hint("head_options", "separable", separable(given))
    elif len(convs(given)) != len(convs(own)):
        yield Hint("head_options", "decoder_convs", len(convs(given)) - 1)
    elif convs(given) and _size(given, convs(given)[-1], 0) != _size(own, convs(own)[-1], 0):
        last = convs(own)[-1].removesuffix(".weight")
        yield Hint("", f"num_classes={_size(given, convs(given)[-1], 0)} or exclude=('{last}',)")
    for name, option in (
        ("head.aspp.convs.0.0.weight", "aspp_channels"),
        ("head.project.0.weight", "low_level_channels"),
    ):
        there = _size(given, name, 0)
        if there is not None and name in own and there != _size(own, name, 0):
            yield Hint("head_options", option, there)
