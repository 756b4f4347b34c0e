"""Loaded before any test or notebook: the checks that nbval leaves out."""

pytest_plugins = ["notebook_plugin"]
# Assignments hold holes for students to fill, and are tested by their own tests.
collect_ignore_glob = ["notebooks/assignments/*"]
