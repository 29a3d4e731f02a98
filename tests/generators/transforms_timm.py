"""What timm's evaluation transform makes of PIL images, square and not.

Writes to tests/fixtures
  transforms_timm.safetensors
    sizes           (n, 6) I64  a case a row: height and width of the picture, of the network's input, of the resized picture
    crop_pct        (n) F64     the share of the resized picture that the crop keeps
    source/<case>   (h, w, 3) U8    pictures: noise over a smooth ground
    eval/<case>/<filter>    (H, W, 3) F32   `create_transform` of source/<case> for the input and the crop_pct of that row

  python tests/generators/transforms_timm.py
"""

import numpy as np
import PIL
import timm
import torch
from PIL import Image
from timm.data import create_transform
from torchvision import transforms as T

import fixture

SEED = 17
FILTERS = ("bilinear", "bicubic")
# Height and width of the picture, of the input, crop_pct.
SHOWN = [(41, 57, 24, 32, 0.875), (57, 41, 24, 32, 0.875), (30, 90, 20, 26, 0.95), (50, 50, 25, 24, 1.0), (12, 9, 20, 14, 0.9),
         (41, 57, 24, 24, 0.875)]
MORE = 250


def picture(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Noise over a smooth ground, so that both overshoot and rounding show."""
    ground = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    noise = rng.integers(-90, 91, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(ground).astype(int) + noise, 0, 255).astype(np.uint8))


def transform(size: tuple[int, int], crop_pct: float, interpolation: str) -> T.Compose:
    return create_transform((3, *size), interpolation=interpolation, crop_pct=crop_pct, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def main() -> None:
    rng = np.random.default_rng(SEED)
    rows = list(SHOWN)
    for _ in range(MORE):
        height, width = (int(side) for side in np.exp(rng.uniform(np.log(8), np.log(700), 2)))
        size = [int(side) for side in rng.integers(8, 400, 2)]
        if rng.random() < 0.2:
            size[1] = size[0]
        rows.append((height, width, *size, float(rng.choice([0.875, 0.9, 0.95, 0.965, 1.0, 224 / 232, rng.uniform(0.3, 1)]))))

    tensors: dict[str, torch.Tensor] = {}
    sizes = []
    for case, (height, width, h, w, crop_pct) in enumerate(rows):
        shown = case < len(SHOWN)
        source = picture(rng, height, width) if shown else Image.new("RGB", (width, height))
        resize, crop, *_ = transform((h, w), crop_pct, "bilinear").transforms
        resized = resize(source)
        assert crop(resized).size == (w, h)
        sizes.append((height, width, h, w, resized.height, resized.width))
        if shown:
            tensors[f"source/{case}"] = torch.from_numpy(np.asarray(source).copy())
            for name in FILTERS:
                tensors[f"eval/{case}/{name}"] = transform((h, w), crop_pct, name)(source).permute(1, 2, 0).contiguous()
    tensors["sizes"] = torch.tensor(sizes)
    tensors["crop_pct"] = torch.tensor([row[4] for row in rows], dtype=torch.float64)
    fixture.save("tests/fixtures/transforms_timm.safetensors", tensors, SEED, pillow=PIL.__version__, timm=timm.__version__)


if __name__ == "__main__":
    main()
