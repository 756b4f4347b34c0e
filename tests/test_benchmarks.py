"""The benchmarks' page says what the stored results say."""

from pathlib import Path
from typing import cast

import pytest
from project_files import ROOT

from benchmarks import report

BENCH: report.Bench = {
    "machine": "a processor",
    "threads": 2,
    "python": "3",
    "torch": "2",
    "runs": 15,
    "rows": [
        {
            "pair": "one, other",
            "task": "forward",
            "size": (1, 64, 96),
            "seglib_seconds": 0.05,
            "other_seconds": 0.1,
            "ratio": 0.5,
            "ratio_min": 0.4,
            "ratio_max": 1.25,
            "seglib_mb": 10.0,
            "other_mb": 20.0,
            "seglib_multiply_adds": 1.0,
            "other_multiply_adds": 2.0,
        }
    ],
    "loading": [
        {"dataset": "d", "size": "3×4", "num_workers": 2, "median": 7.0, "min": 6.0, "max": 8.0}
    ],
    "agreement": 0.9987,
    "agreement_steps": 5,
}
CAMVID = cast(
    report.CamVid,
    {
        **{key: BENCH[key] for key in ("machine", "threads", "python", "torch")},  # type: ignore[literal-required]
        "minutes": 10,
        "classes": ["sky", "pole"],
        "rows": [
            {
                "library": library,
                "seed": 0,
                "seconds": 600.0,
                "mean_iou": value,
                "class_iou": [value, value],
                "curve": [[300.0, 0.1], [600.0, value]],
                "optimised_agreement": 0.99874 if library == "seglib" else None,
            }
            for library, value in (("seglib", 0.6), ("smp", 0.5))
        ],
    },
)


def test_the_page_is_that_of_the_stored_results() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert report.filled(text) == text, "run `python -m benchmarks.report`"


def test_results_become_a_page_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    page = tmp_path / "README.md"
    page.write_text("a\n<!-- bench -->\nold\n<!-- end of bench -->\nb\n", encoding="utf-8")
    report.keep("bench", BENCH)
    report.write()
    text = page.read_text(encoding="utf-8")
    assert text.startswith("a\n")
    assert text.endswith("-->\nb\n")
    assert "old" not in text
    assert "a processor, 2 threads" in text
    assert "1×64×96 | 1.00 / 2.00 | 50 | 100 | **0.500** (0.40 – 1.25) | 10 / 20 |" in text
    assert "| d, 3×4, 2 workers | 7 (6 – 8) |" in text
    picture = (tmp_path / "results" / "bench.svg").read_bytes()
    report.write()
    assert page.read_text(encoding="utf-8") == text
    assert (tmp_path / "results" / "bench.svg").read_bytes() == picture


def test_quality_is_told_as_a_difference() -> None:
    text = report.camvid(CAMVID)
    assert "| seed 0 | 0.6000 (600 s) | 0.5000 (600 s) | **+0.1000** |" in text
    assert "of 99.87 % of" in text
    assert "| pole | 0.60 | 0.50 |" in text
    assert report.curves(CAMVID["rows"]).axes[0].get_legend() is not None
