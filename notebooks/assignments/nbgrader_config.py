"""nbgrader's settings; `seglib class release` copies them into a course's folder."""

from pathlib import Path

c = get_config()  # noqa: F821  (nbgrader defines it)
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
c.CourseDirectory.course_id = "segmentation"
# What students wrote is shown as text: no script of theirs runs in a grader's browser.
c.HTMLExporter.sanitize_html = True
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError()"}
c.ClearSolutions.text_stub = "*Your answer here.*"
