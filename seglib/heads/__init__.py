"""Segmentation heads: a backbone's list of maps in, logits out."""

from seglib.heads.aspp import ASPP
from seglib.heads.deeplab import DeepLabV3Head, DeepLabV3PlusHead

__all__ = ["ASPP", "DeepLabV3Head", "DeepLabV3PlusHead"]
