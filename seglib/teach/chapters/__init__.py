"""The exercises, one module for each chapter; each holds its `TASKS`."""
