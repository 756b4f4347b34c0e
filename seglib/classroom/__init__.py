"""Assignments: release, collect, grade in a sandbox, report. Needs the extra `classroom`.

Judge files import what they are made of from here; the sources' instructor cell imports `example`.
"""

from seglib.classroom.draw import Draw
from seglib.classroom.items import Build, Call, Item, Mistake, Part
from seglib.classroom.judges import example
from seglib.classroom.telling import telling

__all__ = ["Build", "Call", "Draw", "Item", "Mistake", "Part", "example", "telling"]
