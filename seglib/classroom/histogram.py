"""How scores are distributed, as a picture in SVG."""

from __future__ import annotations

from collections.abc import Sequence

BINS = 10
_WIDTH, _HEIGHT = 640, 190
_LEFT, _BASE, _TOP = 8, 150, 24  # the bars' left end, their foot, and the tallest one's head


def histogram(shares: Sequence[float]) -> str:
    """Ten bars for scores of 0–10 % … 90–100 % of the points; extra credit counts as 100 %."""
    counts = [0] * BINS
    for share in shares:
        counts[min(BINS - 1, max(0, int(share * BINS + 1e-9)))] += 1
    step = (_WIDTH - 2 * _LEFT) / BINS
    parts = []
    for index, count in enumerate(counts):
        left = _LEFT + index * step
        height = (_BASE - _TOP) * count / max(counts)
        center = left + step / 2
        parts.append(
            f'<rect x="{left + 4:.1f}" y="{_BASE - height:.1f}" width="{step - 8:.1f}"'
            f' height="{height:.1f}" rx="2"/>'
        )
        if count:
            parts.append(
                f'<text x="{center:.1f}" y="{_BASE - height - 6:.1f}" class="count">{count}</text>'
            )
    for index in range(BINS + 1):
        parts.append(
            f'<text x="{_LEFT + index * step:.1f}" y="{_BASE + 18}" class="tick">'
            f"{index * 100 // BINS}</text>"
        )
    parts.append(f'<line x1="{_LEFT}" y1="{_BASE}" x2="{_WIDTH - _LEFT}" y2="{_BASE}"/>')
    parts.append(
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 4}" class="label">percent of the points</text>'
    )
    told = "; ".join(
        f"{index * 100 // BINS} to {(index + 1) * 100 // BINS} %: {count}"
        for index, count in enumerate(counts)
    )
    return (
        f'<figure><svg viewBox="-14 0 {_WIDTH + 28} {_HEIGHT}" role="img"'
        f' aria-label="Submissions by share of the points: {told}">' + "".join(parts) + "</svg>"
        "<figcaption>Graded submissions by their share of the points.</figcaption></figure>"
    )
