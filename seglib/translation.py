"""How other projects name the tensors of the same networks, and rules that give them our names."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

State = dict[str, Tensor]
Rules = tuple[tuple[str, str], ...]  # pattern and replacement, applied in this order


class Dialect(NamedTuple):
    """One way to name a network's tensors.

    Attributes:
        origins: projects that use it, the likeliest first.
        marker: beginning (a pattern) of a name that tells it from the dialects below it.
        rules: from its names to ours.
        options: with which the networks were trained and which no name or shape shows.
        prepare: what no rule about single names can do, before the rules.
        adopted: options of a built model to set, where it has them.
    """

    origins: tuple[str, ...]
    marker: str
    rules: Rules = ()
    options: Mapping[str, object] = {}
    prepare: Callable[[State], State] | None = None
    adopted: Mapping[str, object] = {}

    def translate(self, state: State) -> State:
        """The same tensors under our names."""
        state = self.prepare(state) if self.prepare else state
        translated = {}
        for name, tensor in state.items():
            for pattern, replacement in self.rules:
                name = re.sub(pattern, replacement, name)
            translated[name] = tensor
        return translated


# Parts of timm's MobileNet blocks, and the same parts in torchvision's MobileNetV2 and V3.
TIMM_V2_BLOCKS = (
    {"conv_dw": "conv.0.0", "bn1": "conv.0.1", "conv_pw": "conv.1", "bn2": "conv.2"},
    {"conv_pw": "conv.0.0", "bn1": "conv.0.1", "conv_dw": "conv.1.0", "bn2": "conv.1.1"}
    | {"conv_pwl": "conv.2", "bn3": "conv.3"},
)
_START = {"conv_pw": "block.0.0", "bn1": "block.0.1", "conv_dw": "block.1.0", "bn2": "block.1.1"}
TIMM_V3_BLOCKS = (
    {"conv_dw": "block.0.0", "bn1": "block.0.1", "conv_pw": "block.1.0", "bn2": "block.1.1"},
    {"conv_dw": "block.0.0", "bn1": "block.0.1", "se": "block.1"}
    | {"conv_pw": "block.2.0", "bn2": "block.2.1"},
    {**_START, "conv_pwl": "block.2.0", "bn3": "block.2.1"},
    {**_START, "se": "block.2", "conv_pwl": "block.3.0", "bn3": "block.3.1"},
    {"conv": "0", "bn1": "1"},  # the last 1×1 convolution
)


def _number_timm_blocks(state: State) -> State:
    """timm counts a MobileNet's blocks by stage, blocks.STAGE.INDEX, torchvision one by one."""
    parts: dict[tuple[int, int], set[str]] = {}
    for name in state:
        if match := re.match(r"blocks\.(\d+)\.(\d+)\.(\w+)", name):
            parts.setdefault((int(match[1]), int(match[2])), set()).add(match[3])
    version3 = "conv_head.bias" in state or any(".se." in name for name in state)
    rows = TIMM_V3_BLOCKS if version3 else TIMM_V2_BLOCKS
    names = {"conv_stem": "features.0.0", "bn1": "features.0.1"}
    if version3:
        names |= {"conv_head": "classifier.0", "classifier": "classifier.3"}
    else:
        last = f"features.{len(parts) + 1}"
        names |= {"conv_head": f"{last}.0", "bn2": f"{last}.1", "classifier": "classifier.1"}
    for number, (stage, index) in enumerate(sorted(parts), start=1):
        block = parts[stage, index]
        row = next((row for row in rows if row.keys() == block), {})
        for part, ours in row.items():
            names[f"blocks.{stage}.{index}.{part}"] = f"features.{number}.{ours}"

    numbered = {}
    for name, tensor in state.items():
        name = name.replace("se.conv_reduce", "se.fc1").replace("se.conv_expand", "se.fc2")
        # blocks.3.0.se.fc1.weight belongs to blocks.3.0.se, blocks.3.0.bn1.weight to blocks.3.0.bn1
        owner = name.rpartition(".fc" if ".se." in name else ".")[0]
        name = names.get(owner, owner) + name.removeprefix(owner)
        if name == "classifier.0.weight":  # a 1×1 convolution there, a linear layer here
            tensor = tensor.flatten(1)
        numbered[name] = tensor
    return numbered


# DeepLabV3's head in torchvision, where ASPP is entry 0 of the classifier.
DEEPLABV3_HEAD: Rules = (
    (r"^classifier\.0\.", "head.aspp."),
    (r"^classifier\.1\.", "head.classifier.0."),
    (r"^classifier\.2\.", "head.classifier.1."),
    (r"^classifier\.4\.", "head.classifier.3."),
)
VAINF_PARTS: Rules = (
    (r"^backbone\.(low|high)_level_features\.", "backbone.features."),
    (r"\.body\.0\.", ".conv1."),
    (r"\.body\.1\.", ".pointwise."),
)
# The first public revision (resnet_features, aspp1, last_conv) and the last (backbone, aspp,
# decoder).
JFZHANG95: Rules = (
    (r"^resnet_features\.", "backbone."),
    (r"^aspp(\.aspp)?1\.", "head.aspp.convs.0."),
    (r"^aspp(\.aspp)?2\.", "head.aspp.convs.1."),
    (r"^aspp(\.aspp)?3\.", "head.aspp.convs.2."),
    (r"^aspp(\.aspp)?4\.", "head.aspp.convs.3."),
    (r"^(head\.aspp\.convs\.\d)\.atrous_conv(olution)?\.", r"\1.0."),
    (r"^(head\.aspp\.convs\.\d)\.bn\.", r"\1.1."),
    (r"^(aspp\.)?global_avg_pool\.", "head.aspp.convs.4."),
    (r"^(aspp\.)?conv1\.", "head.aspp.project.0."),
    (r"^(aspp\.)?bn1\.", "head.aspp.project.1."),
    (r"^(conv2|decoder\.conv1)\.", "head.project.0."),
    (r"^(bn2|decoder\.bn1)\.", "head.project.1."),
    (r"^last_conv\.", "head.classifier."),
    (r"^decoder\.last_conv\.(0|1)\.", r"head.classifier.\1."),
    (r"^decoder\.last_conv\.4\.", "head.classifier.3."),  # 3 and 7 are dropout
    (r"^decoder\.last_conv\.5\.", "head.classifier.4."),
    (r"^decoder\.last_conv\.8\.", "head.classifier.6."),
)


def _low_level_first(state: State) -> State:
    """jfzhang95's decoder joins ASPP's map and then the low-level map; ours takes that first."""
    weights = [state[n] for n in ("conv2.weight", "decoder.conv1.weight") if n in state]
    channels = weights[0].shape[0] if weights else 0  # of the low-level map
    joined = ("last_conv.0.weight", "decoder.last_conv.0.weight")
    return {n: t.roll(channels, dims=1) if n in joined else t for n, t in state.items()}


HRNET_TRANSITIONS: Rules = (
    (r"^transition2\.2\.0\.", "transition2."),
    (r"^transition3\.3\.0\.", "transition3."),
)

PLAIN = {"align_corners": False, "multi_grid": None}
VAINF = {**PLAIN, "legacy_padding": True, "legacy_tail": True}
VAINF_STEM = {"legacy_stem": True}  # of its HRNets

DIALECTS = (
    # origins, marker, rules, options: segmentation networks
    Dialect(("seglib",), r"head\."),
    Dialect(
        ("jfzhang95",),
        r"(resnet_features|decoder\.last_conv)\.",
        JFZHANG95,
        {"align_corners": True, "multi_grid": (1, 2, 4)},
        _low_level_first,
    ),
    Dialect(
        ("vainf",),
        r"classifier\.classifier\.0\.convs\.",  # DeepLabV3
        (*VAINF_PARTS, (r"^classifier\.classifier\.", "classifier."), *DEEPLABV3_HEAD),
        VAINF,
        adopted=VAINF_STEM,
    ),
    Dialect(
        ("vainf",),
        r"classifier\.aspp\.",
        (*VAINF_PARTS, (r"^classifier\.", "head.")),
        VAINF,
        adopted=VAINF_STEM,
    ),
    Dialect(
        ("torchvision",),
        r"backbone\.\d+\.",  # DeepLabV3 on MobileNetV3
        (*DEEPLABV3_HEAD, (r"^backbone\.", "backbone.features.")),
        {**PLAIN, "legacy_dilation": True, "norm_eps": 1e-3, "aspp_rates": (12, 24, 36)},
    ),
    Dialect(("torchvision",), r"classifier\.0\.convs\.", DEEPLABV3_HEAD, PLAIN),
    # backbones and classification networks
    Dialect(("timm",), r"blocks\.\d+\.\d+\.ghost1\."),
    Dialect(("timm",), r"conv_stem\.", (), {"norm_eps": 1e-5}, _number_timm_blocks),
    Dialect(("timm",), r"(incre_modules\.|transition2\.2\.)", HRNET_TRANSITIONS),
    Dialect(("vainf",), r"stage2\.0\.branches\."),
    Dialect(("vainf", "timm"), r"block12\.rep\.", ((r"^fc\.", "last_linear."),)),
    Dialect(("torchvision", "vainf"), r"features\.0\.0\.", (), {"norm_eps": 1e-3}),
    Dialect(("torchvision", "vainf", "timm"), r"layer1\.0\.conv1\."),
    Dialect(("seglib",), r""),  # whatever else this library has saved
)
ORIGINS = ("seglib", "torchvision", "vainf", "jfzhang95", "timm")


def find_dialect(state: State, origin: str) -> Dialect:
    """The dialect of `state`; `origin` is one of `ORIGINS` or "auto".

    Raises:
        ValueError: if the origin is unknown, or has no network with such names.
    """
    if origin != "auto" and origin not in ORIGINS:
        raise ValueError(f"origin must be auto, {', '.join(ORIGINS)}; got {origin!r}")
    for dialect in DIALECTS:
        if origin not in ("auto", *dialect.origins) or (origin == "auto" and not dialect.marker):
            continue
        if any(re.match(dialect.marker, name) for name in state):
            return dialect
    knows = "knows no project" if origin == "auto" else "has no network"
    raise ValueError(
        f"origin={origin!r} {knows} with names like {next(iter(state))!r}; say which one it is"
    )
