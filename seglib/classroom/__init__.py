"""Assignments: release, collect, grade in a sandbox, report. Needs the extra `classroom`."""
