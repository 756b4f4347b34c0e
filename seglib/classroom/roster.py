"""The class list: a CSV file as nbgrader imports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Student:
    """A student; `id` names folders, `lms_id` is the learning management system's number."""

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_id: str = ""
