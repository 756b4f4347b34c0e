"""Facts of a block agree with the block itself and with counting by hand."""

import pytest
import torch

from seglib.backbones.mobilenetv2 import InvertedResidual
from seglib.teach.facts import inverted_residual_facts


@pytest.mark.parametrize("expand_ratio", [1, 3, 6])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 4])
@pytest.mark.parametrize("channels", [(8, 8), (8, 16)])
def test_facts_are_the_blocks(
    expand_ratio: int, stride: int, dilation: int, channels: tuple[int, int]
) -> None:
    facts = inverted_residual_facts(*channels, expand_ratio, stride, dilation, 33, 21)
    block = InvertedResidual(*channels, stride, dilation, expand_ratio).eval()
    assert (1, *facts.shape) == tuple(block(torch.zeros(1, channels[0], 33, 21)).shape)
    assert facts.parameters == sum(parameter.numel() for parameter in block.parameters())
    assert facts.hidden_channels == channels[0] * expand_ratio
    assert facts.use_shortcut == block.use_shortcut
    assert facts.effective_kernel == 2 * dilation + 1
    hidden, (_, height, width) = facts.hidden_channels, facts.shape
    expected = (9 * hidden + hidden * channels[1]) * height * width
    if expand_ratio > 1:
        expected += channels[0] * hidden * 33 * 21
    assert facts.multiply_adds == expected


def test_facts_show_themselves() -> None:
    facts = inverted_residual_facts(24, 32, 6, 2)
    assert "10 000" in repr(facts)
    assert "31 336 848" in facts._repr_html_()
    assert "3×3 depthwise" in repr(facts)
    assert facts._repr_html_() == inverted_residual_facts(24, 32, 6, 2)._repr_html_()


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="height must be >= 1, got 0"):
        inverted_residual_facts(8, 8, height=0)
    with pytest.raises(ValueError, match="stride"):
        inverted_residual_facts(8, 8, stride=3)
