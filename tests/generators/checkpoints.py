"""Writes crates/model/tests/fixtures/checkpoints.safetensors: what training scripts leave in torch's files, and what torch.load reads.

Run: python tests/generators/checkpoints.py    (torch 2.x, numpy, safetensors; no random numbers)
Each file is one tensor of bytes, `file/<case>`; what must be read of it is `is/<case>/<tensor>`, or, in the metadata, a word that the
refusal must say. Files are as torch writes them, by `torch.save` in both formats and by a pickler that writes as Python 2 did.
"""

import argparse
import collections
import dataclasses
import datetime
import decimal
import enum
import io
import json
import pathlib
import pickle
import struct
import types

import numpy as np
import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parents[2] / "crates/model/tests/fixtures/checkpoints.safetensors"


class Net(torch.nn.Module):
    """A layer inside of another module, and a buffer."""

    def __init__(self, shift=0):
        super().__init__()
        self.features = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1))
        self.register_buffer("kept", torch.arange(2.0) + shift)
        with torch.no_grad():
            for index, param in enumerate(self.parameters()):
                param.copy_(torch.arange(param.numel()).reshape(param.shape) + index + shift)


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Config:
    lr: float = 0.1
    names: tuple = ("a", "b")


class Tagged(torch.Tensor):
    pass


Point = collections.namedtuple("Point", "x y")


class Python2(pickle._Pickler):
    """Writes text as byte strings and ordered dicts as lists of pairs."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, text):
        data = text.encode()
        if not self.bin:
            self.write(b"S" + repr(text).encode() + b"\n")
        elif len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    def save_unicode(self, text):
        pickle._Pickler.save_str(self, str(text))

    def save_ordered(self, ordered):
        self.save_reduce(collections.OrderedDict, ([list(pair) for pair in ordered.items()],), obj=ordered)

    dispatch[str] = save_string
    dispatch[collections.OrderedDict] = save_ordered


def python2():
    def dump(obj, file, protocol=None):
        Python2(file, protocol).dump(obj)

    return types.SimpleNamespace(__name__="pickle", Pickler=Python2, dump=dump)


def saved(value, **options):
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def legacy(value, protocol=2, **options):
    return saved(value, pickle_protocol=protocol, _use_new_zipfile_serialization=False, **options)


def plain(state):
    return {name: tensor.detach() for name, tensor in state.items()}


def read(cases):
    """Files whose state dict is `net`'s, by case."""
    net = Net()
    state = net.state_dict()
    for protocol in (2, 3, 4, 5):
        cases[f"zip protocol {protocol}"] = saved(state, pickle_protocol=protocol)
    for protocol in (1, 2, 3, 4, 5):
        cases[f"legacy protocol {protocol}"] = legacy(state, protocol)
        cases[f"legacy checkpoint protocol {protocol}"] = legacy({"state_dict": state, "epoch": 2**70, "lr": 0.5, "note": "é" * 300}, protocol)
    for protocol in (1, 2):
        cases[f"python 2 protocol {protocol}"] = legacy(state, protocol, pickle_module=python2())
        checkpoint = {"state_dict": state, "epoch": 3, "arch": "x" * 300, "best": 0.5, "path": "a'b\n\\c"}
        cases[f"python 2 checkpoint protocol {protocol}"] = legacy(checkpoint, protocol, pickle_module=python2())
    ordered = collections.OrderedDict(state)
    for name in ("state_dict", "model", "net", "network", "model_ema", "state_dict_ema", "ema", "params", "model_state_dict", "module"):
        cases[f"under {name}"] = saved({"epoch": 1, name: ordered})
    cases["under another name"] = saved({"epoch": 1, "generator": ordered, "acc": torch.tensor(0.5)})
    for outer, inner in (("model", "state_dict"), ("checkpoint", "net"), ("state_dict", "model"), ("a", "b")):
        cases[f"under {outer} {inner}"] = saved({outer: {inner: ordered, "epoch": 1}})
    cases["three levels deeper"] = saved({"a": {"b": {"c": ordered}}})
    cases["in a list"] = saved([ordered])
    cases["in a tuple"] = saved((ordered, 3, "x"))
    cases["in a list under net"] = saved([1, {"net": ordered}])
    cases["pairs"] = saved(list(state.items()))
    cases["defaultdict"] = saved(collections.defaultdict(list, state))
    cases["counter of tensors"] = saved({"model": collections.OrderedDict(state), "hits": collections.Counter("abca")})
    for prefix in ("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."):
        cases[f"prefix {prefix}"] = saved({prefix + name: tensor for name, tensor in state.items()})
    compiled = {name.replace("features.0", "features.0._orig_mod"): tensor for name, tensor in state.items()}
    cases["prefix inside"] = saved({"state_dict": compiled})
    cases["bytes for names"] = saved({name.encode(): tensor for name, tensor in state.items()})
    cases["best_acc1 beside it"] = saved({"best_acc1": torch.tensor(77.5), "state_dict": state})
    cases["more tensors beside it"] = saved(
        {"rng_state": torch.get_rng_state()[:64], "class_weights": torch.ones(5), "model": state, "epoch": torch.tensor([3])}
    )
    cases["whole module"] = saved(net)
    cases["whole module in a checkpoint"] = saved({"model": net, "epoch": 1})
    cases["whole module of the old format"] = legacy(net)
    parameters = collections.OrderedDict((name, torch.nn.Parameter(t, requires_grad=t.is_floating_point())) for name, t in state.items())
    cases["parameters"] = saved(parameters)
    for parameter in parameters.values():
        parameter.tag = "x"
    cases["parameters with attributes"] = saved(parameters)
    cases["of a subclass"] = saved({name: t.as_subclass(Tagged) for name, t in state.items()})

    sgd = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    adam = torch.optim.AdamW(net.parameters(), 0.1, weight_decay=0.0)
    for optimizer in (sgd, adam):
        for parameter in net.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    state = net.state_dict()
    schedulers = [
        torch.optim.lr_scheduler.MultiStepLR(sgd, [2, 3]),
        torch.optim.lr_scheduler.OneCycleLR(sgd, 0.1, 10),
        torch.optim.lr_scheduler.LambdaLR(sgd, lambda epoch: 1.0),
    ]
    cases["optimizers"] = saved({"net": state, "optimizer": sgd.state_dict(), "adam": adam.state_dict()})
    cases["schedulers"] = saved({"state_dict": state, **{f"s{i}": s.state_dict() for i, s in enumerate(schedulers)}})
    values = foreign()
    cases["every value"] = saved({"state_dict": state, **values})
    cases["every value, protocol 5"] = saved({"state_dict": state, **values}, pickle_protocol=5)
    cases["every value, old format"] = legacy({"state_dict": state, **values})
    cases["odd tensors beside it"] = saved({"model": state, "others": odd_tensors(), "half": torch.ones(2, dtype=torch.uint16)})
    return plain(state)


def foreign():
    return {
        "namespace": argparse.Namespace(lr=0.1, nested=argparse.Namespace(x=[1])),
        "numpy scalar": np.float64(0.25),
        "numpy ints": [np.int64(3), np.bool_(True)],
        "numpy array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "numpy text": np.array(["a", "b"]),
        "numpy dtype": np.dtype("float32"),
        "size": torch.Size([1, 2]),
        "dtype": torch.float16,
        "odd dtype": torch.uint16,
        "device": torch.device("cuda", 1),
        "layout": torch.strided,
        "bytes": b"\x00\xff",
        "bytearray": bytearray(b"abc"),
        "long bytes": bytes(300),
        "set": {1, 2},
        "frozenset": frozenset("ab"),
        "deque": collections.deque([1, 2], 5),
        "complex": 1 + 2j,
        "long": -(2**100),
        "range": range(3),
        "slice": slice(1, 2),
        "decimal": decimal.Decimal("1.5"),
        "time": datetime.datetime(2020, 1, 2),
        "path": pathlib.PurePosixPath("/a/b"),
        "enum": Color.RED,
        "dataclass": Config(),
        "namedtuple": Point(1, 2),
        "function": max,
        "class": Config,
        "ellipsis": ...,
        "defaultdict": collections.defaultdict(int, a=1),
        "counter": collections.Counter({1: 2}),
        "generator": torch.Generator().get_state()[:16],
    }


def odd_tensors():
    scale = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    return {
        "sparse.weight": torch.eye(2).to_sparse(),
        "csr.weight": torch.eye(2).to_sparse_csr(),
        "quantized.weight": scale,
        "complex.weight": torch.ones(2, dtype=torch.complex64),
        "short.weight": torch.ones(2, dtype=torch.uint16),
        "small.weight": torch.ones(2).to(torch.float8_e4m3fn),
        "meta.weight": torch.ones(2, device="meta"),
    }


def views():
    base = torch.arange(24.0).reshape(2, 3, 4)
    one = torch.tensor([5.0])
    return {
        "shared.a": base,
        "shared.b": base[1],
        "shared.c": base.flatten()[3:7],
        "transposed.weight": base.permute(2, 0, 1),
        "sliced.weight": base[:, ::2, 1::2],
        "expanded.weight": one.expand(3, 4),
        "expanded.rows": base[0, 0].expand(5, 4),
        "expanded.inside": base[:, :1].expand(2, 3, 4),
        "expanded.scalar": torch.tensor(7).expand(1000),
        "empty.weight": torch.zeros(0, 3),
        "empty.view": base[:, 1:1],
        "scalar.weight": torch.tensor(2.5),
        "element.weight": base[1, 2, 3],
        **{
            f"type.{str(dtype).removeprefix('torch.')}": torch.tensor([0, 1, 100]).to(dtype)
            for dtype in (
                torch.float64, torch.float32, torch.float16, torch.bfloat16,
                torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
            )
        },
    }  # fmt: skip


def ambiguous():
    one, two = Net().state_dict(), Net(1).state_dict()
    return {
        "two wrappers": ({"state_dict": one, "state_dict_ema": two}, "`state_dict_ema` (3 tensors)"),
        "two names of one's own": ({"generator": one, "critic": two, "epoch": 1}, "`critic` (3 tensors)"),
        "two in a list": ([one, two], "`1` (3 tensors)"),
        "two in a wrapper": ({"model": {"student": one, "teacher": two}}, "`model.teacher` (3 tensors)"),
        "a network and a wrapper": ({**one, "ema": two}, "the top level (3 tensors)"),
    }


def main():
    cases, tensors, refusals = {}, {}, {}
    state = read(cases)
    for case in cases:
        for name, tensor in state.items():
            tensors[f"is/{case}/{name}"] = tensor
    for case, file in (("views", saved(views())), ("views in the old format", legacy(views()))):
        cases[case] = file
        for name, tensor in views().items():
            tensors[f"is/{case}/{name}"] = tensor
    for name, tensor in odd_tensors().items():
        cases[f"odd {name}"] = saved({"state_dict": {"conv.weight": torch.ones(1), name: tensor}})
        refusals[f"odd {name}"] = f"`{name}`"
    for case, (value, word) in ambiguous().items():
        cases[case] = saved(value)
        refusals[case] = word
    for case, value, word in (
        ("no tensors", {"epoch": 1, "args": argparse.Namespace()}, "it has `epoch`, `args`"),
        ("only an optimizer", {"optimizer": {"state": {0: {"step": torch.ones(1)}}}}, "it has `optimizer`"),
        ("an object", argparse.Namespace(a=1), "`argparse.Namespace`"),
        ("a number", 3, "no tensors"),
    ):
        cases[case] = saved(value)
        refusals[case] = word
    for case, file in cases.items():  # what is expected is what torch reads
        loaded = torch.load(io.BytesIO(file), weights_only=False)
        if case.startswith(("zip", "legacy protocol", "python 2 protocol", "views")):
            assert all(loaded[name].equal(tensors[f"is/{case}/{name}"]) for name in loaded), case
    for case, file in cases.items():
        tensors[f"file/{case}"] = torch.frombuffer(bytearray(file), dtype=torch.uint8)
    expected = {name: t if name.startswith("file/") else t.float().contiguous().clone() for name, t in tensors.items()}
    metadata = {
        "command": "python tests/generators/checkpoints.py",
        "date": datetime.date.today().isoformat(),
        "seed": "none",
        "torch": torch.__version__,
        "refusals": json.dumps(refusals),
    }
    save_file(expected, OUT, metadata=metadata)
    OUT.chmod(0o644)


if __name__ == "__main__":
    main()
