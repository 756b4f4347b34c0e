"""Results as a table and a picture: benchmarks/results/*.json → benchmarks/README.md.

python -m benchmarks.report
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypedDict, cast, overload

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seglib.teach.figures import BLUE, CARD, INK, ORANGE

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"


class Result(TypedDict):
    """What every result tells of its origin."""

    machine: str
    threads: int
    python: str
    torch: str


class SpeedRow(TypedDict):
    """One task of one pair; `size` is images, height, width; multiply-adds in 10⁹ an image."""

    pair: str
    task: str
    size: Sequence[int]
    seglib_seconds: float
    other_seconds: float
    ratio: float
    ratio_min: float
    ratio_max: float
    seglib_mb: float
    other_mb: float
    seglib_multiply_adds: float
    other_multiply_adds: float


class LoadingRow(TypedDict):
    """Images a second of a loader."""

    dataset: str
    size: str
    num_workers: int
    median: float
    min: float
    max: float


class Bench(Result):
    """What `benchmarks.bench` measures; `agreement` is that of the network of equal multiply-adds
    after `agreement_steps` on ToyStreet, as a share of val's pixels.
    """

    runs: int
    rows: list[SpeedRow]
    loading: list[LoadingRow]
    agreement: float
    agreement_steps: int


class CamVidRow(Result):
    """One training. `measured_on` is "val" or the drive that is held out; `images` and
    `measured_images` count both sides; `curve` holds (seconds, mean IoU); `optimised_agreement` is
    the share of val's pixels whose class `optimise` leaves as it is, for seglib.
    """

    network: str
    recipe: str
    measured_on: str
    seed: int
    images: int
    measured_images: int
    minutes: float
    seconds: float
    mean_iou: float
    class_iou: Sequence[float]
    curve: Sequence[tuple[float, float]]
    optimised_agreement: float | None


class CamVid(TypedDict):
    """What `benchmarks.camvid` measures, run by run: they may be of several machines."""

    classes: Sequence[str]
    rows: list[CamVidRow]


def keep(name: str, result: Bench | CamVid) -> None:
    """Store a result under results/."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")


def write() -> None:
    """Put every stored result into the pages, and draw its picture."""
    for page in (FOLDER / "README.md", FOLDER.parent / "README.md"):
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    if (found := stored("bench")) is not None:
        save(ratios(found["rows"]), "bench")
    if (found := stored("camvid")) is not None:
        save(curves(found["rows"]), "camvid")


def filled(text: str) -> str:
    """A page's text with what stands between `<!-- NAME -->` and `<!-- end of NAME -->` made anew
    from the stored results.
    """
    for name, (source, make) in SECTIONS.items():
        result = stored(source)
        if result is not None and f"<!-- {name} -->" in text:
            before, rest = text.split(f"<!-- {name} -->", 1)
            after = rest.split(f"<!-- end of {name} -->", 1)[1]
            text = f"{before}<!-- {name} -->\n{make(result)}\n<!-- end of {name} -->{after}"
    return text


@overload
def stored(name: Literal["bench"]) -> Bench | None: ...
@overload
def stored(name: Literal["camvid"]) -> CamVid | None: ...
def stored(name: str) -> Bench | CamVid | None:
    """A result under results/, or None."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return None
    return cast(CamVid, json.loads(path.read_text(encoding="utf-8")))


def about(result: Result) -> str:
    return (
        f"Measured on {result['machine']}, {result['threads']} threads; Python {result['python']},"
        f" PyTorch {result['torch']}."
    )


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---", *("---:" for _ in header[1:])), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bench(result: Bench) -> str:
    """Speed, memory and loading as Markdown."""
    speed = [
        (
            f"{row['pair']}: {row['task']}, {'×'.join(map(str, row['size']))}",
            f"{row['seglib_multiply_adds']:.2f} / {row['other_multiply_adds']:.2f}",
            f"{1000 * row['seglib_seconds']:.0f}",
            f"{1000 * row['other_seconds']:.0f}",
            f"**{row['ratio']:.3f}** ({row['ratio_min']:.2f} – {row['ratio_max']:.2f})",
            f"{row['seglib_mb']:.0f} / {row['other_mb']:.0f}",
        )
        for row in result["rows"]
    ]
    header = (
        "beside, task, images × height × width",
        "10⁹ multiply-adds an image",
        "seglib, ms",
        "other, ms",
        f"time ratio, median of {result['runs']} (min – max)",
        "peak MB",
    )
    loading = [
        (
            f"{row['dataset']}, {row['size']}, {row['num_workers']} workers",
            f"{row['median']:.0f} ({row['min']:.0f} – {row['max']:.0f})",
        )
        for row in result["loading"]
    ]
    return "\n\n".join(
        [
            about(result),
            "![Time of seglib relative to the other library, row by row](results/bench.svg)",
            table(header, speed),
            f"`optimise` leaves the class of {100 * result['agreement']:.2f} % of the pixels as it"
            " was: the network of equal multiply-adds, trained for"
            f" {result['agreement_steps']} steps on ToyStreet, on its val split.",
            "Loading: decoded, augmented, in batches of eight.",
            table(("data set, crop, workers", "images a second (min – max)"), loading),
        ]
    )


def ratios(rows: list[SpeedRow]) -> Figure:
    """Each row's median ratio as a point, its spread as a line; 1 is the other library."""
    figure, axes = card(0.6 + 0.34 * len(rows))
    places = range(len(rows))[::-1]
    for place, row in zip(places, rows, strict=True):
        faster = row["ratio"] <= 1
        color = BLUE if faster else ORANGE
        axes.plot((row["ratio_min"], row["ratio_max"]), (place, place), color=color, linewidth=2)
        axes.plot(row["ratio"], place, "o", color=color)
    axes.axvline(1, color=INK, linewidth=1)
    labels = [f"{row['pair']}: {row['task']}" for row in rows]
    axes.set_yticks(list(places), labels, fontsize=8)
    axes.set_xlabel("time of seglib / time of the other (left of 1: seglib is faster)", fontsize=8)
    axes.set_xlim(left=0)
    return figure


def with_row(result: CamVid | None, row: CamVidRow, classes: Sequence[str]) -> CamVid:
    """The result with a new row in the place of its like: the same run on the same machine."""
    kept = [] if result is None else [old for old in result["rows"] if _run(old) != _run(row)]
    return {"classes": classes, "rows": sorted([*kept, row], key=_run)}


def _run(row: CamVidRow) -> tuple[object, ...]:
    """What tells runs apart, in the table's order: by machine, val first, seglib before smp."""
    return (
        _machine(row),
        row["measured_on"] != "val",
        row["measured_on"],
        row["network"],
        row["recipe"],
        row["seed"],
    )


def _machine(row: CamVidRow) -> tuple[object, ...]:
    return tuple(row[key] for key in ("machine", "threads", "torch", "minutes"))


def _who(row: CamVidRow) -> str:
    return f"{row['network']}'s network, {row['recipe']}'s recipe"


def _where(row: CamVidRow) -> str:
    return "val" if row["measured_on"] == "val" else f"drive {row['measured_on']}"


def camvid(result: CamVid) -> str:
    """Quality after a fixed time as Markdown, a table for each machine."""
    machines = sorted({_machine(row) for row in result["rows"]})
    parts = [
        _camvid_of_machine([row for row in result["rows"] if _machine(row) == machine], result)
        for machine in machines
    ]
    picture = "![Mean IoU on CamVid against minutes of training](results/camvid.svg)"
    return "\n\n".join([picture, *parts])


def camvid_in_short(result: CamVid) -> str:
    """A line for each kind of run, with all its seeds: for the project's first page."""
    found: dict[tuple[str, ...], list[str]] = {}
    for row in result["rows"]:
        if row["measured_on"] in ("val", "0006R0"):
            key = (_who(row), _measured_on(row), row["machine"].partition(",")[0])
            found.setdefault(key, []).append(f"{row['mean_iou']:.2f}")
    header = ("trained for ten minutes, from scratch", "measured on", "processor", "mean IoU")
    return table(header, [(*key, ", ".join(values)) for key, values in found.items()])


def _measured_on(row: CamVidRow) -> str:
    if row["measured_on"] == "val":
        return "val (drive 0016E5, also in train)"
    return f"drive {row['measured_on']}, held out"


def _camvid_of_machine(rows: list[CamVidRow], result: CamVid) -> str:
    header = (
        "trained",
        "measured on",
        "frames: training / measured",
        "seed",
        "seconds",
        "mean IoU",
    )
    lines = [
        (
            _who(row),
            _measured_on(row),
            f"{row['images']} / {row['measured_images']}",
            f"{row['seed']}",
            f"{row['seconds']:.0f}",
            f"**{row['mean_iou']:.3f}**",
        )
        for row in rows
    ]
    same = sorted(
        100 * row["optimised_agreement"] for row in rows if row["optimised_agreement"] is not None
    )
    ours = [row for row in rows if row["network"] == "seglib"]
    by_class = [
        (name, *(f"{row['class_iou'][i]:.2f}" for row in ours))
        for i, name in enumerate(result["classes"])
    ]
    kept = [
        f"`optimise` leaves the class of {share:.2f} % or more of val's pixels." for share in same
    ]
    columns = [f"{_where(row)}, seed {row['seed']}" for row in ours]
    return "\n\n".join(
        [
            f"{about(rows[0])} {rows[0]['minutes']:g} minutes a run.",
            table(header, lines),
            *kept[:1],
            "IoU of each class, seglib's network:",
            table(("class", *columns), by_class),
        ]
    )


def curves(rows: list[CamVidRow]) -> Figure:
    """Mean IoU against the clock of training: val on the left, drives held out on the right."""
    figure = Figure(figsize=(8, 3.2), facecolor=CARD, layout="constrained")
    colors = {"seglib": BLUE, "smp": ORANGE}
    for axes, val in zip(figure.subplots(1, 2, sharey=True), (True, False), strict=True):
        styled(axes)
        named = set()
        for row in (row for row in rows if (row["measured_on"] == "val") is val):
            minutes = [seconds / 60 for seconds, _ in row["curve"]]
            values = [value for _, value in row["curve"]]
            label = None if _who(row) in named else _who(row)
            named.add(_who(row))
            style = "o-" if row["recipe"] == "seglib" else "s--"
            axes.plot(
                minutes, values, style, color=colors[row["network"]], markersize=3, label=label
            )
            instructions = row["machine"].partition("(")[2].partition(")")[0]
            end = instructions if val else row["measured_on"]
            axes.annotate(end, (minutes[-1], values[-1]), fontsize=7)
        axes.set_title(
            "val: a drive that is also in train" if val else "a drive held out", fontsize=9
        )
        axes.set_xlabel("minutes of training", fontsize=8)
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
    first = figure.axes[0]
    first.set_ylabel("mean IoU", fontsize=8)
    first.legend(frameon=False, fontsize=7)
    return figure


def card(height: float) -> tuple[Figure, Axes]:
    """A light card, 8 inches wide."""
    figure = Figure(figsize=(8, height), facecolor=CARD, layout="constrained")
    axes = figure.subplots()
    styled(axes)
    return figure, axes


def styled(axes: Axes) -> None:
    axes.set_facecolor(CARD)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", color="#e3e6ea", linewidth=0.8)


def save(figure: Figure, name: str) -> None:
    """As SVG that is the same for the same figures."""
    RESULTS.mkdir(exist_ok=True)
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None})


# The name of a page's section → the stored result, and what makes Markdown of it.
SECTIONS: dict[str, tuple[Literal["bench", "camvid"], Callable[..., str]]] = {
    "bench": ("bench", bench),
    "camvid": ("camvid", camvid),
    "camvid in short": ("camvid", camvid_in_short),
}

if __name__ == "__main__":
    write()
