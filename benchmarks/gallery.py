"""Chapter 14's gallery of failures: what each change does to a run of forty steps, at eight seeds.

    python -m benchmarks.gallery

Trains the chapter's network with each change of `seglib.teach.gallery`, on 100 streets of ToyStreet
at half size, and writes losses, val mean IoU and false sky to benchmarks/results/14_gallery.json.
About four minutes on two cores.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from benchmarks import recipe
from seglib import build_dataset
from seglib.datasets.transforms import normalize
from seglib.teach.gallery import CHANGES, STEPS, end, half_size, judge, short_run

OUT = Path(__file__).parent / "results" / "14_gallery.json"
SEEDS = tuple(range(8))
TRAIN, VAL = 100, 40  # pictures


@torch.no_grad()
def disagreement(model: torch.nn.Module, images: torch.Tensor) -> float:
    """The share of pixels whose class depends on whether the image is normalised."""
    one, other = (model(x).argmax(dim=1) for x in (images.float(), normalize(images)))
    return (one != other).float().mean().item()


def main() -> None:
    torch.set_num_threads(1)  # as in the chapter: tensors here are small
    images, masks = half_size(build_dataset("toystreet", "train"), TRAIN)
    others, other_masks = half_size(build_dataset("toystreet", "val"), VAL)
    runs = []
    for name, change in CHANGES.items():
        for seed in SEEDS:
            model = recipe.network(seed)
            losses = short_run(model, images, masks, change, seed=seed)
            mean_iou, false_sky = judge(model, others, other_masks)
            row = {
                "change": name,
                "seed": seed,
                "end": round(end(losses), 4),
                "mean_iou": round(mean_iou, 4),
                "false_sky": round(false_sky, 4),
                "normalising_changes": round(disagreement(model, others), 4),
            }
            print(row, flush=True)
            runs.append({**row, "losses": [round(loss, 3) for loss in losses]})
    OUT.parent.mkdir(exist_ok=True)
    about = {"steps": STEPS, "images": TRAIN, "val_images": VAL}
    OUT.write_text(json.dumps({**about, "runs": runs}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
