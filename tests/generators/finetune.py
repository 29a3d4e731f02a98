"""Fine-tunes torchvision's MobileNetV2 on an image folder, step for step the recipe of `taper finetune`.

This is the peer that defaults and methods are measured against (`cargo xtask bench transfer`); DATA holds train/<class>/* and val/<class>/*.
The last line of standard output is one JSON object: val_top1 and val_loss after the last epoch, best_val_top1, epochs, seconds.
What is the same as in `taper finetune`, and where PyTorch users might do otherwise:
  head          Linear(1280, classes), N(0, 0.01) weights, zero bias; dropout 0.2 before it
  --freeze      backbone: only the head is trained, and norms keep their statistics (eval mode), as torchvision's tutorial does not
                none: everything is trained; STAGE (timm's name, blocks.3): everything up to and including it is frozen likewise
  --train       these stages (stem, blocks.N, head) and the classifier are trained, all else is frozen likewise
  --unfreeze-every  E: the classifier is trained at first, and after every E epochs one part more: head, blocks.6, ..., stem
  --norms       freeze, the default with weights: scales, shifts and statistics stay; recalibrate: the same, with exact averages over the training pictures as evaluation sees them
  --clip-norm   of all gradients; 1 where layers are trained and norms are not, else no limit
  --layer-decay factor on the rate of a block against the one behind it (timm's param_groups_layer_decay)
  --augment     crop: RandomResizedCrop(scale=(min_crop, 1)) and a horizontal flip; none: what evaluation sees
  --head-init   pretrained: rows mixed of the old classifier's, each with the share that its probabilities have on average over the
                class's pictures, less the average of all classes, times 0.3 (taper_transfer::mixed_head)
  --head-epochs passes over features computed once that train the head alone first (AdamW, 1e-3, cosine), unless the backbone is frozen
  --ema         a moving average of the weights is evaluated (taper_train::WeightAverage::ema, after timm's ModelEmaV3 with warm-up, or without by --no-ema-warmup)
  evaluation    Resize(floor(size / 0.875)) on the short side, CenterCrop(size), bilinear
  decay         on weights of convolutions and the head only, not on norms and biases
  schedule      in steps: linear warm-up (step + 1) / warmup, then cosine to zero; or constant after the warm-up
  --weights     none: random ones, torchvision's own, in a network `--width` times as wide, all of which is trained
  --mixup       torchvision's MixUp and CutMix, either every other batch where both are given
  --teacher     a model file of `taper finetune`, a MobileNetV2 `--teacher-width` times as wide:
                (1 - w) cross-entropy + w T^2 KL(teacher || student) on the same pictures (Hinton et al. 2015),
                its logits at the temperature that the file says it was calibrated with
  last batch    kept, as DataLoader does (drop_last=False), unless it holds a single image, of which no norm that is trained can take a variance

  python tests/generators/finetune.py DATA --weights mobilenet_v2-b0353104.pth --seed 0
"""

import argparse
import copy
import json
import math
import time

import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from torchvision import transforms as T
from torchvision.transforms import v2 as T2

import mobilenet_v2_net as net

MEAN, STD, CROP_PCT = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 0.875


def parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--mixup", type=float, default=0.0)
    parser.add_argument("--cutmix", type=float, default=0.0)
    parser.add_argument("--teacher", default=None)
    parser.add_argument("--teacher-width", type=float, default=1.0)
    parser.add_argument("--distill-temperature", type=float, default=4.0)
    parser.add_argument("--distill-weight", type=float, default=0.9)
    parser.add_argument("--freeze", default="none")
    parser.add_argument("--train", default=None, help="stages, between commas")
    parser.add_argument("--unfreeze-every", type=int, default=None)
    parser.add_argument("--norms", choices=["train", "freeze", "recalibrate"])
    parser.add_argument("--layer-decay", type=float, default=None)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--optimizer", choices=["sgd", "adamw"], default="sgd")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--head-epochs", type=int, default=20)
    parser.add_argument("--head-init", choices=["random", "pretrained"])
    parser.add_argument("--head-lr-scale", type=float, default=1.0)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--nesterov", action="store_true")
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--clip-norm", type=float, help="0 for no limit")
    parser.add_argument("--schedule", choices=["cosine", "constant"], default="cosine")
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--ema", type=float, default=None)
    parser.add_argument("--no-ema-warmup", action="store_true")
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--augment", choices=["crop", "none"], default="crop")
    parser.add_argument("--min-crop", type=float, default=0.25)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--validate", choices=["each", "last"], default="each", help="after which epochs")
    parser.add_argument("--limit", type=int, default=None, help="use only every LIMIT-th image: a quick check of the script")
    return parser


def arguments():
    flags = parser()
    flags.add_argument("data")
    flags.add_argument("--weights", required=True, help="a .pth, or none")
    return filled(flags.parse_args())


def filled(args):
    """The same arguments with the norms and the head that go with the weights, and the limit that goes with the norms."""
    args.head_init = args.head_init or ("random" if args.weights == "none" else "pretrained")
    args.norms = args.norms or ("train" if args.weights == "none" else "freeze")
    if args.clip_norm is None:
        args.clip_norm = 0.0 if args.norms == "train" or args.freeze == "backbone" else 1.0
    return args


def datasets(args):
    """Training and validation sets, decoded once: the files are small."""
    size = args.image_size
    finish = [T.ToTensor(), T.Normalize(MEAN, STD)]
    evaluate = [T.Resize(int(size / CROP_PCT)), T.CenterCrop(size)]
    augment = [T.RandomResizedCrop(size, scale=(args.min_crop, 1.0)), T.RandomHorizontalFlip()]
    train = T.Compose((augment if args.augment == "crop" else evaluate) + finish)
    out = []
    for part, transform in [("train", train), ("val", T.Compose(evaluate + finish))]:
        folder = torchvision.datasets.ImageFolder(f"{args.data}/{part}")
        samples = [folder[i] for i in range(0, len(folder), args.limit or 1)]
        out.append((samples, transform))
    return len(folder.classes), *out


def batches(samples, transform, batch_size, order):
    for start in range(0, len(order), batch_size):
        chosen = [samples[i] for i in order[start : start + batch_size]]
        xs = torch.stack([transform(image) for image, _ in chosen])
        if xs.ndim == 4:
            xs = xs.contiguous(memory_format=torch.channels_last)
        yield xs, torch.tensor([label for _, label in chosen])


def part_of(name):
    """The part of the network that a module of timm's name belongs to, as `--train` and `--unfreeze-every` count them."""
    first, *rest = name.split(".")
    parts = {"conv_stem": "stem", "bn1": "stem", "conv_head": "head", "bn2": "head", "classifier": "classifier"}
    return f"blocks.{rest[0]}" if first == "blocks" else parts[first]


def modules(model):
    """Modules with their parts, as they run."""
    return [(model.get_submodule(old), part_of(new)) for old, new in net.timm_modules(net.FULL)]


def frozen_modules(model, args):
    """Modules that are frozen throughout, norms included."""
    inner = [(module, part) for module, part in modules(model) if part != "classifier"]
    norms = [module for module, _ in inner if isinstance(module, nn.BatchNorm2d) and args.norms != "train"]
    if args.train:
        return norms + [module for module, part in inner if part not in args.train.split(",")]
    if args.freeze == "none":
        return norms
    if args.freeze == "backbone":
        return [module for module, _ in inner]
    last = max(i for i, (_, part) in enumerate(inner) if part == args.freeze)
    return norms + [module for module, _ in inner[: last + 1]]


def waiting_modules(model, args, epoch):
    """Modules whose turn to be trained has not come in this epoch."""
    if not args.unfreeze_every:
        return []
    parts = list(dict.fromkeys(part for _, part in reversed(modules(model))))
    turn = {part: i * args.unfreeze_every for i, part in enumerate(parts)}
    return [module for module, part in modules(model) if turn[part] > epoch]


def layer_scales(model, decay):
    """Factors on the rate by parameter: stem, each block, classifier; what lies behind the last block belongs to it."""
    scales, blocks = {}, []
    for old, new in net.timm_modules(net.FULL):
        if new.startswith("blocks.") and new.rsplit(".", 1)[0] not in blocks:
            blocks.append(new.rsplit(".", 1)[0])
        layer = len(blocks) + (new == "classifier")
        scales |= {id(p): layer for p in model.get_submodule(old).parameters()}
    return {key: decay ** (len(blocks) + 1 - layer) for key, layer in scales.items()}


def recalibrate(model, samples, transform, batch_size):
    """Gives norms exact averages of the statistics of batches."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    with torch.no_grad():
        for xs, _ in batches(samples, transform, batch_size, torch.randperm(len(samples)).tolist()):
            if len(xs) > 1:
                model(xs)


def build(args, classes):
    model = torchvision.models.mobilenet_v2(dropout=args.dropout, width_mult=args.width)
    if args.weights != "none":
        model.load_state_dict(torch.load(args.weights, weights_only=True))
    model.old_classifier = [param.detach() for param in model.classifier[1].parameters()]
    model.classifier[1] = nn.Linear(1280, classes)
    nn.init.normal_(model.classifier[1].weight, 0, 0.01)
    nn.init.zeros_(model.classifier[1].bias)
    frozen = frozen_modules(model, args)
    for module in frozen:
        module.requires_grad_(False)
    return model.to(memory_format=torch.channels_last), frozen


def build_optimizer(args, model):
    layers = layer_scales(model, args.layer_decay or 1.0)
    groups = []
    for scale, part in [(1.0, model.features), (args.head_lr_scale, model.classifier)]:
        for p in part.parameters():
            if p.requires_grad:
                decay = args.weight_decay if p.ndim > 1 else 0.0
                groups.append({"params": [p], "weight_decay": decay, "scale": scale * layers[id(p)]})
    if args.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=args.lr)
    return torch.optim.SGD(groups, lr=args.lr, momentum=args.momentum, nesterov=args.nesterov)


def lr_at(args, step, steps):
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    if args.schedule == "constant":
        return args.lr
    done = (step - args.warmup) / max(1, steps - args.warmup)
    return args.lr * 0.5 * (1 + math.cos(math.pi * done))


def evaluate(model, samples, transform, batch_size):
    model.eval()
    right, loss = 0, 0.0
    with torch.inference_mode():
        for xs, targets in batches(samples, transform, batch_size, range(len(samples))):
            logits = model(xs)
            right += (logits.argmax(1) == targets).sum().item()
            loss += F.cross_entropy(logits, targets, reduction="sum").item()
    return right / len(samples), loss / len(samples)


def cached_features(model, samples, transform, batch_size):
    """The samples with the head's inputs for pictures: with a frozen backbone and no augmentation they never change."""
    model.eval()
    with torch.inference_mode():
        chunks = batches(samples, transform, batch_size, range(len(samples)))
        features = torch.cat([model.features(xs).mean((2, 3)) for xs, _ in chunks])
    return [(features[i].clone(), label) for i, (_, label) in enumerate(samples)]


def mix_head(model, samples):
    """Begins the head with the old classifier, by what that takes the pictures for whose features are `samples`."""
    (weight, bias), (old_weight, old_bias) = model.classifier[1].parameters(), model.old_classifier
    features, labels = torch.stack([features for features, _ in samples]), torch.tensor([label for _, label in samples])
    says = F.softmax(F.linear(features, old_weight, old_bias), 1)
    shares = torch.stack([says[labels == label].mean(0) for label in range(len(bias))])
    shares = 0.3 * (shares - shares.mean(0))
    with torch.no_grad():
        weight.copy_(shares @ old_weight)
        bias.copy_(shares @ old_bias)


def warm_head(args, model, samples):
    """Trains the head alone, on the features of the pictures as evaluation sees them."""
    weight, bias = model.classifier[1].parameters()
    optimizer = torch.optim.AdamW(
        [{"params": [weight], "weight_decay": args.weight_decay}, {"params": [bias], "weight_decay": 0.0}])
    steps = args.head_epochs * math.ceil(len(samples) / args.batch_size)
    model.classifier.train()
    for step, (xs, targets) in enumerate(
        batch for _ in range(args.head_epochs)
        for batch in batches(samples, lambda features: features, args.batch_size, torch.randperm(len(samples)).tolist())):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.zero_grad()
        F.cross_entropy(model.classifier(xs), targets, label_smoothing=args.label_smoothing).backward()
        optimizer.step()


def load_teacher(args, classes):
    if args.teacher is None:
        return None
    model = torchvision.models.mobilenet_v2(width_mult=args.teacher_width, num_classes=classes)
    saved = load_file(args.teacher)
    for old, new in net.timm_modules(net.FULL):
        module = model.get_submodule(old)
        counters = {name: it for name, it in module.state_dict().items() if name == "num_batches_tracked"}
        names = [name for name in module.state_dict() if name not in counters]
        module.load_state_dict(counters | {name: saved[f"{new}.{name}"] for name in names})
    with safe_open(args.teacher, "pt") as file:
        confidence = json.loads(file.metadata().get("taper.confidence", "{}"))
    with torch.no_grad():
        for values in model.classifier[1].parameters():  # as sure as it is right
            values /= confidence.get("temperature", 1.0)
    return model.eval().to(memory_format=torch.channels_last)


def mixed(args, classes, xs, targets):
    """The batch with its pictures mixed, and its targets."""
    ways = [(args.mixup, T2.MixUp), (args.cutmix, T2.CutMix)]
    ways = [way(alpha=alpha, num_classes=classes) for alpha, way in ways if alpha > 0]
    if not ways:
        return xs, targets
    return ways[torch.randint(len(ways), ()).item()](xs, targets)


def loss_of(args, teacher, xs, logits, targets):
    loss = F.cross_entropy(logits, targets, label_smoothing=args.label_smoothing)
    if teacher is None:
        return loss
    with torch.no_grad():
        says = F.log_softmax(teacher(xs) / args.distill_temperature, 1)
    said = F.log_softmax(logits / args.distill_temperature, 1)
    distance = F.kl_div(said, says, log_target=True, reduction="batchmean") * args.distill_temperature**2
    return (1 - args.distill_weight) * loss + args.distill_weight * distance


def step(args, optimizer):
    """A step with clipped gradients."""
    if args.clip_norm:
        torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], args.clip_norm)
    optimizer.step()


class Average:
    """A moving average of a model's parameters and buffers."""

    def __init__(self, model, decay, warms_up):
        self.model, self.decay, self.warms_up, self.steps = copy.deepcopy(model), decay, warms_up, 0

    def update(self, model):
        kept = min(self.decay, 1 - (1 + self.steps) ** (-2 / 3)) if self.warms_up else self.decay
        self.steps += 1
        with torch.no_grad():
            for mean, now in zip(self.model.state_dict().values(), model.state_dict().values()):
                mean.lerp_(now, 1 - kept) if mean.is_floating_point() else mean.copy_(now)


def train_epoch(args, epoch, model, frozen, optimizer, chosen, per_epoch, teacher, classes, average):
    """One pass over the batches in `chosen`, `per_epoch` of them; returns the mean loss of an image."""
    model.train()
    model.requires_grad_(True)
    for module in frozen + waiting_modules(model, args, epoch):
        module.eval().requires_grad_(False)
    total, images = 0.0, 0
    for i, (xs, targets) in enumerate(chosen):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(args, epoch * per_epoch + i, args.epochs * per_epoch) * group["scale"]
        optimizer.zero_grad()
        if xs.ndim == 4:
            xs, targets = mixed(args, classes, xs, targets)
        logits = model.classifier(xs) if xs.ndim == 2 else model(xs)
        loss = loss_of(args, teacher, xs, logits, targets)
        loss.backward()
        step(args, optimizer)
        if average:
            average.update(model)
        total += loss.item() * len(targets)
        images += len(targets)
    return total / images


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    start = time.time()
    classes, (train, train_transform), (val, val_transform) = datasets(args)
    model, frozen = build(args, classes)
    optimizer = build_optimizer(args, model)
    if args.norms == "recalibrate":
        recalibrate(model, train, val_transform, args.batch_size)
    warms_head = args.freeze != "backbone" and args.head_epochs
    if warms_head or args.head_init == "pretrained":
        samples = cached_features(model, train, val_transform, args.batch_size)
        if args.head_init == "pretrained":
            mix_head(model, samples)
        if warms_head:
            warm_head(args, model, samples)
    if args.freeze == "backbone" and args.augment == "none":
        train = cached_features(model, train, train_transform, args.batch_size)
        train_transform = lambda features: features
    per_epoch = math.ceil(len(train) / args.batch_size) - (len(train) % args.batch_size == 1 and args.norms == "train")
    best, teacher = 0.0, load_teacher(args, classes)
    average = None if args.ema is None else Average(model, args.ema, not args.no_ema_warmup)
    for epoch in range(args.epochs):
        order = torch.randperm(len(train)).tolist()[: per_epoch * args.batch_size]
        chosen = batches(train, train_transform, args.batch_size, order)
        loss = train_epoch(args, epoch, model, frozen, optimizer, chosen, per_epoch, teacher, classes, average)
        if args.validate == "last" and epoch + 1 < args.epochs:
            continue
        top1, val_loss = evaluate(average.model if average else model, val, val_transform, args.batch_size)
        best = max(best, top1)
        print(f"epoch {epoch} loss {loss:.4f} val_top1 {top1:.4f} val_loss {val_loss:.4f} "
              f"seconds {time.time() - start:.1f}", flush=True)
    report = {"val_top1": top1, "best_val_top1": best, "val_loss": val_loss, "epochs": args.epochs}
    print(json.dumps(report | {"seconds": round(time.time() - start, 2), "seed": args.seed}))


if __name__ == "__main__":
    main()
