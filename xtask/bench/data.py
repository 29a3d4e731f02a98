"""A peer of reading pictures: torchvision's ImageFolder through PyTorch's DataLoader, one epoch of training batches.

python data.py FOLDER BATCH SIZE WORKERS     FOLDER/<class>/*
"""
import sys

import contestant

folder, batch, size, workers = sys.argv[1:5]

import torch
import torchvision
from torchvision import transforms as T

normalize = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
augment = T.Compose([T.RandomResizedCrop(int(size)), T.RandomHorizontalFlip(), T.ToTensor(), normalize])
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
