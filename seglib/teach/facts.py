"""What an inverted residual costs: measured on the library's block, not typed from formulas."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seglib.backbones.mobilenetv2 import InvertedResidual
from seglib.teach._html import block, escape, table


@dataclass(frozen=True)
class LayerFacts:
    """One layer: name, shape (channels, height, width) of its output, parameters, multiply-adds."""

    name: str
    shape: tuple[int, int, int]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True, repr=False)
class BlockFacts:
    """An inverted residual, layer by layer; shows itself as a table.

    Attributes:
        title: the block in words.
        input_shape: (channels, height, width).
        layers: what each layer gives and costs; multiply-adds are those of the convolutions, for
            one image.
        hidden_channels: channels between expansion and projection.
        effective_kernel: pixels that the depthwise kernel spans along one side.
        use_shortcut: whether the input is added.
    """

    title: str
    input_shape: tuple[int, int, int]
    layers: tuple[LayerFacts, ...]
    hidden_channels: int
    effective_kernel: int
    use_shortcut: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the output."""
        return self.layers[-1].shape

    @property
    def parameters(self) -> int:
        """Weights of the convolutions, scales and shifts of the BatchNorms."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the convolutions, for one image."""
        return sum(layer.multiply_adds for layer in self.layers)

    def _summary(self) -> str:
        shortcut = "the input is added" if self.use_shortcut else "no shortcut"
        span = self.effective_kernel
        return f"the depthwise kernel spans {span}×{span} pixels; {shortcut}"

    def _rows(self) -> list[tuple[str, str, str, str]]:
        rows = [("input", _times(self.input_shape), "", "")]
        rows += [
            (
                layer.name,
                _times(layer.shape),
                _number(layer.parameters),
                _number(layer.multiply_adds),
            )
            for layer in self.layers
        ]
        return [*rows, ("sum", "", _number(self.parameters), _number(self.multiply_adds))]

    def __repr__(self) -> str:
        lines = [self.title]
        for name, shape, parameters, multiply_adds in self._rows():
            lines.append(f"  {name:<22} {shape:>15} {parameters:>12} {multiply_adds:>16}".rstrip())
        return "\n".join([*lines, f"  {self._summary()}"])

    def _repr_html_(self) -> str:
        rows: list[tuple[str, ...]] = [tuple(escape(cell) for cell in row) for row in self._rows()]
        rows[-1] = tuple(f"<strong>{cell}</strong>" for cell in rows[-1])
        head = ("layer", "channels × height × width", "parameters", "multiply-adds")
        content = (
            f'<p style="margin:0 0 4px 0"><strong>{escape(self.title)}</strong></p>'
            f"{table(head, rows, label='Layers of the block', numeric=(1, 2, 3))}"
            f'<p class="sl-quiet" style="margin:4px 0 0 0">{escape(self._summary())}</p>'
        )
        return block(content, label=self.title)


def inverted_residual_facts(
    in_channels: int,
    out_channels: int,
    expand_ratio: float = 6,
    stride: int = 1,
    dilation: int = 1,
    height: int = 65,
    width: int = 97,
) -> BlockFacts:
    """Build the library's `InvertedResidual`, run it, and note what every layer gives and costs.

    Args:
        in_channels, out_channels, expand_ratio, stride, dilation: as in `InvertedResidual`.
        height, width: of the input, in pixels, ≥ 1.
    Returns:
        Shapes, parameters, multiply-adds and the effective kernel.
    Raises:
        ValueError: if an argument is out of its range.
    """
    sizes = {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "height": height,
        "width": width,
    }
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be >= 1, got {value}")
    module = InvertedResidual(in_channels, out_channels, stride, dilation, expand_ratio).eval()
    layers: list[LayerFacts] = []
    convs: list[nn.Conv2d] = []

    def note(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        channels, rows, columns = output.shape[1:]
        parameters = sum(parameter.numel() for parameter in layer.parameters())
        multiply_adds = 0
        if isinstance(layer, nn.Conv2d):
            convs.append(layer)
            multiply_adds = layer.weight.numel() * rows * columns
        name = _layer_name(layer, convs[-1] if convs else None)
        layers.append(LayerFacts(name, (channels, rows, columns), parameters, multiply_adds))

    for layer in module.modules():
        if not list(layer.children()):
            layer.register_forward_hook(note)
    with torch.no_grad():
        module.to("meta")(torch.empty(1, in_channels, height, width, device="meta"))
    depthwise = next(conv for conv in convs if conv.kernel_size != (1, 1))
    title = (
        f"InvertedResidual({in_channels}, {out_channels}, stride={stride}, dilation={dilation}, "
        f"expand_ratio={expand_ratio:g})"
    )
    span = int(depthwise.dilation[0]) * (depthwise.kernel_size[0] - 1) + 1
    shape = (in_channels, height, width)
    return BlockFacts(title, shape, tuple(layers), depthwise.in_channels, span, module.use_shortcut)


def _layer_name(layer: nn.Module, conv: nn.Conv2d | None) -> str:
    if not isinstance(layer, nn.Conv2d) or conv is None:
        return type(layer).__name__
    if layer.kernel_size != (1, 1):
        return "3×3 depthwise" if layer.groups == layer.in_channels else "3×3 convolution"
    return "1×1 expansion" if layer.out_channels > layer.in_channels else "1×1 projection"


def _times(shape: tuple[int, int, int]) -> str:
    return " × ".join(map(str, shape))


def _number(value: int) -> str:
    return f"{value:,}".replace(",", " ") if value else "–"
