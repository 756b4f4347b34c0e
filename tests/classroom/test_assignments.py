"""Every assignment: two secrets ask for different answers, and known mistakes are named."""

from __future__ import annotations

import assignments
import pytest
from assignments import NAMES, SECRETS, items, wrong

from seglib.classroom import harness
from seglib.classroom.judges import source_path
from seglib.classroom.release import check_points, leaked

FIRST, SECOND = SECRETS
ITEMS = [(name, item) for name in NAMES for item in items(name)]
WRONG = [
    (name, item, slug) for name in NAMES for item, codes in wrong(name).items() for slug in codes
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(("name", "item"), ITEMS)
def test_the_solution_is_right_under_either_secret(name: str, item: str, secret: str) -> None:
    record = assignments.verdict(name, secret, item, assignments.solved(name, secret))
    assert (record.score, record.slug) == (record.points, ""), record


@pytest.mark.parametrize(("name", "item"), ITEMS)
def test_a_solution_for_one_secret_is_wrong_under_the_other(name: str, item: str) -> None:
    for own, other in ((FIRST, SECOND), (SECOND, FIRST)):
        record = assignments.verdict(name, other, item, assignments.solved(name, own))
        assert record.score < record.points, record
        assert record.slug


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_secrets_ask_for_many_answers(name: str) -> None:
    secrets = [f"secret number {number}" for number in range(10)]
    for item in [item for known, item in ITEMS if known == name]:
        for place, secret in enumerate(secrets):
            one = assignments.judge(name, secret, item)
            for other in secrets[:place]:
                answer = assignments.judge(name, other, item).item.answer
                assert one.verdict(harness.respond({item: answer}, one.request)).slug, (
                    item,
                    secret,
                    other,
                )


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(("name", "item"), ITEMS)
def test_every_known_mistake_is_refused_and_named(name: str, item: str, secret: str) -> None:
    one = assignments.judge(name, secret, item)
    assert len(one.item.mistakes) >= 4
    for slug, mistake in one.item.mistakes.items():
        record = one.verdict(harness.respond({item: mistake.answer}, one.request))
        assert record.slug == slug
        assert record.hint == mistake.hint
        assert record.score < record.points


@pytest.mark.parametrize(("name", "item", "slug"), WRONG)
def test_a_students_wrong_answer_is_refused_and_named(name: str, item: str, slug: str) -> None:
    code = assignments.filled(wrong(name)[item][slug], name, FIRST)
    namespace = assignments.executed([*assignments.solution_cells(name, FIRST), code])
    record = assignments.verdict(name, FIRST, item, namespace)
    assert record.slug == slug, record
    assert record.score < record.points


@pytest.mark.parametrize("name", NAMES)
def test_every_item_has_canned_wrong_answers(name: str) -> None:
    for item in [item for known, item in ITEMS if known == name]:
        assert len(wrong(name).get(item, {})) >= 3, item


@pytest.mark.parametrize("name", NAMES)
def test_points_stand_in_both_files_and_there_is_one_question(name: str) -> None:
    notebook = assignments.source(name, FIRST)
    check_points(notebook, assignments.assignment(name, FIRST))
    about = [cell.metadata.get("nbgrader", {}) for cell in notebook.cells]
    questions = [one for one in about if one.get("grade") and one.get("solution")]
    assert len(questions) == 1
    assert 3 <= len(assignments.assignment(name, FIRST).items) + 1 <= 5
    answers = {f"answer_{item}" for known, item in ITEMS if known == name}
    assert {one["grade_id"] for one in about if one.get("solution") and not one["grade"]} == answers


@pytest.mark.parametrize("name", NAMES)
def test_the_source_was_executed_and_reads_in_narrow_cells(name: str) -> None:
    for line in source_path(name).read_text(encoding="utf-8").splitlines():
        assert "given = example(" not in line or f'example(\\"{name}\\")' in line
    for cell in assignments.source(name, FIRST).cells:
        if cell.cell_type == "code":
            assert max(map(len, cell.source.splitlines())) <= 100


@pytest.mark.parametrize("name", NAMES)
def test_leaks_are_seen(name: str) -> None:
    """The search that guards a release finds the solutions where they are."""
    assert list(leaked(assignments.source(name, FIRST), assignments.source(name, FIRST)))
