"""Assignment 01, answered wrongly: {item: {slug: code}}; `given.x` stands for values."""

WRONG = {
    "round_channels": {
        "rounds-to-nearest": """
def round_channels(value):
    if value <= 0:
        raise ValueError("value must be positive")
    new = max(given.smallest, int(value + given.divisor / 2) // given.divisor * given.divisor)
    if new < given.keep * value:
        new += given.divisor
    return new
""",
        "share-of-the-library": """
def round_channels(value):
    if not value > 0:
        raise ValueError(value)
    new = max(given.smallest, int(value / given.divisor) * given.divisor)
    return new + given.divisor if new < 0.9 * value else new
""",
        "accepts-nonpositive": """
import math
def round_channels(value):
    low = math.floor(value / given.divisor) * given.divisor
    if low < given.keep * value:
        low += given.divisor
    return max(low, given.smallest)
""",
        "smallest-forgotten": """
def round_channels(v):
    if v <= 0: raise ValueError
    low = int(v // given.divisor * given.divisor)
    low = low if low >= v * given.keep else low + given.divisor
    return max(low, given.divisor)
""",
        "wrong-type": """
def round_channels(value):
    if value <= 0:
        raise ValueError(value)
    return str(value // given.divisor * given.divisor)
""",
        "raised-exception": """
def round_channels(value):
    return [n for n in range(0, 10**4, given.divisor)][value // given.divisor]
""",
    },
    "network_widths": {
        "stem-by-the-same-rule": """
def network_widths(base, width_mult):
    d = given.divisor
    near = lambda v: max(d, int(v + d / 2) // d * d)
    stem = max(d, int(base[0] * width_mult) // d * d)
    head = given.head
    if width_mult > given.wide_from:
        head = near(head * width_mult)
    return [stem] + [near(b * width_mult) for b in base[1:]] + [head]
""",
        "head-forgotten": """
def network_widths(base, width_mult):
    own = given.stem_divisor
    d = given.divisor
    out = [max(own, int(base[0] * width_mult / own) * own)]
    for b in base[1:]:
        out.append(max(d, int((b * width_mult + d / 2) / d) * d))
    return out
""",
        "head-at-the-threshold": """
def network_widths(base, width_mult):
    own = given.stem_divisor
    d = given.divisor
    near = lambda v: max(d, int(v / d + 0.5) * d)
    out = [max(own, int(base[0] * width_mult // own) * own)]
    out += [near(b * width_mult) for b in base[1:]]
    big = width_mult >= given.wide_from
    return out + [near(given.head * width_mult) if big else given.head]
""",
        "changes-input": """
def network_widths(base, width_mult):
    own = given.stem_divisor
    base[0] = max(own, int(base[0] * width_mult // own) * own)
    for i in range(1, len(base)):
        base[i] = max(1, int(base[i] * width_mult / given.divisor + 0.5)) * given.divisor
    if width_mult <= given.wide_from:
        return base + [given.head]
    return base + [max(1, int(given.head * width_mult / given.divisor + 0.5)) * given.divisor]
""",
    },
    "widest_within": {
        "percent-as-share": """
def widest_within(wanted, times):
    limit = times[wanted] * (1 + given.slack)
    fit = [w for w, t in times.items() if w >= wanted and w % given.step == 0 and t <= limit]
    return max(fit) if fit else wanted
""",
        "first-past-the-limit": """
def widest_within(wanted, times):
    best = wanted
    for width in sorted(times):
        if width < wanted or width % given.step:
            continue
        if times[width] > times[wanted] * (100 + given.slack) / 100:
            break
        best = width
    return best
""",
        "any-width": """
def widest_within(wanted, times):
    limit = times[wanted] * (1 + given.slack / 100)
    return max([w for w in times if times[w] <= limit and w >= wanted])
""",
    },
}
