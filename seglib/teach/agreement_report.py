"""What `parity` found, and how it shows itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from seglib.teach._html import block, escape, markup, table


@dataclass(frozen=True)
class ParityRow:
    """One comparison.

    Attributes:
        mode: `"eval"`, `"train"`, or `"–"` for functions.
        what: what was compared.
        verdict: `"exact"` (to rounding: 1e-12), `"close"` (within the tolerance) or `"no"`.
        max_delta: largest difference, relative to the larger of 1 and the reference's largest
            value.
        shown: the bound that is displayed; the same on every CPU.
        bitwise: whether every bit agrees, here.
    """

    mode: str
    what: str
    verdict: str
    max_delta: float
    shown: str
    bitwise: bool = False


@dataclass(frozen=True, repr=False)
class ParityReport:
    """The comparisons of one `parity` call; shows itself.

    Attributes:
        names: what was compared with what.
        rows: the comparisons.
        mapping: how the weights were matched.
    """

    names: tuple[str, str]
    rows: tuple[ParityRow, ...] = field(default=())
    mapping: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything agrees within the tolerance."""
        return all(row.verdict != "no" for row in self.rows)

    @property
    def max_delta(self) -> float:
        """The largest difference of all rows."""
        return max((row.max_delta for row in self.rows), default=0.0)

    def __bool__(self) -> bool:
        return self.passed

    def _title(self) -> str:
        return f"{self.names[0]} and {self.names[1]}: {'agree' if self.passed else 'differ'}"

    def __repr__(self) -> str:
        width = max((len(row.what) for row in self.rows), default=0)
        lines = [self._title()]
        lines += [
            f"  {'✗' if row.verdict == 'no' else '✓'} {row.mode:<5} {row.what:<{width}}  "
            f"{row.verdict:<5}  {row.shown}"
            for row in self.rows
        ]
        return "\n".join([*lines, f"  {self.mapping}"] if self.mapping else lines)

    def _repr_html_(self) -> str:
        rows = []
        for row in self.rows:
            good = row.verdict != "no"
            mark, color = ("✓", "sl-good") if good else ("✗", "sl-bad")
            verdict = f'<span class="{color}">{mark} {row.verdict}</span>'
            rows.append((escape(row.mode), escape(row.what), verdict, escape(row.shown)))
        head = ("mode", "compared", "agreement", "max |Δ|")
        content = (
            f'<p style="margin:0 0 4px 0"><strong>{markup(self._title())}</strong></p>'
            f"{table(head, rows, label='Comparisons')}"
        )
        if self.mapping:
            content += f'<p class="sl-quiet" style="margin:4px 0 0 0">{markup(self.mapping)}</p>'
        return block(content, label=f"Parity: {self._title()}")
