"""Mixed precision: which numbers a forward pass computes with."""

from __future__ import annotations

import torch

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that is unknown, or that the device lacks.

    Raises:
        ValueError: if so.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "fp16" and device.type == "cpu":
        raise ValueError("precision 'fp16' needs a GPU; on the CPU give 'bf16' or 'fp32'")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ValueError("precision 'bf16' is more than this GPU can; give 'fp16' or 'fp32'")


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context of a forward pass: convolutions in `precision`, sums and BatchNorm in float32."""
    enabled = precision != "fp32"
    return torch.autocast(
        device.type, PRECISIONS[precision] if enabled else torch.bfloat16, enabled=enabled
    )
