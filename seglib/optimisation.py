"""Networks made ready for inference: BatchNorm folded, channels last, bfloat16, compiled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torchvision.ops import DeformConv2d

from seglib.layers import DeformableConv2d

TRACE_SIZE = 128  # pixels; enough for every network here
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
CONVOLUTIONS = (nn.Conv2d, DeformConv2d, DeformableConv2d)  # exactly these: no subclasses
NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)

Module = TypeVar("Module", bound=nn.Module)


def optimise(
    model: nn.Module, *, compile: bool = False, dtype: torch.dtype | None = None
) -> OptimisedModel:
    """A copy of a network that computes the same, faster; for inference only.

    Every BatchNorm that directly follows a convolution is folded into it, tensors are laid out
    with the channels last, and the network computes in `dtype`, its last layer (the logits) and
    what follows in float32. The original stays as it is.

    Args:
        model: images (N, C, H, W) → logits (N, num_classes, H, W), as `build_model` makes them; or
            (N, num_classes), as `backbones.classifier` does.
        compile: also compile with `torch.compile`, once for each image size, up to eight sizes (on
            the CPU this needs a C++ compiler). The first call of each takes long.
        dtype: what to compute in. Default: bfloat16 where the device has instructions for it
            (AVX512-BF16, AMX, recent GPUs), else float32. float32 differs from the model by
            rounding only; bfloat16 has 8 bits, and changes the class of few pixels.
    Returns:
        A module with the model's interface: float32 images in, float32 logits out.
    Raises:
        ValueError: for another dtype, or a model that can't be run on an image without values.
    Source: folding: §3.2 (arXiv 1712.05877).
    """
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype must be None or one of {', '.join(map(str, DTYPES))}; got {dtype}")
    if not isinstance(compile, bool):
        raise ValueError(f"compile must be True or False, got {compile!r}")
    if isinstance(model, OptimisedModel):
        raise ValueError("model must be a network as it was trained, got an optimised one")
    device = next(model.parameters(), torch.empty(0)).device
    if dtype is None:
        dtype = torch.bfloat16 if has_bfloat16(device) else torch.float32
    network = fold_batch_norms(model)
    last = _Trace(network).last_layer
    network = network.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if last and dtype in (torch.bfloat16, torch.float16):
        layer = network.get_submodule(last).float()
        network.set_submodule(last, InFloat32(layer))
    return OptimisedModel(network, dtype, compile)


class OptimisedModel(nn.Module):
    """A network whose dtype and memory layout are its own affair: (N, C, H, W) → logits
    (N, num_classes, H, W) of the image's dtype.

    It stays in eval mode, and gives no gradients.

    Args:
        network: computes in `dtype`.
        dtype: see `optimise`.
        compiled: whether to compile it when it is first called.
    Attributes:
        input_dtype: of the images: float64 if it computes in that, else float32.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype, compiled: bool = False) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype
        self.input_dtype = torch.float64 if dtype == torch.float64 else torch.float32
        self.eval().requires_grad_(False)
        if compiled:
            # One by one, sizes are faster; weights that are constants are packed once.
            network.compile(dynamic=False, options={"freezing": True})

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        laid_out = x.to(self.dtype, memory_format=torch.channels_last)
        return self.network(laid_out).to(x.dtype)

    def train(self, mode: bool = True) -> OptimisedModel:
        if mode:
            raise ValueError(
                "an optimised network has no BatchNorm left to train; train the model that"
                " optimise() was given"
            )
        return super().train(False)


class InFloat32(nn.Module):
    """A layer of float32 behind a network of fewer bits: (N, C, H, W) → its result, float32."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.float())


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16. Without them it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # PyTorch has no public question for this.
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def fold_batch_norms(model: Module) -> Module:
    """A copy in eval mode with each BatchNorm2d folded into the convolution that it follows.

    w' = w · γ / √(σ² + ε), b' = (b − μ) · γ / √(σ² + ε) + β, as BatchNorm in eval mode is linear.
    Which follows which is not read off the modules' order but seen in a run: a BatchNorm is folded
    if it is the only one to use the convolution's output, and both are used once. In its place
    an `nn.Identity` remains.

    Raises:
        ValueError: if the model can't be run on an image without values (on the meta device).
    Source: torch.nn.utils.fusion; §3.2 (arXiv 1712.05877).
    """
    folded = deepcopy(model).eval()
    modules = dict(folded.named_modules(remove_duplicate=False))
    norms: set[nn.Module] = set()
    for conv_name, norm_name in _Trace(folded).pairs():
        conv, norm = modules[conv_name], modules[norm_name]
        assert isinstance(conv, CONVOLUTIONS)
        assert isinstance(norm, NORMS)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        with torch.no_grad():
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight,
                conv.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
        norms.add(norm)
    for name, module in modules.items():
        if module in norms:
            folded.set_submodule(name, nn.Identity())
    return folded


class _Trace(TorchFunctionMode):
    """One run of a copy without values, to see which convolution's output goes where."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.made_by: dict[int, str] = {}  # a convolution's output, by its id → the convolution
        self.users: Counter[int] = Counter()  # of that output: BatchNorms, and other operations
        self.calls: Counter[str] = Counter()
        self.followers: list[tuple[str, int]] = []  # BatchNorm, id of its input
        self.last_layer = ""  # with weights: convolution or linear
        self.in_norm = False
        self.kept: list[Tensor] = []  # ids are taken by others once a tensor is gone

        pure = deepcopy(model).to("meta").eval()
        for name, module in pure.named_modules():
            if isinstance(module, nn.Conv2d | DeformConv2d):
                module.register_forward_hook(partial(self._see_convolution, name))
            elif isinstance(module, nn.Linear):
                module.register_forward_hook(partial(self._see_linear, name))
            elif type(module) in NORMS:
                module.register_forward_pre_hook(self._enter_norm)
                module.register_forward_hook(partial(self._see_norm, name))
        in_channels = getattr(model, "config", {}).get("in_channels", 3)
        dtype = next(model.parameters(), torch.empty(0)).dtype
        image = torch.empty(1, in_channels, TRACE_SIZE, TRACE_SIZE, device="meta", dtype=dtype)
        try:
            with self, torch.no_grad():
                output = pure(image)
        except Exception as error:  # whatever a foreign model's forward may raise
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"model must run on a meta tensor, without values, {tuple(image.shape)}: {reason}"
            ) from error
        self._count(output)

    def pairs(self) -> list[tuple[str, str]]:
        """Names of convolutions and the BatchNorms that alone use their outputs."""
        found = [(self.made_by[tensor], norm, tensor) for norm, tensor in self.followers]
        return [
            (conv, norm)
            for conv, norm, tensor in found
            if self.users[tensor] == self.calls[conv] == self.calls[norm] == 1
        ]

    def _see_convolution(
        self, name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> None:
        self.last_layer = name
        self.calls[name] += 1
        # A weight that is computed (by a subclass, a parametrisation, a hook) can't be changed.
        if type(module) in CONVOLUTIONS and "weight" in dict(
            module.named_parameters(recurse=False)
        ):
            self.made_by[id(output)] = name
            self.kept.append(output)

    def _see_linear(
        self, name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> None:
        self.last_layer = name

    def _enter_norm(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.in_norm = True

    def _see_norm(
        self, name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> None:
        self.in_norm = False
        self.calls[name] += 1
        self._count(inputs)
        if id(inputs[0]) in self.made_by and getattr(module, "running_mean", None) is not None:
            self.followers.append((name, id(inputs[0])))

    def _count(self, values: object) -> None:
        self.users.update(id(value) for value in tree_leaves(values) if id(value) in self.made_by)

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if not self.in_norm:
            self._count((args, dict(kwargs or {})))
        return func(*args, **(kwargs or {}))
