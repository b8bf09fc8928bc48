"""Shuffled batches of uint8 images [N, 3, 32, 32], cropped, mirrored and normalised by torchvision.transforms.v2, one batch per step, whose sum is read.

On one core, without workers or a DataLoader: rows are taken by their numbers. Crop and mirror image are drawn for each image, as training needs, on uint8; conversion
and normalisation are done for the whole batch at once, which is several times faster than image by image.
"""

import os

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import torch
import torchvision
from torchvision.transforms import v2

from common import options, serve

given = options()
rows, batch = given["rows"], given["batch"]
position = torch.arange(rows * 3 * 32 * 32, dtype=torch.float64)
images = torch.remainder(position * 2654435761.0, 4294967296.0).div(16777216).to(torch.uint8).reshape(rows, 3, 32, 32)
each = []
if given["padding"]:
    each.append(v2.RandomCrop(32, padding=given["padding"]))
if given["flip"]:
    each.append(v2.RandomHorizontalFlip(given["flip"]))
each = v2.Compose(each) if each else None
whole = v2.Compose(
    [
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616], inplace=True),
    ]
)


def batches():
    while True:
        order = torch.randperm(rows) if given["shuffle"] else torch.arange(rows)
        for picked in order[: rows - rows % batch].split(batch):
            if each is None:
                yield whole(images[picked])
            else:
                yield whole(torch.stack([each(images[row]) for row in picked.tolist()]))


source = batches()


def step():
    return next(source).sum().item()


if __name__ == "__main__":
    with torch.no_grad():
        serve(step, f"torchvision {torchvision.__version__}, transforms v2, one core")
