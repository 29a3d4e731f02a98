"""What torchvision's v2 transforms make of PIL images, with fixed parameters, and the tables of magnitudes of its policies.

Writes tests/fixtures/augment.safetensors
  source_<h>x<w>            (h, w, 3) U8    pictures: noise over a smooth ground; a small one has a flat channel
  op/<h>x<w>/<case>         (h, w, 3) U8    the source after a transform; <case> is its name and parameters, `name:parameter,…`
  pad/<h>x<w>/<case>        (H, W, 3) U8    the same for `pad`
  crops/ten                 (10, 16, 20, 3) U8   ten_crop of source_23x31
  hsv/{rgb, turned}         (n, 3) U8       colors of all kinds, and what adjust_hue makes of them with a turn of 0.17
  table/<space>/<choice>    (31 or 10) F64  magnitudes of a policy for a picture of 41x57; <space> is auto (31), auto10, wide, augmix

  python tests/generators/augment.py
"""

import numpy as np
import PIL
import torch
from PIL import Image
from torchvision.transforms import v2 as T
from torchvision.transforms.v2 import functional as F

import fixture
from transforms import bytes_of, picture

SEED = 23
NEAREST, BILINEAR = T.InterpolationMode.NEAREST, T.InterpolationMode.BILINEAR
MODES = {"nearest": NEAREST, "bilinear": BILINEAR}
SIZES = [(23, 31), (16, 16), (5, 3), (2, 9)]
AFFINES = [  # degrees, translation x, y, scale, shear x, y
    (0, 5, -3, 1, 0, 0),
    (0, 0, 0, 1.3, 0, 0),
    (30, 0, 0, 1, 0, 0),
    (-77.5, 2, 1, 0.6, 10, -5),
    (180, 0, 0, 1, 0, 0),
    (12, -4, 3, 1.7, -20, 25),
]
ANGLES = [0, 15, -30, 45.5, 90, 180, 270, 359.9]
FACTORS = [0, 0.25, 0.7, 1, 1.3, 2.5]


def cases(height: int, width: int):
    """Name and function of each transform that keeps the size."""
    for name, mode in MODES.items():
        for degrees, x, y, scale, shear_x, shear_y in AFFINES:
            for fill in (None, [10, 200, 30]):
                if fill is not None and degrees != 30:
                    continue
                key = f"affine:{degrees},{x},{y},{scale},{shear_x},{shear_y},{name},{'fill' if fill else 'black'}"
                yield key, lambda im, a=(degrees, [x, y], scale, [shear_x, shear_y]), m=mode, f=fill: F.affine(im, *a, interpolation=m, fill=f)
        for slope in (0.3, -0.99):
            degrees = float(np.degrees(np.arctan(slope)))
            for axis, shear in (("x", [degrees, 0.0]), ("y", [0.0, degrees])):
                yield f"shear:{axis},{slope},{name}", lambda im, s=shear, m=mode: F.affine(im, 0.0, [0, 0], 1.0, s, interpolation=m, center=[0, 0])
        for degrees in ANGLES:
            yield f"rotate:{degrees},{name}", lambda im, d=degrees, m=mode: F.rotate(im, d, interpolation=m)
        if min(height, width) > 4:
            right, bottom = width - 1, height - 1
            start = [[0, 0], [right, 0], [right, bottom], [0, bottom]]
            for corners in ((3, 2, 5, 1, 4, 6, 2, 3), (0, 4, 1, 0, 7, 2, 5, 5)):
                a, b, c, d, e, f, g, h = corners
                end = [[a, b], [right - c, d], [right - e, bottom - f], [g, bottom - h]]
                key = "perspective:" + ",".join(map(str, corners)) + f",{name}"
                yield key, lambda im, s=start, t=end, m=mode: F.perspective(im, s, t, interpolation=m)
    for factor in FACTORS:
        yield f"brightness:{factor}", lambda im, f=factor: F.adjust_brightness(im, f)
        yield f"contrast:{factor}", lambda im, f=factor: F.adjust_contrast(im, f)
        yield f"saturation:{factor}", lambda im, f=factor: F.adjust_saturation(im, f)
        yield f"sharpness:{factor}", lambda im, f=factor: F.adjust_sharpness(im, f)
    for turn in (-0.5, -0.13, 0, 0.05, 0.5):
        yield f"hue:{turn}", lambda im, h=turn: F.adjust_hue(im, h)
    yield "grayscale:", lambda im: F.to_grayscale(im, num_output_channels=3)
    for kernel_h, kernel_w, sigma_h, sigma_w in ((3, 3, 0.8, 0.8), (5, 9, 1.5, 3.0), (23, 23, 2.0, 2.0), (1, 3, 1.0, 0.1)):
        if kernel_h // 2 < height and kernel_w // 2 < width:
            key = f"blur:{kernel_h},{kernel_w},{sigma_h},{sigma_w}"
            yield key, lambda im, k=[kernel_w, kernel_h], s=[sigma_w, sigma_h]: F.gaussian_blur(im, k, s)
    for bits in (1, 3, 4, 8):
        yield f"posterize:{bits}", lambda im, b=bits: F.posterize(im, b)
    for threshold in (0.0, 25.5, 127.5, 128.0, 255.0, 256.0):
        yield f"solarize:{threshold}", lambda im, t=threshold: F.solarize(im, t)
    yield "invert:", F.invert
    yield "equalize:", F.equalize
    yield "autocontrast:", F.autocontrast
    yield "hflip:", F.horizontal_flip
    yield "vflip:", F.vertical_flip
    yield "erase:", lambda im: F.erase(im, 1, 1, height // 2, width // 2, torch.tensor([7, 8, 9], dtype=torch.uint8)[:, None, None])


def pads():
    """Name and function of each padding: left, top, right, bottom for torchvision."""
    for mode in ("constant", "edge", "reflect", "symmetric"):
        for top, right, bottom, left in ((1, 2, 3, 4), (0, 1, 0, 0), (1, 1, 1, 1)):
            key = f"{mode}:{top},{right},{bottom},{left}"
            yield key, lambda im, p=[left, top, right, bottom], m=mode: F.pad(im, p, fill=[5, 6, 7] if m == "constant" else 0, padding_mode=m)


def main() -> None:
    """Writes the file."""
    rng = np.random.default_rng(SEED)
    tensors: dict[str, torch.Tensor] = {}
    for height, width in SIZES:
        image = picture(rng, height, width)
        if (height, width) == (5, 3):
            flat = np.asarray(image).copy()
            flat[..., 1] = 130
            image = Image.fromarray(flat)
        tensors[f"source_{height}x{width}"] = bytes_of(image)
        for key, of in cases(height, width):
            tensors[f"op/{height}x{width}/{key}"] = bytes_of(of(image))
        for key, of in pads():
            if min(height, width) > 4 or "reflect" not in key:
                if (height, width) != (16, 16):
                    tensors[f"pad/{height}x{width}/{key}"] = bytes_of(of(image))
    source = Image.fromarray(tensors["source_23x31"].numpy())
    tensors["crops/ten"] = torch.stack([bytes_of(crop) for crop in F.ten_crop(source, [16, 20])])
    steps = np.arange(0, 256, 15)
    colors = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3).astype(np.uint8)
    tensors["hsv/rgb"] = torch.from_numpy(colors[0].copy())
    tensors["hsv/turned"] = bytes_of(F.adjust_hue(Image.fromarray(colors), 0.17))[0]
    spaces = {
        "auto": (T.RandAugment._AUGMENTATION_SPACE, 31),
        "auto10": (T.AutoAugment._AUGMENTATION_SPACE, 10),
        "wide": (T.TrivialAugmentWide._AUGMENTATION_SPACE, 31),
        "augmix": (T.AugMix._AUGMENTATION_SPACE, 10),
    }
    for space, (choices, bins) in spaces.items():
        for choice, (magnitudes, _) in choices.items():
            table = magnitudes(bins, 41, 57)
            if table is not None:
                tensors[f"table/{space}/{choice}"] = table.to(torch.float64)
    fixture.save("tests/fixtures/augment.safetensors", tensors, SEED, pillow=PIL.__version__)


if __name__ == "__main__":
    main()
