"""Mutants of chapter 05's canonical code."""

NETWORK = "backbones/resnet.py"
BLOCKS = "backbones/resnet_blocks.py"

# (module, text that stands in it once, the same with another character)
MUTANTS = [
    (NETWORK, "50: (Bottleneck, (3, 4, 6, 3))", "50: (Bottleneck, (3, 4, 5, 3))"),
    (NETWORK, "current_stride, dilation = 4, 1", "current_stride, dilation = 8, 1"),
    (NETWORK, "stride, dilation = 1, dilation * stride", "stride, dilation = 1, dilation + stride"),
    (NETWORK, "current_stride *= stride", "current_stride += stride"),
    (NETWORK, "BlockRow(1, dilation, dilation)", "BlockRow(2, dilation, dilation)"),
    (NETWORK, "[others] * (n - 1)", "[others] * (n - 0)"),
    (NETWORK, "last[-1].dilation * factor", "last[-1].dilation + factor"),
    (NETWORK, "len(multi_grid) != len(last)", "len(multi_grid) == len(last)"),
    (
        NETWORK,
        "convolution(in_channels, out_channels, 7,",
        "convolution(in_channels, out_channels, 5,",
    ),
    (NETWORK, "inner_channels = base_channels * 2**i", "inner_channels = base_channels * 3**i"),
    (NETWORK, "mul, initial=4)", "mul, initial=2)"),
    (NETWORK, "number <= frozen_stages", "number >= frozen_stages"),
    (NETWORK, "enumerate(self.stages, start=1)", "enumerate(self.stages, start=2)"),
    (NETWORK, "last_norm = part.bn2 if", "last_norm = part.bn1 if"),
    (NETWORK, "else part.bn3", "else part.bn2"),
    (BLOCKS, "if stride == 1 and in_channels ==", "if stride >= 1 and in_channels =="),
    (BLOCKS, "and in_channels == out_channels:", "and in_channels <= out_channels:"),
    (BLOCKS, "expansion = 4", "expansion = 5"),
    (BLOCKS, "channels, channels, 3, dilation=next", "channels, channels, 1, dilation=next"),
    (BLOCKS, "options.width_per_group // 64 *", "options.width_per_group // 65 *"),
    (BLOCKS, 'if options.style == "caffe"', 'if options.style != "caffe"'),
    (BLOCKS, "out += x if self.downsample", "out -= x if self.downsample"),
    (BLOCKS, "if stride > 1:\n        pool", "if stride > 2:\n        pool"),
    (BLOCKS, "dcn is None or (stride > 1", "dcn is None or (stride < 1"),
    (NETWORK, "MaxPool2d(kernel_size=3, stride=2", "MaxPool2d(kernel_size=3, stride=1"),
    (NETWORK, "strides, [1, 2, 2, 2]", "strides, [1, 2, 2, 1]"),
    (BLOCKS, "stride1, stride2 = (stride, 1) if", "stride1, stride2 = (stride, 2) if"),
    (BLOCKS, "convolution(in_channels, width, 1,", "convolution(in_channels, width, 3,"),
    (BLOCKS, "// 64 * options.groups", "// 64 + options.groups"),
    (NETWORK, "mul, initial=4))[1:]", "mul, initial=4))[0:]"),
]

# These compute what the original computes, so that nothing can notice them.
EQUIVALENT = {
    (NETWORK, "if current_stride * stride >", "if current_stride + stride >"): (
        "from 4 up the sum decides otherwise only at stride 1, where dropping it changes nothing"
    ),
    (BLOCKS, "if stride == 1 and in_channels ==", "if stride <= 1 and in_channels =="): (
        "no stride is below 1"
    ),
}
