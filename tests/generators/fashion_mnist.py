"""Trains LeNet-5 on Fashion-MNIST, step for step the recipe of docs/programs/fashion_mnist.rs.

This is the peer of docs/fashion-mnist.md; FOLDER holds train-images-idx3-ubyte.gz and the other three files of Fashion-MNIST. Prints
the loss, the top-1 on the test pictures and the seconds of training of every epoch; it writes no fixture.
The pictures stay in memory as tensors, and a batch is picked by index: no DataLoader is in the way.

  python tests/generators/fashion_mnist.py FOLDER --seed 0
"""

import argparse
import gzip
import math
import pathlib
import time

import torch
from torch import nn
from torch.nn import functional as F

EPOCHS, BATCH, LR, WEIGHT_DECAY = 3, 64, 4e-3, 0.01
MEAN, STD = 0.2860, 0.3530


def idx(path):
    """An array of an IDX file of bytes."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    axes = content[3]
    shape = [int.from_bytes(content[4 * i : 4 * i + 4], "big") for i in range(1, axes + 1)]
    return torch.frombuffer(content, dtype=torch.uint8, offset=4 + 4 * axes).reshape(shape)


def part(folder, name):
    images, labels = (idx(folder / f"{name}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    return (images.unsqueeze(1).float() / 255 - MEAN) / STD, labels.long()


def lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )


def top1(net, images, labels):
    with torch.no_grad():
        pairs = zip(images.split(1000), labels.split(1000))
        return sum((net(xs).argmax(1) == ys).sum().item() for xs, ys in pairs) / len(labels)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    images, labels = part(args.folder, "train")
    test = part(args.folder, "t10k")
    net = lenet5()
    optimizer = torch.optim.AdamW(net.parameters(), LR, weight_decay=WEIGHT_DECAY)
    steps = math.ceil(len(labels) / BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * steps)
    for epoch in range(EPOCHS):
        total, start = 0.0, time.perf_counter()
        for places in torch.randperm(len(labels)).split(BATCH):
            loss = F.cross_entropy(net(images[places]), labels[places])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1}: loss {total / steps:.4f}, test top-1 {top1(net, *test):.4f}, {seconds:.2f} s")


if __name__ == "__main__":
    main()
