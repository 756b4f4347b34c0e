"""Weights in and out: own files, and checkpoints of other projects."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from seglib.files import atomic_path, read_metadata, read_tensors
from seglib.weight_hints import fitting_options

State = dict[str, Tensor]

PUBLISHED = {
    "mobilenetv2": "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
}
WRAPPINGS = ("model_state", "state_dict", "model")  # keys under which projects keep the state_dict
CLASSIFIER_PARTS = (
    "features.18.",
    "classifier.",
)  # of a classification network, not of its backbone


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

    Everything is checked before anything is changed. The model keeps its dtype and device.

    Args:
        model: a segmentation model, a backbone, or the network of `backbones.classifier`.
        weights: path of a `.safetensors` or PyTorch file, or a state_dict; also one wrapped under
            `model_state`, `state_dict` or `model`, with or without `module.` before its names.
        origin: "seglib", "torchvision" or "vainf"; "auto" tells from the names. A classification
            network of torchvision fills a segmentation model's backbone and leaves the head as it
            is.
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
    if origin == "auto":
        origin = _detect(state)
    if origin not in TRANSLATIONS:
        raise ValueError(f"origin must be auto, {', '.join(TRANSLATIONS)}; got {origin!r}")
    trained = {} if isinstance(weights, Mapping) else read_config(weights) or {}
    _check_silent_options(model, origin, trained)
    state, unused = TRANSLATIONS[origin](state, model)

    own = model.state_dict()
    excluded = _matching(own, exclude)
    wanted = own.keys() - excluded
    if origin == "torchvision" and hasattr(model, "head"):
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
        remedy = fitting_options(given, own)
        raise ValueError(
            f"{source} ({origin}) does not fit: {'; '.join(problems[:4])}{more}{remedy}"
        )
    model.load_state_dict({**own, **given})
    kept = tuple(name for name in own if name not in given)
    return LoadReport(origin, tuple(given), kept, tuple(unused))


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write the model's tensors and the arguments that rebuild it to a `.safetensors` file, in one
    step.

    Raises:
        ValueError: if the path ends otherwise.
        FileNotFoundError: if its folder does not exist.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {path}")
    config = getattr(model, "config", None)
    metadata = {"seglib": json.dumps(config)} if config else None
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


def load_published(backbone: nn.Module, name: str) -> LoadReport:
    """Load a backbone's published ImageNet weights through torch.hub, which checks the file's hash.

    Raises:
        ValueError: if none are published, or the download fails; the message says how to do
            without.
    """
    if name not in PUBLISHED:
        raise ValueError(f"weights='imagenet': none are published for {name}; give a path or None")
    url = PUBLISHED[name]
    try:
        state = torch.hub.load_state_dict_from_url(url, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"weights='imagenet' could not be downloaded ({error});"
            f" get {url} where there is a network and give its path as weights"
        ) from error
    return load_weights(backbone, state, origin="torchvision")


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


def _detect(state: State) -> str:
    if any(name.startswith("head.") for name in state):
        return "seglib"
    if any(re.match(r"classifier\.(aspp|project|classifier)\.", name) for name in state):
        return "vainf"
    if "features.0.0.weight" in state:
        return "torchvision"
    raise ValueError(
        f"origin='auto' knows no project with names like {next(iter(state))!r}; say which one it is"
    )


def _from_seglib(state: State, model: nn.Module) -> tuple[State, list[str]]:
    if hasattr(model, "head") or not any(name.startswith("backbone.") for name in state):
        return state, []
    return _split(state, "backbone.", "")


def _from_torchvision(state: State, model: nn.Module) -> tuple[State, list[str]]:
    if hasattr(model, "classifier"):
        return state, []
    unused = [name for name in state if name.startswith(CLASSIFIER_PARTS)]
    prefix = "backbone." if hasattr(model, "head") else ""
    return {prefix + name: t for name, t in state.items() if name not in unused}, unused


def _from_vainf(state: State, model: nn.Module) -> tuple[State, list[str]]:
    if "features.0.0.weight" in state:  # its classification network has torchvision's names
        return _from_torchvision(state, model)
    rules = [
        (r"^backbone\.(low|high)_level_features\.", "backbone.features."),
        (r"^classifier\.classifier\.0\.(convs|project)\.", r"head.aspp.\1."),  # DeepLabV3
        (r"^classifier\.(aspp|project)\.", r"head.\1."),
        (r"^classifier\.classifier\.", "head.classifier."),
        (r"\.body\.0\.", ".conv1."),
        (r"\.body\.1\.", ".pointwise."),
    ]
    shift = 1 if any(name.startswith("classifier.classifier.0.convs.") for name in state) else 0
    translated: State = {}
    for name, tensor in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if shift:  # there ASPP is entry 0 of the classifier
            name = re.sub(r"(?<=^head\.classifier\.)\d+", lambda m: str(int(m[0]) - shift), name)
        translated[name] = tensor
    return (translated, []) if hasattr(model, "head") else _split(translated, "backbone.", "")


TRANSLATIONS: dict[str, Callable[[State, nn.Module], tuple[State, list[str]]]] = {
    "seglib": _from_seglib,
    "torchvision": _from_torchvision,
    "vainf": _from_vainf,
}


def _split(state: State, prefix: str, replacement: str) -> tuple[State, list[str]]:
    """The part of `state` under `prefix`, renamed, and the names of the rest."""
    part = {
        replacement + name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    return part, [name for name in state if not name.startswith(prefix)]


def _prefixes(exclude: Iterable[str]) -> tuple[str, ...]:
    return (exclude,) if isinstance(exclude, str) else tuple(exclude)


def _matching(own: Mapping[str, Tensor], exclude: Iterable[str]) -> set[str]:
    """The model's names to leave alone; a prefix that begins none of them is a mistake."""
    for prefix in _prefixes(exclude):
        if not any(name.startswith(prefix) for name in own):
            raise ValueError(f"exclude: no name of the model begins with {prefix!r}")
    return {name for name in own if name.startswith(_prefixes(exclude) or ("\0",))}


def _check_silent_options(model: nn.Module, origin: str, trained: Mapping[str, object]) -> None:
    """Refuse weights of a network that differs in an option which no tensor's name or shape
    shows.
    """
    backbone = getattr(model, "backbone", model)
    legacy_padding = getattr(backbone, "legacy_padding", None)
    expected = {"vainf": True}.get(origin)
    if origin == "seglib" and trained:
        options = trained.get("backbone_options")
        expected = bool(isinstance(options, Mapping) and options.get("legacy_padding", False))
    if legacy_padding is not None and expected is not None and legacy_padding != expected:
        raise ValueError(
            f"weights of origin {origin} were trained with legacy_padding={expected}, which changes"
            f" the border; build the model with backbone_options={{'legacy_padding': {expected}}}"
        )


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"
