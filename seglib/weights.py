"""Weights in and out: own files, and checkpoints of other projects."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from seglib.files import atomic_path, read_metadata, read_tensors
from seglib.translation import State, find_dialect
from seglib.weight_hints import adopt_options, in_words, shape_hints, silent_differences

WRAPPINGS = ("model_state", "state_dict", "model")  # keys under which projects keep the state_dict
# Beginnings of names that segmentation does without, where the model has none of that name: the
# ends of classification networks (last convolutions by number), and extra heads for training.
NOT_NEEDED = {
    "classification": (
        *("fc.", "last_linear.", "classifier.", "bn_classifier.", "conv_head.", "final_layer."),
        *("incre_modules.", "downsamp_modules.", "bn4."),
        *("features.18.", "features.16.", "features.12.", "blocks.9."),
    ),
    "segmentation": ("aux_classifier.",),
}


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did: whose names it read, the tensors it set, left alone, and did not
    need.
    """

    origin: str
    loaded: tuple[str, ...]
    kept: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{len(self.loaded)} tensors loaded ({self.origin}), {len(self.kept)} of the model"
            f" kept, {len(self.unused)} of the file not needed"
        )


def load_weights(
    model: nn.Module,
    weights: str | Path | Mapping[str, object],
    *,
    origin: str = "auto",
    exclude: Iterable[str] = (),
) -> LoadReport:
    """Copy weights into `model`, so that it computes what the code they come from computed.

    Everything is checked before anything is changed. The model keeps its dtype and device. VainF's
    HRNet leaves out a ReLU of the stem: its weights set `legacy_stem`, which no layer depends on.

    Args:
        model: a segmentation model, a backbone, or the network of `backbones.classifier`.
        weights: path of a `.safetensors` or PyTorch file, or a state_dict; also one wrapped under
            `model_state`, `state_dict` or `model`, with or without `module.` before its names.
        origin: "seglib", "torchvision", "vainf", "jfzhang95" or "timm"; "auto" tells from the
            names. A classification network fills a segmentation model's backbone and leaves the
            head as it is.
        exclude: beginnings of the model's names to leave as they are: ("head.classifier",) for
            other classes.
    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or holds code, the origin is unknown, or a tensor is
            missing, unknown or of another shape; the message names the option of `build_model`
            that would fit.
    """
    if isinstance(weights, Mapping):
        source, content = "weights", weights
    else:
        source, content = str(weights), read_tensors(weights)
    state = _unwrap(content, source)
    try:
        dialect = find_dialect(state, origin)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    origin = dialect.origins[0] if origin == "auto" else origin
    config = {} if isinstance(weights, Mapping) else read_config(weights) or {}
    silent = silent_differences(model, dialect.options, config)
    state, unused, whole = _fit(dialect.translate(state), model)

    own = model.state_dict()
    excluded = _matching(own, exclude)
    wanted = own.keys() - excluded
    if hasattr(model, "head") and not whole:
        wanted = {name for name in wanted if name.startswith("backbone.")}
    optional = {name for name in wanted if name.endswith("num_batches_tracked")}
    prefixes = _prefixes(exclude)
    given = {name: t for name, t in state.items() if not (prefixes and name.startswith(prefixes))}

    problems = [f"unknown {name}" for name in given if name not in own]
    problems += [f"missing {name}" for name in own if name in wanted - given.keys() - optional]
    problems += [
        f"{name} is {_shape(given[name])} there, {_shape(own[name])} in the model"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    if problems:
        more = f"; and {len(problems) - 4} more" if problems[4:] else ""
        remedy = in_words([*shape_hints(given, own), *silent])
        remedy = f". Build the model with {remedy}" if remedy else ""
        raise ValueError(
            f"{source} ({origin}) does not fit: {'; '.join(problems[:4])}{more}{remedy}"
        )
    if silent:
        raise ValueError(
            f"{source} ({origin}) was trained with {silent[0].option}={silent[0].value!r}, which no"
            f" tensor shows but all outputs depend on; build the model with {in_words(silent)}"
        )
    model.load_state_dict({**own, **given})
    adopt_options(model, dialect.adopted)
    kept = tuple(name for name in own if name not in given)
    return LoadReport(origin, tuple(given), kept, tuple(unused))


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write the model's tensors and the arguments that rebuild it to a `.safetensors` file, in one
    step.

    Arguments that are code (`norm_layer`, `plugins`) can't be written; the file then holds the
    tensors alone.

    Raises:
        ValueError: if the path ends otherwise.
        FileNotFoundError: if its folder does not exist.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {path}")
    try:
        config = json.dumps(getattr(model, "config", {}))
    except TypeError:
        config = "{}"
    metadata = None if config == "{}" else {"seglib": config}
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata)


def read_config(path: str | Path) -> dict[str, object] | None:
    """The arguments of `build_model` that `save_weights` kept in the file; None in files of other
    origins.
    """
    text = read_metadata(path).get("seglib")
    if text is None:
        return None
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged: its configuration is no JSON; get it again"
        ) from error
    return dict(config)


def _unwrap(content: Mapping[str, object], source: str) -> State:
    for key in WRAPPINGS:
        inner = content.get(key)
        if isinstance(inner, Mapping):
            content = inner
    state = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not state or len(state) != len(content):
        stray = next((name for name in content if name not in state), None)
        held = "nothing" if stray is None else f"{stray!r}, which is no tensor"
        raise ValueError(f"{source} is no state_dict: it holds {held}")
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def _fit(state: State, model: nn.Module) -> tuple[State, list[str], bool]:
    """What of `state` the model can have, the names of the rest, and whether it has a head."""
    own = model.state_dict()
    whole = any(name.startswith("head.") for name in state)
    to_backbone = "" if whole or not hasattr(model, "head") else "backbone."
    from_whole = "backbone." if whole and not hasattr(model, "head") else ""
    not_needed = NOT_NEEDED["segmentation" if whole else "classification"]
    fitted: State = {}
    unused = []
    for name, tensor in state.items():
        target = to_backbone + name.removeprefix(from_whole)
        other = not name.startswith(from_whole) or name.startswith(not_needed)
        if other and target not in own:
            unused.append(name)
        else:
            fitted[target] = tensor
    return fitted, unused, whole


def _prefixes(exclude: Iterable[str]) -> tuple[str, ...]:
    return (exclude,) if isinstance(exclude, str) else tuple(exclude)


def _matching(own: Mapping[str, Tensor], exclude: Iterable[str]) -> set[str]:
    """The model's names to leave alone; a prefix that begins none of them is a mistake."""
    for prefix in _prefixes(exclude):
        if not any(name.startswith(prefix) for name in own):
            raise ValueError(f"exclude: no name of the model begins with {prefix!r}")
    return {name for name in own if name.startswith(_prefixes(exclude) or ("\0",))}


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"
