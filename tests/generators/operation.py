"""How a case of the operation goldens is described and computed; `operations.py` lists the cases.

A case is a node of a graph: its operation in the spelling of crates/graph/src/op.rs (JSON), what it reads, its parameters, and what
PyTorch makes of them. Everything is drawn in float32 and computed in float64.
"""

import json
import zlib

import torch
from torch.nn import functional as F

import fixture

SEED = 20261125


class Family:
    """The cases of one fixture, `tests/fixtures/operations_<name>.safetensors`."""

    def __init__(self, name):
        self.name, self.cases, self.tensors = name, [], {}

    def add(self, name, op, inputs, run, params=None, trained=True):
        """Computes `run(*inputs, **params)` and its gradients.

        `inputs` and `params` are shapes, to be drawn, or tensors. `run` returns y, or y and a dict of more results.
        Parameters whose names begin with `running` or `num` are buffers.
        """
        assert all(case["name"] != name for case in self.cases), name
        # By name, so that a new case leaves the others as they are.
        generator = torch.Generator().manual_seed(SEED ^ zlib.crc32(f"{self.name}/{name}".encode()))
        draw = lambda what: (what if torch.is_tensor(what) else torch.randn(what, generator=generator)).double()
        xs = [draw(shape).requires_grad_() for shape in inputs]
        params = {role: draw(shape) for role, shape in (params or {}).items()}
        trainable = {
            role: tensor.requires_grad_()
            for role, tensor in params.items()
            if trained and not role.startswith(("running", "num"))
        }
        result = run(*xs, **params)
        y, more = result if isinstance(result, tuple) else (result, {})
        dy = draw(tuple(y.shape))
        gradients = torch.autograd.grad(y, [*xs, *trainable.values()], dy)
        assert all(tensor.isfinite().all() for tensor in [y, *gradients]), name
        tensors = {f"x{i}": x.float() for i, x in enumerate(xs)}
        tensors |= {role: tensor.float() for role, tensor in params.items()}
        tensors |= {"y": y, "dy": dy.float(), **more}
        tensors |= {f"d_{to}": d for to, d in zip([f"x{i}" for i in range(len(xs))] + [*trainable], gradients)}
        self.tensors |= {f"{name}/{key}": tensor for key, tensor in tensors.items()}
        self.cases.append({"name": name, "op": op, "inputs": len(xs), "params": [*params], "trained": trained})

    def save(self):
        cases = json.dumps(self.cases, separators=(",", ":"))
        fixture.save(f"tests/fixtures/operations_{self.name}.safetensors", self.tensors, SEED, cases=cases)


def window(kernel, stride=(1, 1), dilation=(1, 1), pads="valid", mode="zeros"):
    """`pads` are four sides (top, left, bottom, right), `same` or `valid`."""
    if not isinstance(pads, str):
        pads = {"explicit": dict(zip(["top", "left", "bottom", "right"], pads))}
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": pads, "mode": mode}


def sides(of, size):
    """Top, left, bottom, right of a window on a map of `size`; TensorFlow's `SAME` puts the odd pixel at the end."""
    if of["padding"] == "valid":
        return [0, 0, 0, 0]
    if of["padding"] != "same":
        return list(of["padding"]["explicit"].values())
    total = []
    for length, kernel, stride, dilation in zip(size, of["kernel"], of["stride"], of["dilation"]):
        total.append(max((-(-length // stride) - 1) * stride + dilation * (kernel - 1) + 1 - length, 0))
    return [total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2]


MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


def pad(x, top_left_bottom_right, mode="zeros", value=0.0):
    top, left, bottom, right = top_left_bottom_right
    if mode == "zeros":
        return F.pad(x, (left, right, top, bottom), value=value)
    return F.pad(x, (left, right, top, bottom), mode=MODES[mode])


def padded(x, of, value=0.0):
    """`x` with the padding of a window around it."""
    return pad(x, sides(of, x.shape[2:]), of["mode"], value)


def steps(of):
    """Stride and dilation of a window, as PyTorch's functions name them."""
    return {"stride": tuple(of["stride"]), "dilation": tuple(of["dilation"])}
