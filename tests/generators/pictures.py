"""Writes tests/fixtures/pictures.safetensors: odd and damaged picture files, and what Pillow makes of them.

Run: python tests/generators/pictures.py    (Pillow 13, and cjpeg of libjpeg-turbo 2.1)

`NAME/file` are the bytes of a file, `NAME/pixels` the `(h, w, 3)` that Pillow reads, upright, transparency composed on white. A file
without pixels is one that Pillow refuses as damaged.
"""

import datetime
import io
import pathlib
import struct
import subprocess
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps
from safetensors.numpy import save_file

SEED = 17
W, H = 22, 19
rng = np.random.default_rng(SEED)
tensors = {}


def picture(width=W, height=H):
    """Smooth noise with hard colored edges, where ways to enlarge subsampled colors differ most."""
    pixels = np.array(Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC))
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (255, 0, 20)
    pixels[:, width // 2 : width // 2 + 3] = (0, 30, 255)
    return Image.fromarray(pixels)


def pixels_of(file):
    opened = Image.open(io.BytesIO(file))
    image = ImageOps.exif_transpose(opened)
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return np.array(image.convert("RGB"))
    rgba = np.array(image.convert("RGBA")).astype(int)
    alpha = rgba[..., 3:]
    if opened.format == "BMP" and not alpha.any():
        alpha = alpha + 255
    return ((2 * (rgba[..., :3] * alpha + 255 * (255 - alpha)) + 255) // 510).astype(np.uint8)


def add(name, file, is_read=True):
    tensors[f"{name}/file"] = np.frombuffer(file, dtype=np.uint8)
    try:
        pixels = pixels_of(file)
    except (OSError, SyntaxError, ValueError) as error:
        assert not is_read, f"{name}: {error}"
        return
    assert is_read, name
    tensors[f"{name}/pixels"] = np.ascontiguousarray(pixels)


def saved(image, kind, **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


# JPEG


def cjpeg(*settings, image=None):
    ppm = saved(image or picture(), "PPM")
    return subprocess.run(["cjpeg", *settings], input=ppm, capture_output=True, check=True).stdout


def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def behind_start(file, inserted):
    return file[:2] + inserted + file[2:]


def frame_of(file):
    """Where the frame's header begins."""
    at = 2
    while file[at + 1] not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
        at += 2 + struct.unpack(">H", file[at + 2 : at + 4])[0]
    return at


def changed(file, at, value):
    return file[:at] + bytes([value]) + file[at + 1 :]


def jpegs():
    for sampling in [
        "3x1", "1x3", "4x1", "1x4", "4x2", "3x2", "2x3",
        "1x1,2x2,2x2", "1x1,2x1,2x1", "1x1,1x2,1x2", "1x1,2x1,1x1", "2x1,1x2,1x1", "1x2,2x1,2x1", "3x1,1x1,3x1", "2x2,2x1,1x2",
    ]:  # fmt: skip
        add(f"jpeg-sampling-{sampling}", cjpeg("-sample", sampling))
    add("jpeg-narrow-finer", cjpeg("-sample", "1x1,2x2,1x1", image=picture(2, 5)))
    add("jpeg-finer-progressive", cjpeg("-sample", "1x1,2x2,2x2", "-progressive"))
    for name, settings in {
        "arithmetic": ["-arithmetic"],
        "arithmetic-progressive": ["-arithmetic", "-progressive"],
        "arithmetic-restarts": ["-arithmetic", "-restart", "1B"],
        "grey-3x3": ["-grayscale", "-sample", "3x3"],
        "rgb": ["-rgb"],
        "restarts": ["-restart", "1B"],
    }.items():
        add(f"jpeg-{name}", cjpeg(*settings))
    scans = pathlib.Path("/tmp/scans.txt")
    for name, script in {
        "one-scan-each": "0;1;2;",
        "means-only": "0,1,2: 0-0, 0, 0;",
        "unrefined": "0,1,2: 0-0, 0, 1; 0: 1-5, 0, 2;",
    }.items():
        scans.write_text(script)
        add(f"jpeg-{name}", cjpeg("-scans", str(scans)))
    scans.unlink()

    base, progressive = cjpeg(), cjpeg("-progressive")
    adobe = b"Adobe" + bytes([0, 100, 0, 0, 0, 0, 1])
    for n in (0, 3, 7, 9, 11, 12):
        add(f"jpeg-app14-{n}", behind_start(base, segment(0xEE, adobe[:n])))
    add("jpeg-adobe-unknown", behind_start(base, segment(0xEE, adobe[:-1] + b"\xff")))
    for marker in (0xE0, 0xE1, 0xE2, 0xED, 0xFE):
        add(f"jpeg-short-{marker:x}", behind_start(base, segment(marker, b"\xff\xd9")))
    for subsampling in (0, 1, 2):
        ink = saved(picture().convert("CMYK"), "JPEG", subsampling=subsampling)
        add(f"jpeg-cmyk-{subsampling}", ink)
        add(f"jpeg-ycck-{subsampling}", changed(ink, ink.find(b"Adobe") + 11, 2))
    frame = frame_of(base)
    add("jpeg-garbage-behind", base + b"hello" * 20)
    add("jpeg-garbage-between", base[:frame] + bytes([1, 2, 3]) + base[frame:])
    add("jpeg-filling", behind_start(base, b"\xff\xff\xff"))

    add("jpeg-no-end", base[:-2], is_read=False)
    add("jpeg-half-end", base[:-1], is_read=False)
    add("jpeg-start-for-end", base[:-1] + b"\xd8", is_read=False)
    for name, file in {"base": base, "progressive": progressive, "arithmetic": cjpeg("-arithmetic")}.items():
        add(f"jpeg-half-{name}", file[: len(file) // 2], is_read=False)
        add(f"jpeg-most-{name}", file[: len(file) * 9 // 10], is_read=False)
    for name, file in {"base": base, "progressive": progressive}.items():
        table = file.find(b"\xff\xc4")
        add(f"jpeg-table-{name}", changed(file, table + 5, 5), is_read=False)
    add("jpeg-12-bits", changed(base, frame + 4, 12), is_read=False)
    add("jpeg-base-as-progressive", changed(base, frame + 1, 0xC2), is_read=False)
    add("jpeg-progressive-as-base", changed(progressive, frame_of(progressive) + 1, 0xC0), is_read=False)
    add("jpeg-progressive-as-arithmetic", changed(progressive, frame_of(progressive) + 1, 0xC9), is_read=False)
    add("jpeg-base-as-lossless", changed(base, frame + 1, 0xC3), is_read=False)


# PNG


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, *before):
    """Random samples."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    row = (width * samples * depth + 7) // 8
    raw = b"".join(bytes([y % 5]) + rng.integers(0, 256, row, dtype=np.uint8).tobytes() for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    idat = chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(before) + idat + chunk(b"IEND", b"")


def pngs():
    palette = rng.integers(0, 256, 768, dtype=np.uint8).tobytes()
    for color, depths in {0: (1, 2, 4, 8), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.items():
        for depth in depths:
            before = [chunk(b"PLTE", palette[: 3 << depth])] if color == 3 else []
            add(f"png-{color}-{depth}", png(11, 7, depth, color, *before))
            if color == 3:
                alpha = chunk(b"tRNS", bytes(range(0, min(256, 3 << depth), 3)))
                add(f"png-alpha-{depth}", png(11, 7, depth, color, *before, alpha))
    add("png-short-palette", png(11, 7, 8, 3, chunk(b"PLTE", palette[:90])))
    whole = png(11, 7, 8, 2)
    add("png-no-end", whole[:-12])
    add("png-half-end", whole[:-7])
    add("png-no-crc", whole[:-16])
    add("png-no-checksum", whole[:-20])
    add("png-zeros-for-end", whole[:-12] + bytes(64))
    add("png-half", whole[: len(whole) // 2], is_read=False)
    add("png-most", whole[:-40], is_read=False)
    add("png-header-only", whole[:33], is_read=False)
    frames = [picture() for _ in range(2)]
    add("png-animation", saved(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    add("png-animation-no-end", saved(frames[0], "PNG", save_all=True, append_images=frames[1:])[:-12])


# GIF


def packed(indices, bits=4):
    """LZW without compression: the table is cleared before codes grow."""
    codes = [1 << bits]
    for i, index in enumerate(indices):
        codes += [index] if (i + 1) % ((1 << bits) - 2) else [index, 1 << bits]
    number = sum(code << (bits + 1) * i for i, code in enumerate([*codes, (1 << bits) + 1]))
    data = number.to_bytes((number.bit_length() + 7) // 8, "little")
    blocks = [data[i : i + 255] for i in range(0, len(data), 255)]
    return bytes([bits]) + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def gif(screen, at, palette, *, own=b"", transparent=None, interlaced=False, end=b";"):
    file = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x83, 5, 0) + palette
    if transparent is not None:
        file += b"!\xf9\x04\x01\0\0" + bytes([transparent, 0])
    flags = (0x83 if own else 0) | (0x40 if interlaced else 0)
    file += b"," + struct.pack("<HHHHB", *at, 12, 10, flags) + own
    return file + packed([int(index) for index in rng.integers(0, 16, 120)]) + end


def gifs():
    palette, own = (rng.integers(0, 256, 48, dtype=np.uint8).tobytes() for _ in range(2))
    add("gif", gif((12, 10), (0, 0), palette))
    add("gif-own-palette", gif((12, 10), (0, 0), palette, own=own))
    add("gif-interlaced", gif((12, 10), (0, 0), palette, interlaced=True))
    add("gif-transparent", gif((12, 10), (0, 0), palette, transparent=3))
    add("gif-part", gif((20, 18), (3, 4), palette))
    add("gif-part-transparent", gif((20, 18), (3, 4), palette, transparent=3))
    add("gif-beyond", gif((8, 6), (3, 4), palette))
    add("gif-no-screen", gif((0, 0), (0, 0), palette))
    add("gif-no-trailer", gif((12, 10), (0, 0), palette, end=b""))
    add("gif-half", gif((12, 10), (0, 0), palette)[:110], is_read=False)
    frames = [picture() for _ in range(2)]
    add("gif-animation", saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))


# WebP


def webps():
    translucent = picture()
    translucent.putalpha(Image.fromarray(rng.integers(0, 256, (H, W), dtype=np.uint8)))
    for name, settings in {"lossy": {}, "lossless": {"lossless": True}}.items():
        add(f"webp-{name}", saved(picture(), "WEBP", **settings))
        add(f"webp-alpha-{name}", saved(translucent, "WEBP", **settings))
    frames = [picture() for _ in range(2)]
    animation = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    add("webp-animation", animation)
    add("webp-animation-cut", animation[:-10], is_read=False)
    whole = saved(picture(), "WEBP")
    # An extended header that announces an ICC profile, EXIF and XMP, and has none of them.
    extended = b"VP8X" + struct.pack("<II", 10, 0x2C) + struct.pack("<I", W - 1)[:3] + struct.pack("<I", H - 1)[:3] + whole[12:]
    add("webp-missing-metadata", b"RIFF" + struct.pack("<I", len(extended) + 4) + b"WEBP" + extended)
    add("webp-half", whole[: len(whole) // 2], is_read=False)
    add("webp-most", whole[:-4], is_read=False)


# BMP


def bmp(bits, data, *, height=11, header=40, compression=0, masks=(), palette=b"", offset=None):
    mask = struct.pack(f"<{len(masks)}I", *masks)
    info = struct.pack("<IiiHHIIiiII", header, 13, height, 1, bits, compression, 0, 0, 0, 0, 0)
    info = info + mask if header == 40 else (info + mask).ljust(header, b"\0")
    body = info + palette
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(body) if offset is None else offset) + body + data


def rows(bits, alpha=None):
    stride = (13 * bits + 31) // 32 * 4
    data = rng.integers(0, 256, (11, stride), dtype=np.uint8)
    if alpha is not None:
        data[:, 3::4] = alpha
    return data.tobytes()


def bmps():
    colors = rng.integers(0, 256, 1024, dtype=np.uint8).tobytes()
    for bits in (1, 4, 8, 16, 24, 32):
        palette = colors[: 4 << bits] if bits <= 8 else b""
        add(f"bmp-{bits}", bmp(bits, rows(bits), palette=palette))
        add(f"bmp-{bits}-from-top", bmp(bits, rows(bits), palette=palette, height=-11))
    os2 = struct.pack("<IHHHH", 12, 13, 11, 1, 8) + colors[:768]
    add("bmp-os2", b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(os2)) + os2 + rows(8))
    rgba = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    for name, alpha in {"empty": 0, "full": 255, "some": rng.integers(0, 256, (11, 13))}.items():
        for header in (56, 108, 124):
            add(f"bmp-alpha-{name}-{header}", bmp(32, rows(32, alpha), header=header, compression=3, masks=rgba))
        add(f"bmp-no-alpha-{name}", bmp(32, rows(32, alpha), compression=3, masks=rgba[:3]))
    add("bmp-565", bmp(16, rows(16), compression=3, masks=(0xF800, 0x7E0, 0x1F)))
    add("bmp-555", bmp(16, rows(16), compression=3, masks=(0x7C00, 0x3E0, 0x1F)))
    rle8 = b"".join(bytes([4, y, 0, 5, 9, 8, 7, 6, 5, 0, 4, 3, 0, 0]) for y in range(11)) + b"\0\1"
    add("bmp-rle8", bmp(8, rle8, compression=1, palette=colors))
    rle4 = b"".join(bytes([6, 0x12, 7, 0x30 + y, 0, 0]) for y in range(11)) + b"\0\1"
    add("bmp-rle4", bmp(4, rle4, compression=2, palette=colors[:64]))
    whole = bmp(24, rows(24))
    add("bmp-no-padding", whole[:-1])
    add("bmp-half", whole[: len(whole) // 2], is_read=False)
    add("bmp-cut-pixel", whole[:-2], is_read=False)


def main():
    for write in (jpegs, pngs, gifs, webps, bmps):
        write()
    metadata = {
        "command": "python tests/generators/pictures.py",
        "date": datetime.date.today().isoformat(),
        "seed": str(SEED),
        "pillow": PIL.__version__,
    }
    target = pathlib.Path(__file__).resolve().parents[1] / "fixtures/pictures.safetensors"
    save_file(tensors, target, metadata)
    print(f"{target}: {len(tensors)} tensors, {target.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
