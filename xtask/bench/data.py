"""A peer of reading pictures: torchvision's ImageFolder through PyTorch's DataLoader, one epoch of training batches.

python data.py FOLDER BATCH SIZE WORKERS AUGMENTED     FOLDER/<class>/*; plain or all, as in xtask/src/bench/data.rs
"""
import sys

import contestant

folder, batch, size, workers, augmented = sys.argv[1:6]

import torch
import torchvision
from torchvision.transforms import v2 as T

normalize = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
changes = {
    "plain": [],
    "all": [
        T.RandAugment(2, 9),
        T.ColorJitter(0.4, 0.4, 0.4, 0.1),
        T.RandomAffine(15, (0.1, 0.1), (0.8, 1.2), (-10, 10, -10, 10), interpolation=T.InterpolationMode.BILINEAR),
        T.RandomPerspective(0.5, 0.5),
        T.RandomApply([T.GaussianBlur(23)], 0.5),
        T.RandomGrayscale(0.2),
        T.RandomAdjustSharpness(2.0, 0.2),
        T.RandomPosterize(4, 0.2),
        T.RandomSolarize(128, 0.2),
        T.RandomEqualize(0.2),
        T.RandomAutocontrast(0.2),
        T.RandomInvert(0.2),
        T.RandomVerticalFlip(0.2),
    ],
}[augmented]
tensors = [T.PILToTensor(), T.ToDtype(torch.float32, scale=True), normalize]
erasing = [T.RandomErasing(0.25)] if changes else []
augment = T.Compose([T.RandomResizedCrop(int(size)), T.RandomHorizontalFlip(), *changes, *tensors, *erasing])
pictures = torchvision.datasets.ImageFolder(folder, augment)
workers = int(workers)
# Workers stay, so that an epoch does not pay for starting them.
loader = torch.utils.data.DataLoader(
    pictures, int(batch), shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def epoch():
    images = sum(len(targets) for _xs, targets in loader)
    if images != len(pictures):
        raise RuntimeError(f"{images} of {len(pictures)} pictures came")


contestant.serve(epoch, version=torchvision.__version__, images=len(pictures))
