"""How the course's networks draw their first weights."""

from typing import Literal

from torch import nn


def kaiming_init(module: nn.Module, mode: Literal["fan_in", "fan_out"] = "fan_in") -> None:
    """Draw every convolution's weights by He's rule for ReLU; norms start as the identity.

    The standard deviation is √(2 / fan). With "fan_out" fan is k²·C_out whatever the groups, the
    rule of ResNet and of most public DeepLab code.

    Args:
        module: changed in place, with all that it holds.
        mode: "fan_in" keeps the variance of activations, "fan_out" that of gradients.
    Source: He et al. 2015 (arXiv 1502.01852).
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode=mode, nonlinearity="relu")
        elif isinstance(part, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.01)
        if isinstance(part, (nn.Conv2d, nn.Linear)) and part.bias is not None:
            nn.init.zeros_(part.bias)


def kaiming_uniform_init(module: nn.Module) -> None:
    """Draw every convolution's weights from U(−b, b) with b = √(3 / fan_in); biases start at zero.

    Args:
        module: changed in place, with all that it holds.
    Source: the initialisation of Feature Pyramid Networks in Caffe2, where it is named XavierFill.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_uniform_(part.weight, a=1)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
