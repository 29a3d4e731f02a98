"""Makes emoji6.tar and manifest.tsv, the embedded sample set: Noto emoji of six kinds, 64x64, on white.

    npm pack emoji-datasource-google@16.0.0        # in a temporary folder; 74 MB
    python make.py emoji-datasource-google-16.0.0.tgz

Needs Pillow. The archive's paths are torchvision's ImageFolder layout (`train/<class>/<name>.png`, `val/...`), so
`tar xf emoji6.tar` gives a folder that both this workspace and PyTorch train on. The pictures are those of the
package's `img/google/64`, composed on white and stored losslessly; names are the package's short names.

The split is stratified and fixed: in each class the fifth of the names whose SHA-256 is smallest validates.
Running this again gives the same bytes (with the same Pillow and zlib).
"""

import hashlib
import io
import json
import pathlib
import sys
import tarfile

from PIL import Image

VERSION = "16.0.0"
VAL_FRACTION = 0.2

# Unicode's subcategories, as the package names them, by class.
CLASSES = {
    "animal": ["animal-amphibian", "animal-bird", "animal-bug", "animal-mammal", "animal-marine", "animal-reptile"],
    "clothing": ["clothing"],
    "face": ["cat-face", "face-affection", "face-concerned", "face-costume", "face-glasses", "face-hand", "face-hat",
             "face-negative", "face-neutral-skeptical", "face-sleepy", "face-smiling", "face-tongue", "face-unwell",
             "monkey-face"],
    "food": ["drink", "food-asian", "food-fruit", "food-prepared", "food-sweet", "food-vegetable"],
    "tool": ["tool"],
    "vehicle": ["transport-air", "transport-ground", "transport-water"],
}


def on_white(png: bytes) -> Image.Image:
    """The picture without transparency: c * a + 255 * (1 - a), rounded half up."""
    rgba = Image.open(io.BytesIO(png)).convert("RGBA")
    pixels = rgba.tobytes()
    rgb = bytearray()
    for i in range(0, len(pixels), 4):
        alpha = pixels[i + 3]
        rgb += bytes((2 * (c * alpha + 255 * (255 - alpha)) + 255) // 510 for c in pixels[i : i + 3])
    return Image.frombytes("RGB", rgba.size, bytes(rgb))


def encoded(image: Image.Image) -> bytes:
    """The smallest lossless PNG Pillow writes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def main() -> None:
    """Reads the npm package given on the command line, writes emoji6.tar and manifest.tsv beside this file."""
    here = pathlib.Path(__file__).resolve().parent
    class_of = {subcategory: name for name, subcategories in CLASSES.items() for subcategory in subcategories}
    chosen: dict[str, list[tuple[str, str, str]]] = {name: [] for name in CLASSES}
    pictures: dict[str, bytes] = {}
    with tarfile.open(sys.argv[1]) as package:
        version = json.load(package.extractfile("package/package.json"))["version"]
        assert version == VERSION, f"expected version {VERSION}, got {version}"
        for emoji in json.load(package.extractfile("package/emoji.json")):
            label = class_of.get(emoji["subcategory"])
            if label is not None and emoji["has_img_google"]:
                chosen[label].append((emoji["short_name"], emoji["unified"].lower(), emoji["image"]))
                pictures[emoji["image"]] = b""
        for member in package:
            name = member.name.removeprefix("package/img/google/64/")
            if name in pictures:
                pictures[name] = encoded(on_white(package.extractfile(member).read()))
    digests = [hashlib.sha256(png).digest() for png in pictures.values()]
    assert len(set(digests)) == len(digests), "two emoji share one picture"

    rows = []
    for label, emojis in chosen.items():
        ranked = sorted(emojis, key=lambda e: hashlib.sha256(e[0].encode()).digest())
        n_val = round(len(ranked) * VAL_FRACTION)
        rows += [("val" if i < n_val else "train", label, *emoji) for i, emoji in enumerate(ranked)]
    rows.sort()
    with tarfile.open(here / "emoji6.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for split, label, name, _, image in rows:
            info = tarfile.TarInfo(f"{split}/{label}/{name}.png")
            info.size, info.mode = len(pictures[image]), 0o644
            archive.addfile(info, io.BytesIO(pictures[image]))
    lines = ["split\tclass\tname\tunicode\n"] + ["\t".join(row[:4]) + "\n" for row in rows]
    (here / "manifest.tsv").write_text("".join(lines), encoding="utf-8", newline="\n")
    for label in CLASSES:
        counts = [sum(row[:2] == (split, label) for row in rows) for split in ("train", "val")]
        print(f"{label}: {counts[0]} train, {counts[1]} val")


if __name__ == "__main__":
    main()
