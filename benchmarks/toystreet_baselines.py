"""How far colour, position and small patches go on ToyStreet: what a network has to beat.

    python benchmarks/toystreet_baselines.py

Prints the mean IoU on the val split of two pixel classifiers, each trained as well as a minute
allows: one sees a pixel's colour, the other its 5×5 neighbourhood and its place in the image.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

from seglib.datasets import build_dataset
from seglib.datasets.base import SegmentationDataset

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Features = Callable[[Floats], Floats]
Classifier = ExtraTreesClassifier | HistGradientBoostingClassifier

REACH = 2  # a patch is 5×5


def colour(image: Floats) -> Floats:
    """Each pixel's RGB: (H, W, 3) → (H · W, 3)."""
    return image.reshape(-1, 3)


def patch_and_place(image: Floats) -> Floats:
    """RGB of the 5×5 patch, its mean, spread and range, and the place: (H, W, 3) → (H · W, 86)."""
    height, width, _ = image.shape
    padded = np.pad(image, ((REACH, REACH), (REACH, REACH), (0, 0)), mode="edge")
    side = 2 * REACH + 1
    patch = np.stack(
        [padded[dy : dy + height, dx : dx + width] for dy in range(side) for dx in range(side)]
    )  # (25, H, W, 3)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    parts = [*patch, patch.mean(0), patch.std(0), np.ptp(patch, axis=0), rows, columns]
    return np.concatenate([part.reshape(height * width, -1) for part in parts], axis=1)


def sample(
    data: SegmentationDataset, features: Features, per_image: int, rare: int, seed: int
) -> tuple[Floats, Labels]:
    """Pixels of each image: `per_image` at random, and up to `rare` more of each class it shows."""
    rng = np.random.default_rng(seed)
    inputs, targets = [], []
    for image, mask in (data[index] for index in range(len(data))):
        labels = mask.numpy().ravel()
        valid = np.nonzero(labels != data.ignore_index)[0]
        chosen = [rng.choice(valid, min(per_image, valid.size), replace=False)]
        for label in np.unique(labels[valid]) if rare else ():
            of_class = np.nonzero(labels == label)[0]
            chosen.append(rng.choice(of_class, min(rare, of_class.size), replace=False))
        pixels = np.concatenate(chosen)
        picture = image.permute(1, 2, 0).numpy().astype(np.float32)
        inputs.append(features(picture)[pixels])
        targets.append(labels[pixels])
    return np.concatenate(inputs), np.concatenate(targets)


def mean_iou(predicted: Labels, target: Labels, num_classes: int) -> float:
    """Mean IoU over all classes."""
    counts = np.bincount(target * num_classes + predicted, minlength=num_classes**2)
    matrix = counts.reshape(num_classes, num_classes)
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    return float((matrix.diagonal() / union).mean())


def baseline(
    features: Features, make: Callable[[], Classifier], *, per_image: int, root: Path | None = None
) -> float:
    """Val mean IoU of a pixel classifier, the better of a plain and a rare-class-rich sample."""
    train, val = (build_dataset("toystreet", split, root) for split in ("train", "val"))
    inputs, target = sample(val, features, 3000, 0, seed=1)
    scores = []
    for share, rare in ((1.0, 0), (0.7, 6)):
        model = make().fit(*sample(train, features, round(per_image * share), rare, seed=0))
        scores.append(mean_iou(model.predict(inputs), target, len(val.classes)))
    return max(scores)


def colour_only(root: Path | None = None) -> float:
    """Val mean IoU of boosted trees on a pixel's colour."""
    return baseline(
        colour,
        lambda: HistGradientBoostingClassifier(max_iter=40, learning_rate=0.2, random_state=0),
        per_image=300,
        root=root,
    )


def colour_position_patch(root: Path | None = None) -> float:
    """Val mean IoU of a forest on 5×5 patches and their place."""
    return baseline(
        patch_and_place,
        lambda: ExtraTreesClassifier(
            60, min_samples_leaf=2, max_features=24, n_jobs=2, random_state=0
        ),
        per_image=250,
        root=root,
    )


def main() -> None:
    torch.set_num_threads(1)
    for name, run in (("colour", colour_only), ("colour, 5×5 patch, place", colour_position_patch)):
        start = time.perf_counter()
        print(f"{name:<26} val mean IoU {run():.3f}   {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
