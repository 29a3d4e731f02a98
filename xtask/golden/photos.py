"""The peers' side of `cargo xtask golden --photos`: published weights on photographs, with Pillow and torchvision's transforms.

python photos.py FOLDER PHOTOS     then, one JSON object a line of standard input:
  {"decode": PICTURE}              writes `decoded`, bytes (h, w, 3); answers with height and width
  {"architecture", "weights", "resize", "size", "mean", "std", "interpolation"}
                                   writes `pixels`, bytes (n, size, size, 3) as they are before normalization, and `logits`, (n, 1000)
                                   little-endian float32, of all pictures in the order of the first answer
"""
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "xtask/bench"))

import contestant  # first, since it keeps standard output for answers
import numpy as np
import PIL
import PIL.Image
import PIL.ImageOps
import timm
import torch
import torchvision
from torchvision.transforms import v2

FOLDER, PHOTOS = map(pathlib.Path, sys.argv[1:3])
BATCH = 32
ENDINGS = (".jpg", ".jpeg", ".png")
INTERPOLATION = {"bilinear": v2.InterpolationMode.BILINEAR, "bicubic": v2.InterpolationMode.BICUBIC}


def pictures():
    return sorted(path for path in PHOTOS.rglob("*") if path.suffix.lower() in ENDINGS)


def opened(path):
    return PIL.ImageOps.exif_transpose(PIL.Image.open(path)).convert("RGB")


def timm_name(key, blocks):
    """A name of the `efficientnet_lite_pytorch` package as timm has it; `blocks` are timm's paths of blocks in order."""
    outside = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    found = re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(\w+)", key)
    if not found:
        module, end = key.split(".")
        return f"{outside[module]}.{end}"
    number, module, end = found.groups()
    path, has_expansion = blocks[int(number)]
    if has_expansion:
        inside = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
        inside |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    else:
        inside = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    return f"{path}.{inside[module]}.{end}"


def network(architecture, weights):
    state = torch.load(weights, weights_only=True)
    if architecture == "mobilenetv2_100":
        net = torchvision.models.mobilenet_v2()
    else:
        net = timm.create_model(architecture)
        blocks = [(f"blocks.{s}.{b}", hasattr(block, "conv_pwl")) for s, stage in enumerate(net.blocks) for b, block in enumerate(stage)]
        state = {timm_name(key, blocks): tensor for key, tensor in state.items()}
    net.load_state_dict(state)
    return net.eval()


def classify(paths, asked):
    net = network(asked["architecture"], asked["weights"])
    prepare = v2.Compose([
        v2.Resize(asked["resize"], INTERPOLATION[asked["interpolation"]]),
        v2.CenterCrop(asked["size"]),
        v2.PILToTensor(),
    ])
    floats = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(asked["mean"], asked["std"])])
    with open(FOLDER / "pixels", "wb") as pixels, open(FOLDER / "logits", "wb") as logits, torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            batch = torch.stack([prepare(opened(path)) for path in paths[start : start + BATCH]])
            pixels.write(batch.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
            logits.write(net(floats(batch)).numpy().astype("<f4").tobytes())


def main():
    paths = pictures()
    version = f"PyTorch {torch.__version__.split('+')[0]}, torchvision {torchvision.__version__.split('+')[0]}, Pillow {PIL.__version__}"
    contestant.answer(version=version, pictures=[str(path) for path in paths])
    for line in sys.stdin:
        asked = json.loads(line)
        if "decode" in asked:
            rgb = np.asarray(opened(asked["decode"]))
            (FOLDER / "decoded").write_bytes(rgb.tobytes())
            contestant.answer(height=rgb.shape[0], width=rgb.shape[1])
        else:
            classify(paths, asked)
            contestant.answer(done=True)


if __name__ == "__main__":
    main()
