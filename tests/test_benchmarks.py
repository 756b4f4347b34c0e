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
        "classes": ["sky", "pole"],
        "rows": [
            {
                **{key: BENCH[key] for key in ("machine", "threads", "python", "torch")},  # type: ignore[literal-required]
                "minutes": 10,
                "network": network,
                "recipe": recipe,
                "measured_on": measured_on,
                "seed": 0,
                "images": 367,
                "measured_images": 101,
                "seconds": 600.0,
                "mean_iou": value,
                "class_iou": [value, value],
                "curve": [[300.0, 0.1], [600.0, value]],
                "optimised_agreement": 0.99874 if value == 0.6 else None,
            }
            for network, recipe, measured_on, value in (
                ("seglib", "seglib", "val", 0.6),
                ("smp", "seglib", "val", 0.55),
                ("smp", "smp", "val", 0.5),
                ("seglib", "seglib", "0006R0", 0.4),
            )
        ],
    },
)


def test_the_page_is_that_of_the_stored_results() -> None:
    for page in ("README.md", "benchmarks/README.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert report.filled(text) == text, "run `python -m benchmarks.report`"


def test_results_become_a_page_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "README.md").write_text("no results here\n", encoding="utf-8")
    monkeypatch.setattr(report, "FOLDER", tmp_path / "benchmarks")
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    page = tmp_path / "benchmarks" / "README.md"
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


def test_quality_names_what_each_number_is() -> None:
    text = report.camvid(CAMVID)
    seen = "| seglib's network, seglib's recipe | val (drive 0016E5, also in train) | 367 / 101 |"
    unseen = "| seglib's network, seglib's recipe | drive 0006R0, held out | 367 / 101 |"
    assert f"{seen} 0 | 600 | **0.600** |" in text
    assert f"{unseen} 0 | 600 | **0.400** |" in text
    assert "| smp's network, seglib's recipe | val" in text
    assert "of 99.87 % or more of" in text
    assert "| pole | 0.60 | 0.40 |" in text
    short = report.camvid_in_short(CAMVID)
    assert (
        "| seglib's network, seglib's recipe | drive 0006R0, held out | a processor | 0.40 |"
        in short
    )
    assert report.curves(CAMVID["rows"]).axes[0].get_legend() is not None


def test_a_run_takes_the_place_of_its_like() -> None:
    row = CAMVID["rows"][2]
    new = cast(report.CamVidRow, {**row, "mean_iou": 0.51})
    result = report.with_row(CAMVID, new, CAMVID["classes"])
    assert [r["mean_iou"] for r in result["rows"]] == [0.6, 0.55, 0.51, 0.4]
    elsewhere = cast(report.CamVidRow, {**new, "machine": "some other"})
    both = report.with_row(result, elsewhere, CAMVID["classes"])
    assert [r["mean_iou"] for r in both["rows"]] == [0.6, 0.55, 0.51, 0.4, 0.51]
    text = report.camvid(both)
    assert text.index("a processor, 2 threads") < text.index("some other, 2 threads")
