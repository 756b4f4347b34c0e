"""Published ImageNet weights of the backbones, by name."""

import http.client
import pickle
from pathlib import Path

import torch
from torch import Tensor

HOST = "https://download.pytorch.org/models/"
# torchvision's first weights (IMAGENET1K_V1); the end of a name is the start of the file's SHA-256.
PUBLISHED = {
    "mobilenetv2": HOST + "mobilenet_v2-b0353104.pth",
    "mobilenetv3_large": HOST + "mobilenet_v3_large-8738ca79.pth",
    "mobilenetv3_small": HOST + "mobilenet_v3_small-047dcff4.pth",
    "resnet18": HOST + "resnet18-f37072fd.pth",
    "resnet34": HOST + "resnet34-b627a593.pth",
    "resnet50": HOST + "resnet50-0676ba61.pth",
    "resnet101": HOST + "resnet101-63fe2227.pth",
    "resnet152": HOST + "resnet152-394f9c45.pth",
    "resnext50_32x4d": HOST + "resnext50_32x4d-7cdf4587.pth",
    "resnext101_32x8d": HOST + "resnext101_32x8d-8ba56ff5.pth",
    "wide_resnet50_2": HOST + "wide_resnet50_2-95faca4d.pth",
    "wide_resnet101_2": HOST + "wide_resnet101_2-32ee1156.pth",
}


def download(name: str) -> dict[str, Tensor]:
    """The published state_dict of a backbone, kept in torch.hub's folder; its hash is checked.

    Raises:
        ValueError: if none are published, or the download or the kept file is damaged; the message
            says how to do without.
    """
    if name not in PUBLISHED:
        raise ValueError(
            f"weights='imagenet': none are published for {name}, but for {', '.join(PUBLISHED)};"
            " give a path or None"
        )
    url = PUBLISHED[name]
    try:
        return dict(torch.hub.load_state_dict_from_url(url, check_hash=True, weights_only=True))
    except (OSError, http.client.HTTPException) as error:
        raise ValueError(
            f"weights='imagenet' could not be downloaded ({error}); get {url} where there is a"
            " network and give its path as weights"
        ) from error
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        kept = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
        reason = str(error).partition("\n")[0]
        remedy = f"delete {kept} and try again" if kept.exists() else "try again"
        raise ValueError(f"weights='imagenet': {url} is damaged ({reason}); {remedy}") from error
