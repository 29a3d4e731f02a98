"""Logits of torchvision's MobileNetV2 (IMAGENET1K_V1) in eval mode, on pictures made by a formula.

Writes tests/fixtures/mobilenet_v2_logits.safetensors:
  pixels       (n, h, w, 3) U8, the first 4x4 corner only: a check that the reader's formula is this one's
  pre_logits   (n, 1280) F32, logits (n, 1000) F32          with the published f32 weights
  f16/logits   (n, 1000) F32                                with weights of convolutions and classifier rounded to f16 and back,
                                                            norms and biases in f32, as crates/weights-mobilenet-v2 stores them
Pixel (image i, row y, column x, channel c) is, in integers,
  (x * (i + 1) + y * (2 * i + 1) + x * y / (16 * (i + 1)) + 50 * c + 31 * i) mod 256      [/ rounds down]
and is normalized in f32: (pixel / 255 - mean[c]) / std[c], ImageNet's mean and std.

  python tests/generators/mobilenet_v2_logits.py mobilenet_v2-b0353104.pth
"""

import hashlib
import pathlib
import sys

import torch
import torchvision

import fixture

SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
IMAGES, SIZE = 3, 224


def pixels():
    """(n, 3, h, w), integers 0-255."""
    i = torch.arange(IMAGES).view(-1, 1, 1, 1)
    c = torch.arange(3).view(1, -1, 1, 1)
    y = torch.arange(SIZE).view(1, 1, -1, 1)
    x = torch.arange(SIZE).view(1, 1, 1, -1)
    return (x * (i + 1) + y * (2 * i + 1) + x * y // (16 * (i + 1)) + 50 * c + 31 * i) % 256


def normalize(values):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return (values.float() / 255 - mean) / std


def run(state, inputs):
    model = torchvision.models.mobilenet_v2()
    model.load_state_dict(state)
    model.eval()
    with torch.inference_mode():
        pre_logits = model.features(inputs).mean((2, 3))
        return pre_logits, model.classifier(pre_logits)


def through_f16(name, tensor):
    is_weight = name.endswith(".weight") and tensor.ndim > 1
    return tensor.half().float() if is_weight else tensor


if __name__ == "__main__":
    torch.set_num_threads(1)
    weights = pathlib.Path(sys.argv[1])
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == SHA256, f"{weights} is not mobilenet_v2-b0353104"
    state = torch.load(weights, weights_only=True)
    sys.argv[1] = weights.name  # the metadata names the file, not where it lay
    inputs = normalize(pixels())
    pre_logits, logits = run(state, inputs)
    _, f16_logits = run({name: through_f16(name, tensor) for name, tensor in state.items()}, inputs)
    difference = (logits - f16_logits).abs().max() / logits.abs().max()
    print("top classes", logits.argmax(1).tolist(), "f16 changes logits by", f"{difference:.1e} of the largest")
    corner = pixels().permute(0, 2, 3, 1)[:, :4, :4].to(torch.uint8)
    tensors = {"pixels": corner, "pre_logits": pre_logits, "logits": logits, "f16/logits": f16_logits}
    fixture.save("tests/fixtures/mobilenet_v2_logits.safetensors", tensors, "none", weights_sha256=SHA256)
