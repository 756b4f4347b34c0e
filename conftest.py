"""Loaded before any test or notebook: the checks that nbval leaves out."""

pytest_plugins = ["notebook_plugin"]
# What a course in the assignments' folder would hold: holes for students to fill.
collect_ignore_glob = [
    f"notebooks/assignments/{name}/*" for name in ("release", "submitted", "autograded", "feedback")
]
