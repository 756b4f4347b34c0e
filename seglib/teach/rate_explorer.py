"""The explorer of learning rates: a thin shell of sliders around `learning_rates`."""

from __future__ import annotations

from seglib.teach._html import put
from seglib.teach.learning_rates import RateFacts, learning_rates

STEPS = 300
_KINDS = ("poly", "step", "constant")


def learning_rate_explorer() -> None:
    """Show a choice of schedule and sliders for rate, power and warm-up, and where they lead.

    Without a running kernel the sliders are dead; the first setting stands on the page, too.
    """
    import ipywidgets

    wide = {"description_width": "8em"}
    layout = {"width": "28em"}
    kind = ipywidgets.Dropdown(options=_KINDS, description="schedule", style=wide, layout=layout)
    sliders = {
        "lr": ipywidgets.FloatSlider(
            0.5, min=0.05, max=2.2, step=0.05, description="lr", style=wide, layout=layout
        ),
        "power": ipywidgets.FloatSlider(
            0.9, min=0.1, max=3.0, step=0.1, description="power", style=wide, layout=layout
        ),
        "warmup_steps": ipywidgets.IntSlider(
            0, min=0, max=200, step=10, description="warmup_steps", style=wide, layout=layout
        ),
    }

    def facts() -> RateFacts:
        warmup = 0 if kind.value == "step" else sliders["warmup_steps"].value
        return learning_rates(
            kind.value, STEPS, sliders["lr"].value, sliders["power"].value, warmup
        )

    first = facts()
    page = ipywidgets.HTML(first._repr_html_())

    def update(_: object) -> None:
        page.value = facts()._repr_html_()

    for control in (kind, *sliders.values()):
        control.observe(update, names="value")
    bundle = ipywidgets.VBox([kind, *sliders.values(), page])._repr_mimebundle_()
    bundle["text/plain"] = "Controls: schedule, lr 0.05–2.2, power 0.1–3, warmup_steps 0–200."
    put(bundle)
    still = (
        '<details style="margin-top:8px"><summary>Without a kernel: the first setting</summary>'
        f"{first._repr_html_()}</details>"
    )
    put({"text/html": still, "text/plain": repr(first)})
