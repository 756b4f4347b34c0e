"""Assignment 10, answered wrongly as students do; `given.x` stands for values."""

DECODER = """
class GatedDecoder(nn.Module):
    def __init__(self, in_channels, deep_channels, num_classes):
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, given.width, kernel_size=1, bias=False)
        self.reduce_norm = nn.BatchNorm2d(given.width)
        self.gate = nn.Conv2d(deep_channels, given.width, kernel_size=1)
        both = given.width + deep_channels
        self.refine = nn.Conv2d(both, given.middle, kernel_size=3, padding="same", bias=False)
        self.refine_norm = nn.BatchNorm2d(given.middle)
        self.classify = nn.Conv2d(given.middle, num_classes, kernel_size=1)

    def forward(self, low_level, deep):
        x = self.reduce_norm(self.reduce(low_level)).clamp(min=0)
        up = nn.Upsample(x.shape[-2:], mode="bilinear", align_corners=True)
        deep = up(deep)
        z = self.gate(deep) * given.steepness
        g = given.least + given.rest / (1 + torch.exp(-z))
        y = torch.cat((deep, g * x), 1)
        y = torch.relu(self.refine_norm(self.refine(y)))
        return self.classify(y)
"""

SCORE = (
    """
def edge_pixels(m):
    h, w = m.shape
    found = []
    for i in range(h):
        for j in range(w):
            for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if 0 <= a < h and 0 <= b < w and m[a, b] != m[i, j]:
                    found.append((i, j))
                    break
    return found

def matched(ones, others):
    return sum(any(abs(i - a) + abs(j - b) <= given.reach for a, b in others)
               for i, j in ones) / len(ones)

def outline_score(prediction, mask):
    ours, theirs = edge_pixels(prediction.tolist()), edge_pixels(mask.tolist())
    if not ours and not theirs:
        return 1.0
    if not ours or not theirs:
        return 0.0
    P, R = matched(ours, theirs), matched(theirs, ours)
    bb = given.balance * given.balance
    return (1 + bb) * P * R / (bb * P + R) if P + R else 0.0
""".replace("h, w = m.shape", "h, w = len(m), len(m[0])")
    .replace("m[a, b]", "m[a][b]")
    .replace("m[i, j]", "m[i][j]")
)

COSTS = """
def decoder_costs(in_channels, deep_channels, num_classes, convs, height, width):
    k, m, s = given.width, given.middle, given.stride
    h, w = (height + s - 1) // s, (width + s - 1) // s
    first = 9 * m * (deep_channels + k)
    convolutions = in_channels * k + deep_channels * k + first
    convolutions += (convs - 1) * 9 * m * m + m * num_classes
    norms = 2 * k + convs * 2 * m
    biases = k + num_classes
    return convolutions + norms + biases, h * w * (convolutions + 4 * deep_channels)
"""

LINE = """
def enlarge_line(x, size):
    n = x.shape[1]
    columns = []
    for i in range(size):
        p = (i + given.anchor) * n / size - given.anchor
        left = max(0, math.floor(p))
        right = min(left + 1, n - 1)
        w = min(1, max(0, 0.5 + given.sharpness * (p - left - 0.5)))
        columns.append((1 - w) * x[:, left] + w * x[:, right])
    return torch.stack(columns, 1)
"""


def _in(code: str, right: str, wrong: str) -> str:
    assert right in code
    return code.replace(right, wrong)


WRONG = {
    "GatedDecoder": {
        "joined-in-other-order": _in(DECODER, "(deep, g * x)", "(g * x, deep)"),
        "align-corners-inverted": _in(DECODER, ", align_corners=True", ""),
        "steepness-forgotten": _in(DECODER, " * given.steepness", ""),
        "least-forgotten": _in(DECODER, "given.least + given.rest /", "1 /"),
        "gate-inverted": _in(DECODER, "torch.exp(-z)", "torch.exp(z)"),
        "raised-exception": _in(DECODER, "x.shape[-2:]", "scale_factor=4"),
        "wrong-names": _in(DECODER, "given.width, kernel_size=1)", "1, kernel_size=1)"),
        "wrong-gradients": _in(DECODER, "self.gate(deep)", "self.gate(deep.detach())"),
    },
    "outline_score": {
        "precision-and-recall-swapped": _in(SCORE, "P, R =", "R, P ="),
        "diagonal-as-one": _in(SCORE, "abs(i - a) + abs(j - b)", "max(abs(i - a), abs(j - b))"),
        "reach-excluded": _in(SCORE, "<= given.reach", "< given.reach"),
        "nothing-is-wrong": _in(SCORE, "return 1.0", "return 0.0"),
        "balance-not-squared": _in(SCORE, " * given.balance", ""),
        "border-counted": _in(
            SCORE, "0 <= a < h and 0 <= b < w and", "not (0 <= a < h and 0 <= b < w) or"
        ),
        "one-side-only": _in(
            SCORE, "((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))", "((i - 1, j), (i, j - 1))"
        ),
        "raised-exception": _in(SCORE, " if P + R else 0.0", ""),
    },
    "decoder_costs": {
        "floor-instead-of-ceil": _in(
            COSTS, "(height + s - 1) // s, (width + s - 1) // s", "height // s, width // s"
        ),
        "forgot-batchnorm": _in(COSTS, "+ norms ", ""),
        "resize-forgotten": _in(COSTS, " + 4 * deep_channels)", ")"),
        "reads-joined-again": _in(COSTS, "(convs - 1) * 9 * m * m", "(convs - 1) * first"),
        "gate-forgotten": _in(COSTS, " + deep_channels * k + first", " + first"),
    },
    "enlarge_line": {
        "unchanged": "enlarge_line = a_colleagues_resize",
        "anchor-in-the-middle": _in(LINE, "given.anchor", "0.5"),
        "sharpness-forgotten": _in(LINE, "given.sharpness * ", ""),
        "weight-not-limited": _in(LINE, "min(1, max(0, 0.5", "((0.5"),
        "wrong-gradients": _in(LINE, "torch.stack(columns, 1)", "torch.stack(columns, 1).detach()"),
    },
}
