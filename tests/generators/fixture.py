"""How every golden fixture is written: safetensors with the metadata that lets anyone make it again.

Metadata keys, checked by `cargo xtask tidy`: `torch`, `torchvision`, `seed`, `command`, `date`, and what the generator adds.
"""

import datetime
import pathlib
import sys

import safetensors.torch
import torch
import torchvision

ROOT = pathlib.Path(__file__).resolve().parents[2]


def save(path, tensors, seed, **more):
    """Writes `tensors` (name -> torch.Tensor) to `path`, relative to the repository's root."""
    command = " ".join(["python", f"tests/generators/{pathlib.Path(sys.argv[0]).name}", *sys.argv[1:]])
    metadata = {
        "torch": torch.__version__.split("+")[0],
        "torchvision": torchvision.__version__.split("+")[0],
        "seed": str(seed),
        "command": command,
        "date": datetime.date.today().isoformat(),
        **{key: str(value) for key, value in more.items()},
    }
    target = ROOT / path
    target.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    safetensors.torch.save_file(contiguous, str(target), metadata)
    target.chmod(0o644)
    print(f"{path}: {len(tensors)} tensors, {target.stat().st_size / 1024:.0f} KiB")
