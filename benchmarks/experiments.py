"""The chapters' longer experiments, one after the other: `make experiments`."""

from __future__ import annotations

from importlib import import_module

# In the order of the chapters; each is run alone by `python -m benchmarks.NAME`.
EXPERIMENTS = (
    "channels",
    "squeeze_excite",
    "residual",
    "pyramid",
    "context",
    "decoder",
    "schedules",
    "imbalance",
    "gallery",
)


def main() -> None:
    for name in EXPERIMENTS:
        import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
