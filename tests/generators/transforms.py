"""What torchvision's transforms make of PIL images, and two JPEG files that Pillow writes.

Writes to tests/fixtures
  transforms.safetensors
    source_<h>x<w>              (h, w, 3) U8     pictures: noise over a smooth ground
    resize/<h>x<w>/<H>x<W>/<filter>   (H, W, 3) U8   F.resize of source_<h>x<w> to H x W
    crop/{rect, resized}        F.resized_crop of source_41x57: (top, left, height, width) I64, (24, 20, 3) U8
    crops/{sizes, settings, units, rects}   RandomResizedCrop.get_params, a case a row: (height, width) I64; scale and ratio (4) F64; the
                                uniform numbers it was given (24) F64, in order: area and ratio of each try, then top and left; the result (4) I64
    eval/out                    (20, 28, 3) F32  Resize(32), CenterCrop((20, 28)), ToTensor, Normalize of source_41x57
    flip/out                    (41, 57, 3) F32  hflip, ToTensor, Normalize of source_41x57
    cmyk, turned                (h, w, 3) U8     the JPEG files below as Pillow opens them: converted to RGB; upright
  transforms_cmyk.jpg           an Adobe CMYK JPEG (inverted samples)
  transforms_turned.jpg         a JPEG with EXIF orientation 6 (turn by 90 degrees clockwise)

  python tests/generators/transforms.py
"""

import pathlib
from unittest import mock

import numpy as np
import PIL
import torch
from PIL import Image, ImageOps
from torchvision import transforms as T
from torchvision.transforms import functional as F

import fixture

SEED = 11
FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"
FILTERS = {"bilinear": T.InterpolationMode.BILINEAR, "bicubic": T.InterpolationMode.BICUBIC}
NORMALIZE = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
RESIZES = [((41, 57), (24, 24)), ((41, 57), (32, 44)), ((41, 57), (41, 20)), ((12, 9), (31, 40)), ((60, 7), (8, 16)),
           ((60, 20), (16, 12))]  # the last two: rows first
CROPS = [
    ((480, 640), (0.08, 1.0), (3 / 4, 4 / 3)),
    ((64, 64), (0.08, 1.0), (3 / 4, 4 / 3)),
    ((300, 90), (0.5, 1.0), (3 / 4, 4 / 3)),
    ((17, 400), (0.2, 1.0), (3 / 4, 4 / 3)),
    ((400, 17), (0.9, 1.0), (3 / 4, 4 / 3)),
    ((333, 500), (0.9, 1.0), (0.5, 2.0)),
]
CASES_EACH = 20


def picture(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Noise over a smooth ground, so that both overshoot and rounding show."""
    ground = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    noise = rng.integers(-90, 91, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(ground).astype(int) + noise, 0, 255).astype(np.uint8))


def bytes_of(image: Image.Image) -> torch.Tensor:
    """(h, w, 3) U8."""
    return torch.from_numpy(np.asarray(image).copy())


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """(3, h, w) to (h, w, 3)."""
    return tensor.permute(1, 2, 0).contiguous()


def crop_with(units: list[float], size: tuple[int, int], scale: tuple, ratio: tuple) -> tuple[int, int, int, int]:
    """torchvision's get_params, its random numbers replaced by these uniform ones."""
    stream = iter(units)

    class Uniform:
        def uniform_(self, low, high):
            low, high = float(low), float(high)
            return torch.tensor([low + (high - low) * next(stream)], dtype=torch.float64)

    def randint(_low, high, size):
        return torch.tensor([int(next(stream) * high)])

    image = Image.new("RGB", (size[1], size[0]))
    with mock.patch.object(torch, "empty", lambda _n: Uniform()), mock.patch.object(torch, "randint", randint):
        return T.RandomResizedCrop.get_params(image, list(scale), list(ratio))


def main() -> None:
    """Writes the three files."""
    rng = np.random.default_rng(SEED)
    tensors: dict[str, torch.Tensor] = {}
    sources = {size: picture(rng, *size) for size in dict.fromkeys(size for size, _ in RESIZES)}
    for (height, width), image in sources.items():
        tensors[f"source_{height}x{width}"] = bytes_of(image)
    for (height, width), target in RESIZES:
        for name, mode in FILTERS.items():
            key = f"resize/{height}x{width}/{target[0]}x{target[1]}/{name}"
            tensors[key] = bytes_of(F.resize(sources[height, width], list(target), mode, antialias=True))

    source = sources[41, 57]
    rect = (5, 9, 30, 33)
    tensors["crop/rect"] = torch.tensor(rect)
    tensors["crop/resized"] = bytes_of(F.resized_crop(source, *rect, [24, 20], FILTERS["bilinear"], antialias=True))

    rows = [(size, scale, ratio, rng.random(24)) for size, scale, ratio in CROPS for _ in range(CASES_EACH)]
    tensors["crops/sizes"] = torch.tensor([size for size, *_ in rows])
    tensors["crops/settings"] = torch.tensor([[*scale, *ratio] for _, scale, ratio, _ in rows], dtype=torch.float64)
    tensors["crops/units"] = torch.from_numpy(np.stack([units for *_, units in rows]))
    tensors["crops/rects"] = torch.tensor([crop_with(list(units), *row) for *row, units in rows])

    evaluate = T.Compose([T.Resize(32), T.CenterCrop((20, 28)), T.ToTensor(), NORMALIZE])
    tensors["eval/out"] = channels_last(evaluate(source))
    tensors["flip/out"] = channels_last(NORMALIZE(F.to_tensor(F.hflip(source))))

    smooth = Image.fromarray(rng.integers(0, 256, (4, 3, 3), dtype=np.uint8)).resize((24, 40), Image.BICUBIC)
    smooth.convert("CMYK").save(FIXTURES / "transforms_cmyk.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth.save(FIXTURES / "transforms_turned.jpg", quality=95, exif=exif)
    tensors["cmyk"] = bytes_of(Image.open(FIXTURES / "transforms_cmyk.jpg").convert("RGB"))
    tensors["turned"] = bytes_of(ImageOps.exif_transpose(Image.open(FIXTURES / "transforms_turned.jpg")))

    fixture.save("tests/fixtures/transforms.safetensors", tensors, SEED, pillow=PIL.__version__)


if __name__ == "__main__":
    main()
