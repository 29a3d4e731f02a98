"""Writes tests/fixtures/jpegs.safetensors: JPEG files of every kind that cameras and the web make, and Pillow's pixels of them.

Run: python tests/generators/jpegs.py    (Pillow 13 on libjpeg-turbo)

Pictures are smooth noise with hard colored edges, where ways to enlarge subsampled colors differ most. `NAME/file` are the bytes of the
file, `NAME/pixels` the `(h, w, 3)` that Pillow decodes.
"""

import io

import fixture
import numpy as np
import PIL
import torch
from PIL import Image

SEED = 11
# Sides that do and do not fill blocks of 8 and 16, one of a single pixel.
SIZES = [(48, 32), (45, 31), (17, 50), (1, 1)]
SUBSAMPLINGS = {"444": 0, "422": 1, "420": 2}


def picture(rng, width, height):
    noise = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    pixels = np.array(noise)
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (255, 0, 20)
    pixels[:, width // 2 : width // 2 + 3] = (0, 30, 255)
    return Image.fromarray(pixels)


def add(tensors, name, image, **settings):
    file = io.BytesIO()
    image.save(file, "JPEG", **settings)
    pixels = np.array(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    tensors[f"{name}/file"] = torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)
    tensors[f"{name}/pixels"] = torch.from_numpy(pixels)


def main():
    rng = np.random.default_rng(SEED)
    tensors = {}
    for width, height in SIZES:
        for subsampling, number in SUBSAMPLINGS.items():
            for progressive in (False, True):
                name = f"{width}x{height}-{subsampling}{'-progressive' if progressive else ''}"
                quality = int(rng.choice([40, 75, 95]))
                settings = {"subsampling": number, "progressive": progressive, "quality": quality}
                add(tensors, name, picture(rng, width, height), **settings)
    add(tensors, "grey", picture(rng, 45, 31).convert("L"), quality=75)
    add(tensors, "restart", picture(rng, 45, 31), quality=75, restart_marker_blocks=2)
    fixture.save("tests/fixtures/jpegs.safetensors", tensors, SEED, pillow=PIL.__version__)


if __name__ == "__main__":
    main()
