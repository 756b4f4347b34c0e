"""The chapters' longer experiments, one after the other: `make experiments`."""

from __future__ import annotations

from benchmarks import schedules


def main() -> None:
    schedules.main()


if __name__ == "__main__":
    main()
