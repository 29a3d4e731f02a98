"""Writes crates/zoo/src/tests/peers.txt: what timm says of every network of the zoo (of LeNet-5, this file).

Run: python tests/generators/zoo.py    (timm 1.0.31, torch 2.x; no random numbers, no weights)

One line a network: name, input size, trained parameters, multiply-accumulates, and two digests (the first 16 digits of a
SHA-256 of sorted lines): of every parameter and buffer with its shape, and of every operation of a forward pass in
evaluation with its numbers and the size of its output. Networks are built and run on PyTorch's `meta` device, which
computes sizes and no values. Networks that timm reparameterizes have a second line for that.
"""

import hashlib
import pathlib
import sys

import timm
import torch
from timm.utils import reparameterize_model
from torch.utils._python_dispatch import TorchDispatchMode

OUT = pathlib.Path(__file__).parents[2] / "crates/zoo/src/tests/peers.txt"

TIMM = """
mobilenetv1_100 mobilenetv1_100h mobilenetv1_125
mobilenetv2_035 mobilenetv2_050 mobilenetv2_075 mobilenetv2_100 mobilenetv2_110d mobilenetv2_120d mobilenetv2_140
mobilenetv3_small_050 mobilenetv3_small_075 mobilenetv3_small_100 mobilenetv3_large_075 mobilenetv3_large_100
mobilenetv3_large_150d mobilenetv3_rw tf_mobilenetv3_small_075 tf_mobilenetv3_small_100 tf_mobilenetv3_small_minimal_100
tf_mobilenetv3_large_075 tf_mobilenetv3_large_100 tf_mobilenetv3_large_minimal_100
mobilenetv4_conv_small_035 mobilenetv4_conv_small_050 mobilenetv4_conv_small mobilenetv4_conv_medium mobilenetv4_conv_large
mobilenetv4_hybrid_medium_075 mobilenetv4_hybrid_medium mobilenetv4_hybrid_large_075 mobilenetv4_hybrid_large
lcnet_035 lcnet_050 lcnet_075 lcnet_100 lcnet_150
mnasnet_050 mnasnet_075 mnasnet_100 mnasnet_140 semnasnet_050 semnasnet_075 semnasnet_100 semnasnet_140 mnasnet_small
efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6
efficientnet_b7 tf_efficientnet_b0 tf_efficientnet_b1 tf_efficientnet_b2 tf_efficientnet_b3 tf_efficientnet_b4
tf_efficientnet_b5 tf_efficientnet_b6 tf_efficientnet_b7 test_efficientnet
efficientnet_lite0 efficientnet_lite1 efficientnet_lite2 efficientnet_lite3 efficientnet_lite4
tf_efficientnet_lite0 tf_efficientnet_lite1 tf_efficientnet_lite2 tf_efficientnet_lite3 tf_efficientnet_lite4
efficientnet_es efficientnet_em efficientnet_el tf_efficientnet_es tf_efficientnet_em tf_efficientnet_el
efficientnetv2_s efficientnetv2_m efficientnetv2_l efficientnetv2_rw_t efficientnetv2_rw_s
tf_efficientnetv2_b0 tf_efficientnetv2_b1 tf_efficientnetv2_b2 tf_efficientnetv2_b3
tf_efficientnetv2_s tf_efficientnetv2_m tf_efficientnetv2_l
mobileone_s0 mobileone_s1 mobileone_s2 mobileone_s3 mobileone_s4
repvit_m1 repvit_m2 repvit_m3 repvit_m0_9 repvit_m1_0 repvit_m1_1 repvit_m1_5 repvit_m2_3
resnet18 resnet34 resnet50 test_resnet vgg11 vgg16
""".split()

ACTIVATIONS = {
    "relu": "relu",
    "silu": "silu",
    "hardswish": "hard_swish",
    "hardsigmoid": "hard_sigmoid",
    "sigmoid": "sigmoid",
    "gelu": "gelu",
    "tanh": "tanh",
}


def size(tensor):
    return "x".join(str(n) for n in [*tensor.shape[2:], tensor.shape[1]])  # h, w, c


def window(kernel, stride, padding=(0, 0), ceil=False):
    return f"kernel {list(kernel)} stride {list(stride)} pads {2 * list(padding)}{' ceil' if ceil else ''}"


class LeNet5(torch.nn.Module):
    """LeCun et al. 1998 with every map connected to every map, mean pools and a linear classifier."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (torch.nn.Conv2d(a, b, 5) for a, b in ((3, 6), (6, 16), (16, 120)))
        self.fc1, self.fc2 = torch.nn.Linear(120, 84), torch.nn.Linear(84, 1000)

    def forward(self, xs):
        return self.taps(xs)[-1]

    def taps(self, xs):
        for conv in (self.conv1, self.conv2):
            xs = torch.nn.functional.avg_pool2d(conv(xs).tanh(), 2)
        pre_logits = self.fc1(self.conv3(xs).tanh().mean((2, 3))).tanh()
        return xs, pre_logits, self.fc2(pre_logits)


class Trace(TorchDispatchMode):
    """Notes the operations that a forward pass is made of."""

    def __init__(self):
        super().__init__()
        self.lines = []
        self.macs = 0
        self.pads = {}  # of tensors that were padded before a window: id -> (tensor, pads)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.note(func._schema.name.removeprefix("aten::").rstrip("_"), args, out)
        return out

    def note(self, name, args, out):
        if name == "convolution":
            self.conv(args, out)
        elif name == "addmm":
            self.lines.append(f"linear {out.shape[1]} of {args[1].shape[1]}")
            self.macs += out.shape[1] * args[1].shape[1]
        elif "batch_norm" in name:
            self.lines.append(f"batch_norm {size(out[0])} eps {1e6 * args[-1]:.0f}e-6 momentum {args[-2]:.4f}")
        elif name == "hardtanh":
            assert tuple(args[1:]) == (0.0, 6.0)
            self.lines.append(f"relu6 {size(out)}")
        elif name in ACTIVATIONS:
            self.lines.append(f"{ACTIVATIONS[name]} {size(out)}")
        elif name in ("add", "mul"):
            if isinstance(args[1], torch.Tensor):  # MobileOne begins its sums at the number 0
                self.lines.append(f"{name} {size(out)}")
        elif name == "div":
            self.lines.append(f"scale {size(out)} by {1 / args[1]}")
        elif name == "max_pool2d_with_indices":
            self.lines.append(f"max {size(out[0])} {window(*args[1:])}")
        elif name == "avg_pool2d":
            defaults = [None, args[1], args[1], [0, 0], False, True]
            kernel, stride, padding, ceil, counts_padding = [*args, *defaults[len(args) :]][1:6]
            kind = "avg" if counts_padding else "avg_without_padding"
            self.lines.append(f"{kind} {size(out)} {window(kernel, stride, padding, ceil)}")
        elif name == "mean":
            assert list(args[1]) in ([2, 3], [-1, -2])
            self.lines.append(f"mean of {size(args[0])}")
        elif name == "_adaptive_avg_pool2d":
            assert out.shape == args[0].shape  # nothing happens at the size that VGG was made for
        elif name == "constant_pad_nd":
            left, right, top, bottom = args[1]
            self.pads[id(out)] = (out, [top, left, bottom, right])
        else:
            views = ("view", "_unsafe_view", "t", "transpose", "permute", "unsqueeze", "detach", "clone", "alias")
            assert name in ("empty", *views), name

    def attention(self, q, k, v, attn_mask=None, dropout_p=0.0):
        """Stands in for torch's function, whose parts differ from machine to machine."""
        assert attn_mask is None and dropout_p == 0.0
        heads, queries, channels = q.shape[1:]
        kv_heads, keys = k.shape[1:3]
        self.lines.append(
            f"attention of {queries} queries to {keys} keys heads {heads} of {channels} kv_heads {kv_heads} of {v.shape[3]}"
        )
        self.macs += heads * queries * keys * (channels + v.shape[3])
        return torch.empty(1, heads, queries, v.shape[3], device="meta")

    def conv(self, args, out):
        xs, weight, bias, stride, padding, dilation, transposed, _, groups = args
        assert not transposed and list(dilation) == [1, 1]
        pads = [padding[0], padding[1], padding[0], padding[1]]
        if id(xs) in self.pads:
            assert pads == [0, 0, 0, 0]
            pads = self.pads[id(xs)][1]
        self.lines.append(
            f"conv {size(out)} kernel {list(weight.shape[2:])} stride {list(stride)} pads {pads} groups {groups}"
            f"{' bias' if bias is not None else ''}"
        )
        self.macs += out.shape[2] * out.shape[3] * weight.numel()


def digest(lines):
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def describe(model, input_size):
    """Counts and lines of a model on the meta device."""
    model.eval()
    params = sum(p.numel() for p in model.parameters())
    state = [(name, t) for name, t in model.state_dict().items() if not name.endswith("num_batches_tracked")]
    tensors = [f"{name} {'x'.join(str(n) for n in t.shape)}" for name, t in state]
    with torch.no_grad(), Trace() as trace:
        torch.nn.functional.scaled_dot_product_attention = trace.attention
        model(torch.empty(1, 3, input_size, input_size, device="meta"))
    return params, trace.macs, tensors, trace.lines


def networks():
    with torch.device("meta"):
        for name in TIMM:
            model = timm.create_model(name)
            input_size = model.default_cfg["input_size"][1]
            yield name, input_size, model
            if name.startswith(("mobileone", "repvit")):
                yield f"{name}:reparameterized", input_size, reparameterize_model(model)
        yield "lenet5", 32, LeNet5()


def main():
    show = sys.argv[1] if len(sys.argv) > 1 else None  # prints the lines of one network instead
    rows = [f"# timm {timm.__version__}: tests/generators/zoo.py"]
    for name, input_size, model in networks():
        params, macs, tensors, ops = describe(model, input_size)
        rows.append(f"{name} {input_size} {params} {macs} {digest(tensors)} {digest(ops)}")
        if name == show:
            print("\n".join(sorted(tensors) + sorted(ops)))
    if not show:
        OUT.write_text("\n".join(rows) + "\n")
        print(f"{OUT.name}: {len(rows) - 1} networks")


if __name__ == "__main__":
    main()
