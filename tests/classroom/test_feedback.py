"""The student's page: what ran, scores and comments, and nothing that a student smuggled in."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import nbformat
import pytest
from class_course import (
    ANSWER,
    ASSIGNMENT,
    NOTEBOOK,
    Cell,
    by_id,
    release_path,
    solved,
    write_notebook,
)
from nbgrader.nbgraderformat import reads

from seglib.classroom.feedback import harmless
from seglib.classroom.gradebook import (
    open_gradebook,
    store_scores,
    write_autograded,
    write_feedback,
)
from seglib.classroom.records import ItemRecord, Record
from seglib.classroom.submissions import Submission, read_submission

PNG = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
).decode()
ITEMS = (ItemRecord("round_down", 4, 1, "rounds-up", "It rounds up."), ItemRecord("widths", 6, 6))
ATTRIBUTES = """[...document.querySelectorAll('*')].flatMap(e => [...e.attributes])
    .filter(a => /^on/.test(a.name) || /^\\s*(javascript|data:text)/i.test(a.value))
    .map(a => `${a.name}=${a.value}`)"""
PROTOCOLS = "[...document.querySelectorAll('a[href]')].map(a => a.protocol)"
# Each sets a variable of the page where it runs.
ATTACKS = [
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "a <svg/onload=window.hacked=1> b",
    "<div><script>window.hacked=1</script></div>",
    "`` ` <script>window.hacked=1</script>",
    "```mermaid\n</pre><script>window.hacked=1</script>\n```",
    "```<script>window.hacked=1</script>\n<script>window.hacked=1</script>\n```",
    "# <script>window.hacked=1</script>",
    '# " onmouseover="window.hacked=1" autofocus onfocus="window.hacked=1',
    '![a" onerror="window.hacked=1](x.png "b\\" onerror=\\"window.hacked=1")',
    "[click](javascript:window.hacked=1)",
    "[click](JaVaScRiPt&#58;window.hacked=1)",
    "[click](&#106;avascript:window.hacked=1)",
    "[click](java&Tab;script&colon;window.hacked=1)",
    "[click](java\tscript:window.hacked=1)",
    "[click](java&amp;Tab;script:window.hacked=1)",
    "[click](<java\u0001script:window.hacked=1>)",
    "[click](\\javascript:window.hacked=1)",
    "[click](java\\script:window.hacked=1)",
    "[click](%6aavascript:window.hacked=1)",
    "[click](data:text/html,<script>window.hacked=1</script>)",
    "<javascript:window.hacked=1>",
    "[click]: javascript:window.hacked=1\n\n[click]",
    "$$</div><script>window.hacked=1</script>$$",
    "$\\href{javascript:window.hacked=1}{click}$",
    "\\begin{x}</div><script>window.hacked=1</script>\\end{x}",
    "<!-- --><script>window.hacked=1</script>",
    "<![CDATA[<script>window.hacked=1</script>",
    "&lt;script&gt;window.hacked=1&lt;/script&gt;",
    "<\nscript>window.hacked=1</script>",
    "<\u0000script>window.hacked=1</script>",
    "{{ cell }} {% raw %} <a href='//x' onclick=window.hacked=1>click</a>",
    "![](attachment:none.png)",
    "- [ ] <iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
]


def hand_in(course: Path, student: str, cells: list[Cell]) -> Submission:
    path = write_notebook(course / "submitted" / student / ASSIGNMENT / NOTEBOOK, cells)
    (path.parent / "timestamp.txt").write_text("2026-11-20 07:15:00 UTC\n", encoding="utf-8")
    submission = read_submission(path, release_path(course))
    record = Record(ASSIGNMENT, student, "graded", ITEMS, (), "f", 1.0, submission.written)
    store_scores(course, record)
    return submission


def outputs_of(submission: Submission) -> list[list[dict[str, object]]]:
    """One of each kind that a sandbox gives, at each cell of code."""
    error = {"output_type": "error", "ename": "ValueError", "evalue": "<b>", "traceback": ["<b>x"]}
    kinds: list[dict[str, object]] = [
        {
            "output_type": "stream",
            "name": "stdout",
            "text": "<script>window.hacked=1</script>\x1b[31m",
        },
        {"output_type": "display_data", "data": {"image/png": PNG}, "metadata": {}},
        {
            "output_type": "execute_result",
            "data": {"text/plain": "<script>window.hacked=1</script>"},
            "metadata": {},
            "execution_count": 1,
        },
        error,
    ]
    return [kinds if cell.kind == "code" else [] for cell in submission.cells]


def feedback(course: Path, student: str) -> str:
    page = course / "feedback" / student / ASSIGNMENT / f"{ASSIGNMENT}.html"
    return page.read_text(encoding="utf-8")


def test_the_page_shows_answers_scores_and_comments(course: Path) -> None:
    submission = hand_in(course, "李明", solved(course))
    write_autograded(course, ASSIGNMENT, "李明", submission, outputs_of(submission))
    assert write_feedback(course, ASSIGNMENT) == []
    page = feedback(course, "李明")
    assert "(Score: 7.0 / 13.0)" in page
    assert "It rounds up." in page
    assert ANSWER in page
    assert f"data:image/png;base64,{PNG}" in page


def test_the_page_says_what_waits_for_the_teacher(course: Path) -> None:
    submission = hand_in(course, "ann", solved(course))
    write_autograded(course, ASSIGNMENT, "ann", submission, outputs_of(submission))
    write_feedback(course, ASSIGNMENT)
    assert "Not graded yet." in feedback(course, "ann")
    with open_gradebook(course) as gradebook:
        grade = gradebook.find_grade("why", ASSIGNMENT, ASSIGNMENT, "ann")
        grade.manual_score, grade.needs_manual_grade = 2.0, False
        gradebook.db.commit()
    hand_in(course, "ann", solved(course))
    write_feedback(course, ASSIGNMENT)
    assert "Not graded yet." not in feedback(course, "ann")
    assert "(Score: 9.0 / 13.0)" in feedback(course, "ann")


def test_the_graded_notebook_is_one_for_nbgrader(course: Path) -> None:
    cells = solved(course)
    cells.remove(by_id(cells, "answer_widths"))
    cells.insert(1, {"cell_type": "raw", "metadata": {}, "source": "```<b>"})
    submission = hand_in(course, "ann", cells)
    write_autograded(course, ASSIGNMENT, "ann", submission, outputs_of(submission))
    path = course / "autograded" / "ann" / ASSIGNMENT / NOTEBOOK
    notebook = reads(path.read_text(encoding="utf-8"), as_version=4)
    nbformat.validate(notebook)
    about = [cell.metadata.get("nbgrader", {}) for cell in notebook.cells]
    ids = [entry["grade_id"] for entry in about if entry]
    assert ids == [
        cell["metadata"]["nbgrader"]["grade_id"]
        for cell in json.loads(release_path(course).read_bytes())["cells"]
        if "nbgrader" in cell["metadata"]
    ]
    assert notebook.cells[1].cell_type == "markdown"
    assert notebook.cells[1].source == "````\n```<\u2060b>\n````"
    missing = next(c for c in notebook.cells if "missing in the submission" in c.source)
    assert missing.metadata.nbgrader.grade_id == "answer_widths"
    before = path.read_bytes()
    write_autograded(course, ASSIGNMENT, "ann", submission, outputs_of(submission))
    assert path.read_bytes() == before


def test_one_broken_notebook_does_not_stop_the_others(course: Path) -> None:
    for student in ("ann", "bob"):
        submission = hand_in(course, student, solved(course))
        write_autograded(course, ASSIGNMENT, student, submission, outputs_of(submission))
    (course / "autograded" / "ann" / ASSIGNMENT / NOTEBOOK).write_text("{", encoding="utf-8")
    here = Path.cwd()
    lines = write_feedback(course, ASSIGNMENT)
    assert Path.cwd() == here
    assert [line.partition(": ")[0] for line in lines] == ["ann"]
    assert "Score: 7.0" in feedback(course, "bob")


@pytest.mark.parametrize(
    "text",
    [
        "a < b, a<3",
        "`a << 2`",
        "$a \\le b$",
        "**bold** & data science",
        "[d2l](https://d2l.ai) ![](http://a.org/b.png)",
    ],
)
def test_usual_text_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.requires("browser")
def test_nothing_that_students_write_runs_in_the_page(course: Path, chromium: str) -> None:
    from playwright.sync_api import sync_playwright

    cells = solved(course)
    by_id(cells, "why")["source"] = "\n\n".join(ATTACKS)
    by_id(cells, "answer_round_down")["source"] = "%%html\n" + ATTACKS[0]
    kinds = ("markdown", "raw", "code")
    cells += [{"cell_type": k, "metadata": {}, "source": a} for a in ATTACKS for k in kinds]
    submission = hand_in(course, "ann", cells)
    write_autograded(course, ASSIGNMENT, "ann", submission, outputs_of(submission))
    assert write_feedback(course, ASSIGNMENT) == []
    page_path = course / "feedback" / "ann" / ASSIGNMENT / f"{ASSIGNMENT}.html"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.context.set_offline(True)
        page.goto(page_path.as_uri(), wait_until="load")
        page.wait_for_timeout(300)
        assert page.evaluate("window.hacked") is None
        assert page.evaluate(ATTRIBUTES) == []
        assert set(page.evaluate(PROTOCOLS)) <= {"file:", "http:", "https:"}
        assert page.evaluate("document.querySelectorAll('iframe, svg, object').length") == 0
        browser.close()
