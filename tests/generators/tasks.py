"""Trains MobileNetV2 for targets that are not one class a picture, step for step the recipe of `taper finetune`; draws the pictures, too.

This is the peer of `cargo xtask bench tasks`. `draw` writes pictures and TABLE, which both programs read; `train` ends with one JSON object.
The sets, drawn by a seed, with a column `split`:
  labels         which of five shapes are there, any number: BCE; judged by f1 (macro, a label is told where its logit is above 0)
  numbers        how large the one disk among squares is, in pixels: MSE of standardized numbers; judged by r2
  probabilities  a disk over a square at some opacity, which are the two probabilities: cross-entropy; judged by top1
  classes        200 pictures of the usual class (square, disk) and 10 of the rare one (cross, ring): cross-entropy with
                 weights n / (k n_c); judged by balanced_accuracy
  fashion        (`draw` alone) an image folder of the first 10,000 pictures of Fashion-MNIST, and its test part, from its IDX files
All else is as in finetune.py: pretrained MobileNetV2, a new last layer, SGD with momentum, warm-up and cosine.

  python tests/generators/tasks.py draw labels FOLDER/labels.csv --seed 0
  python tests/generators/tasks.py draw fashion FOLDER --idx DIR
  python tests/generators/tasks.py train labels FOLDER/labels.csv --weights mobilenet_v2-b0353104.pth --seed 0
"""

import csv
import json
import math
import pathlib
import random
import time

import torch
from PIL import Image, ImageDraw
from torch.nn import functional as F
from torchvision import transforms as T

import fashion_mnist
import finetune

SIDE = 96
COLUMNS = {"labels": ["tags"], "numbers": ["size"], "probabilities": ["disk", "square"], "classes": ["label"]}
SHAPES = ["cross", "disk", "ring", "square", "triangle"]


def arguments():
    parser = finetune.parser()
    parser.add_argument("action", choices=["draw", "train"])
    parser.add_argument("task", choices=[*COLUMNS, "fashion"])
    parser.add_argument("--idx", type=pathlib.Path, help="folder of Fashion-MNIST's four files")
    parser.add_argument("--weights", default="none", help="a .pth, or none")
    parser.add_argument("data", type=pathlib.Path, help="the table, or the folder of fashion")
    return finetune.filled(parser.parse_args())


def color(rng):
    return tuple(rng.randrange(60, 256) for _ in range(3))


def canvas(rng):
    """Grey noise of coarse cells, and what draws on it."""
    cells = [rng.randrange(30, 110) for _ in range(12 * 12)]
    small = Image.frombytes("L", (12, 12), bytes(cells))
    picture = small.resize((SIDE, SIDE), Image.BILINEAR).convert("RGB")
    return picture, ImageDraw.Draw(picture)


def shape(draw, name, box, fill):
    left, top, right, bottom = box
    x, y, third = (left + right) / 2, (top + bottom) / 2, (right - left) / 3
    if name == "disk":
        draw.ellipse(box, fill=fill)
    elif name == "ring":
        draw.ellipse(box, outline=fill, width=4)
    elif name == "square":
        draw.rectangle(box, fill=fill)
    elif name == "triangle":
        draw.polygon([(x, top), (right, bottom), (left, bottom)], fill=fill)
    else:
        draw.rectangle((left, y - third / 2, right, y + third / 2), fill=fill)
        draw.rectangle((x - third / 2, top, x + third / 2, bottom), fill=fill)


def somewhere(rng, least, most):
    side = rng.uniform(least, most)
    left, top = rng.uniform(2, SIDE - 2 - side), rng.uniform(2, SIDE - 2 - side)
    return (left, top, left + side, top + side)


def drawn(task, rng, is_rare):
    """A picture, and what its columns say."""
    picture, draw = canvas(rng)
    if task == "labels":
        held = [name for name in SHAPES if rng.random() < 0.4]
        for name in rng.sample(held, len(held)):
            shape(draw, name, somewhere(rng, 18, 34), color(rng))
        return picture, [";".join(held)]
    if task == "numbers":
        for _ in range(3):
            shape(draw, "square", somewhere(rng, 8, 20), color(rng))
        box = somewhere(rng, 12, 72)
        shape(draw, "disk", box, color(rng))
        return picture, [f"{box[2] - box[0]:.3f}"]
    if task == "probabilities":
        over = picture.copy()
        box, fill = somewhere(rng, 30, 60), color(rng)
        shape(draw, "square", box, fill)
        shape(ImageDraw.Draw(over), "disk", somewhere(rng, 30, 60), color(rng))
        opacity = rng.choice([0.0, 0.1, 0.2, 0.3, 0.7, 0.8, 0.9, 1.0])
        return Image.blend(picture, over, opacity), [f"{opacity:.1f}", f"{1 - opacity:.1f}"]
    for name in ["cross", "ring"] if is_rare else ["square", "disk"]:
        shape(draw, name, somewhere(rng, 24, 48), color(rng))
    return picture, ["rare" if is_rare else "usual"]


def draw_set(args):
    """600 pictures to train on and 400 that judge; of classes 210, of which 10 are rare, and 400, half and half."""
    rng = random.Random(args.seed)
    folder = args.data.parent
    train = 210 if args.task == "classes" else 600
    rows = []
    for i in range(train + 400):
        is_rare = i < 10 if i < train else i % 2 == 0
        picture, cells = drawn(args.task, rng, is_rare)
        name = f"{args.task}-{i:04}.png"
        picture.save(folder / name)
        rows.append([name, "train" if i < train else "val", *cells])
    with open(args.data, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["file_name", "split", *COLUMNS[args.task]], *rows])


def draw_fashion(args):
    for part, kind, count in [("train", "train", 10_000), ("val", "t10k", 10_000)]:
        images, labels = (fashion_mnist.idx(args.idx / f"{kind}-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
        for i in range(count):
            folder = args.data / part / str(int(labels[i]))
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[i].numpy()).convert("RGB").save(folder / f"{i:05}.png")


def target(task, row):
    if task == "labels":
        held = row["tags"].split(";")
        return [float(name in held) for name in SHAPES]
    if task == "classes":
        return ["rare", "usual"].index(row["label"])
    return [float(row[column]) for column in COLUMNS[task]]


def read(args):
    """Training and validation samples with their transforms, as finetune.py has them."""
    size = args.image_size
    finish = [T.ToTensor(), T.Normalize(finetune.MEAN, finetune.STD)]
    see = T.Compose([T.Resize(int(size / finetune.CROP_PCT)), T.CenterCrop(size), *finish])
    flip = T.Compose([T.RandomResizedCrop(size, scale=(args.min_crop, 1.0)), T.RandomHorizontalFlip(), *finish])
    parts = {"train": [], "val": []}
    with open(args.data, newline="") as file:
        for row in csv.DictReader(file):
            picture = Image.open(args.data.parent / row["file_name"]).convert("RGB")
            parts[row["split"]].append((picture, target(args.task, row)))
    return parts["train"], flip if args.augment == "crop" else see, parts["val"], see


def loss_of(task, train):
    """A loss of logits and targets."""
    if task == "labels":
        return F.binary_cross_entropy_with_logits
    if task == "numbers":
        every = torch.tensor([it for _, it in train])
        mean, deviation = every.mean(), every.std(correction=0)
        return lambda said, wanted: F.mse_loss(said, (wanted - mean) / deviation)
    if task == "probabilities":
        return F.cross_entropy
    counts = torch.bincount(torch.tensor([it for _, it in train]))
    weight = counts.sum() / (len(counts) * counts)
    return lambda said, wanted: F.cross_entropy(said, wanted, weight=weight)


def score(task, said, wanted, train):
    """The metric's name and value."""
    if task == "labels":
        told, holds = said > 0, wanted > 0
        right, all_told = (told & holds).sum(0), told.sum(0) + holds.sum(0)
        return "f1", (2 * right / all_told.clamp(min=1)).mean().item()
    if task == "numbers":
        every = torch.tensor([it for _, it in train])
        said = said * every.std(correction=0) + every.mean()
        return "r2", (1 - (said - wanted).square().sum() / (wanted - wanted.mean()).square().sum()).item()
    if task == "probabilities":
        return "top1", (said.argmax(1) == wanted.argmax(1)).float().mean().item()
    right = said.argmax(1) == wanted
    return "balanced_accuracy", sum(right[wanted == c].float().mean().item() for c in range(2)) / 2


def judged(args, model, train, val, transform):
    model.eval()
    with torch.inference_mode():
        chunks = finetune.batches(val, transform, args.batch_size, range(len(val)))
        said, wanted = (torch.cat(it) for it in zip(*[(model(xs), targets) for xs, targets in chunks]))
    return score(args.task, said, wanted, train)


def train_set(args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    start = time.time()
    train, train_transform, val, val_transform = read(args)
    outputs = {"labels": len(SHAPES), "numbers": 1, "probabilities": 2, "classes": 2}[args.task]
    model, frozen = finetune.build(args, outputs)
    optimizer, loss = finetune.build_optimizer(args, model), loss_of(args.task, train)
    per_epoch, best = math.ceil(len(train) / args.batch_size), -math.inf
    for epoch in range(args.epochs):
        model.train()
        for module in frozen:
            module.eval().requires_grad_(False)
        order = torch.randperm(len(train)).tolist()
        for i, (xs, targets) in enumerate(finetune.batches(train, train_transform, args.batch_size, order)):
            for group in optimizer.param_groups:
                group["lr"] = finetune.lr_at(args, epoch * per_epoch + i, args.epochs * per_epoch) * group["scale"]
            optimizer.zero_grad()
            loss(model(xs), targets).backward()
            finetune.step(args, optimizer)
        name, value = judged(args, model, train, val, val_transform)
        best = max(best, value)
    seconds = round(time.time() - start, 2)
    print(json.dumps({"best_val_scores": {name: best}, "epochs": args.epochs, "seconds": seconds}))


def main():
    args = arguments()
    if args.action == "train":
        train_set(args)
    elif args.task == "fashion":
        draw_fashion(args)
    else:
        draw_set(args)


if __name__ == "__main__":
    main()
