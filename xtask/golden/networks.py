"""The peers' side of `cargo xtask golden`: a network with random weights, and what PyTorch makes of an image.

python networks.py FOLDER     then, a line of standard input for each: timm NAME SIZE, or torchvision NAME SIZE

Writes to FOLDER: `weights`, the network's state, as safetensors if it is timm's and by `torch.save` if it is torchvision's; `outputs`, with
the images and the three outputs, computed in float64. Parameters are those of tests/generators/peer.py. Names are timm's for both.
"""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "xtask/bench"), str(ROOT / "tests/generators")]

import contestant  # first, since it keeps standard output for answers
import peer
import safetensors.torch
import timm
import torch
import torchvision

CLASSES = 1000
CALIBRATION = 96  # rows and columns, as far as the network takes them


def save(path, tensors):
    contiguous = {name: tensor.detach().float().contiguous().clone() for name, tensor in tensors.items()}
    safetensors.torch.save_file(contiguous, str(path))


def state(net):
    return {name: tensor for name, tensor in net.state_dict().items() if not name.endswith("num_batches_tracked")}


def of_timm(folder, name, size):
    net, _ = peer.made(name, CLASSES, (min(size, CALIBRATION),) * 2)
    save(folder / "weights.safetensors", state(net))
    return peer.taps(net, pixels(size).double())


TORCHVISION = {
    "mobilenetv2_100": "mobilenet_v2",
    "mobilenetv3_small_100": "mobilenet_v3_small",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "mnasnet_050": "mnasnet0_5",
    "mnasnet_075": "mnasnet0_75",
    "mnasnet_100": "mnasnet1_0",
    "efficientnetv2_s": "efficientnet_v2_s",
    "efficientnetv2_m": "efficientnet_v2_m",
    "efficientnetv2_l": "efficientnet_v2_l",
}


def of_torchvision(folder, name, size):
    net = getattr(torchvision.models, TORCHVISION.get(name, name))(num_classes=CLASSES)
    peer.fill(net)
    peer.calibrate(net, (min(size, CALIBRATION),) * 2)
    torch.save(net.state_dict(), folder / "weights.pth")
    return peer.taps(net, pixels(size).double())


def pixels(size):
    return peer.images("images", 1, (size, size))


if __name__ == "__main__":
    versions = " ".join(f"{module.__name__} {module.__version__.split('+')[0]}" for module in (timm, torchvision, torch))
    contestant.answer(version=versions)
    folder = pathlib.Path(sys.argv[1])
    for line in sys.stdin:
        library, name, size = line.split()
        outputs = {"timm": of_timm, "torchvision": of_torchvision}[library](folder, name, int(size))
        save(folder / "outputs.safetensors", {"images": pixels(int(size)), **outputs})
        contestant.answer(done=True)
