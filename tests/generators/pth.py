"""Writes crates/model/tests/fixtures: small files of torch.save, old and new, and what is in them.

Run: python tests/generators/pth.py    (torch 2.x and safetensors; no random numbers)
The tensors are those that are easy to read wrongly: transposed, sliced, shared, of every element type, empty, scalar.
"""

import datetime
import pathlib
import zipfile
from collections import OrderedDict

import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parents[2] / "crates/model/tests/fixtures"


def tensors():
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8 - 1
    state = OrderedDict()
    state["plain"] = base
    state["transposed"] = base.permute(2, 0, 1)
    state["sliced"] = base[:, 1:, ::2]
    state["half"] = torch.tensor([0.5, -65504.0, 6e-8], dtype=torch.float16)
    state["brain"] = torch.tensor([0.5, -1e30], dtype=torch.bfloat16)
    state["double"] = torch.tensor([1 / 3, -2.0], dtype=torch.float64)
    state["long"] = torch.tensor(12345)
    state["bytes"] = torch.tensor([0, 255], dtype=torch.uint8)
    state["flags"] = torch.tensor([True, False])
    state["parameter"] = torch.nn.Parameter(torch.ones(2, 1))
    state["empty"] = torch.zeros(0, 3)
    return state


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    state = tensors()
    torch.save(state, OUT / "zip.pth")
    torch.save(state, OUT / "zip_protocol4.pth", pickle_protocol=4)
    torch.save(state, OUT / "legacy.pth", _use_new_zipfile_serialization=False)
    checkpoint = {"epoch": 3, "lr": 0.1, "state_dict": {"plain": state["plain"]}, "args": ["x", None]}
    torch.save(checkpoint, OUT / "checkpoint.pth")
    expected = {name: t.detach().float().contiguous().clone() for name, t in state.items()}
    metadata = {
        "command": "python tests/generators/pth.py",
        "date": datetime.date.today().isoformat(),
        "seed": "none",
        "torch": torch.__version__,
    }
    save_file(expected, OUT / "expected.safetensors", metadata=metadata)
    (OUT / "expected.safetensors").chmod(0o644)
    with zipfile.ZipFile(OUT / "evil.pth", "w") as archive:  # what pickle.load would run
        archive.writestr("evil/data.pkl", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")


if __name__ == "__main__":
    main()
