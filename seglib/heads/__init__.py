"""Segmentation heads: a backbone's list of maps in, logits out. And the neck: maps in, maps out."""

from seglib.heads.aspp import ASPP, to_separable
from seglib.heads.deeplab import DeepLabV3Head, DeepLabV3PlusHead
from seglib.heads.fpn import FPN, FPNHead, LastLevelMaxPool, LastLevelP6P7

__all__ = [
    "ASPP",
    "FPN",
    "DeepLabV3Head",
    "DeepLabV3PlusHead",
    "FPNHead",
    "LastLevelMaxPool",
    "LastLevelP6P7",
    "to_separable",
]
