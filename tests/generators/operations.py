"""Every operation of a graph against PyTorch: output, and gradients of all inputs and parameters, edge cases included.

Writes tests/fixtures/operations_{conv,transposed,pool,around,norm,pointwise,mixing}.safetensors. Keys of a case (maps are
(n, c, h, w), a 1-D signal has height 1), inputs and parameters in F32, results in F64:
  <case>/x0, x1, …            inputs
  <case>/weight, bias, …      parameters and buffers, named as the graph names them
  <case>/y, dy                output, and the gradient that arrives there
  <case>/d_x0, d_weight, …    gradients of what is above
  <case>/updated_running_*    buffers after a training step
  <case>/evaluated            output in evaluation mode, where it differs from y
The metadata `cases` is a JSON list: name, op (as crates/graph/src/op.rs spells it), inputs (how many), params (names, in order),
trained (false: parameters are frozen, a batch norm uses its running statistics).

Needs timm for its blur pooling.

  python tests/generators/operations.py
"""

import itertools

import timm.layers
import torch
from torch.nn import functional as F

from operation import Family, pad, padded, sides, steps, window


def convolutions():
    family = Family("conv")

    def add(name, x, out, of, groups=1, bias=False):
        op = {"conv": {"out": out, "window": of, "groups": groups}}
        params = {"weight": (out, x[1] // groups, *of["kernel"])} | ({"bias": (out,)} if bias else {})

        def run(x, weight, bias=None):
            if of["mode"] == "zeros" and (p := sides(of, x.shape[2:]))[:2] == p[2:]:
                return F.conv2d(x, weight, bias, padding=tuple(p[:2]), groups=groups, **steps(of))
            return F.conv2d(padded(x, of), weight, bias, groups=groups, **steps(of))

        family.add(name, op, [x], run, params)

    ones, uneven = (1, 1, 1, 1), (1, 2, 0, 3)
    add("pointwise", (2, 5, 4, 3), 6, window((1, 1)), bias=True)
    add("pointwise_strided", (2, 3, 5, 6), 4, window((1, 1), stride=(2, 3)))
    add("pointwise_of_many_channels", (1, 37, 2, 3), 19, window((1, 1)), bias=True)
    add("dense", (2, 3, 4, 5), 4, window((3, 3), pads=ones))
    add("dense_all_different", (2, 3, 6, 9), 4, window((2, 5), (3, 2), (2, 1), uneven), bias=True)
    add("dense_of_many_channels", (1, 17, 3, 2), 18, window((1, 2), pads=ones), bias=True)
    add("dense_stride_beyond_kernel", (2, 3, 7, 8), 2, window((2, 2), stride=(3, 4)))
    add("dense_padding_beyond_kernel", (1, 2, 2, 3), 3, window((2, 1), pads=(3, 2, 0, 4)), bias=True)
    add("dense_one_pixel", (2, 4, 1, 1), 3, window((3, 3), pads=ones), bias=True)
    add("dense_kernel_beyond_image", (2, 2, 2, 3), 3, window((5, 7), pads=(2, 2, 3, 4)), bias=True)
    add("dense_whole_image", (2, 3, 3, 4), 5, window((3, 4)))
    add("grouped", (2, 4, 4, 5), 6, window((3, 3), stride=(1, 2), pads=ones), groups=2, bias=True)
    add("grouped_of_many_channels", (1, 12, 3, 2), 34, window((2, 1), pads=(1, 0, 0, 0)), groups=2)
    add("grouped_one_output_each", (1, 6, 4, 3), 3, window((2, 2), dilation=(2, 1)), groups=3, bias=True)
    add("depthwise", (2, 4, 5, 4), 4, window((3, 3), pads=ones), groups=4, bias=True)
    add("depthwise_same", (2, 3, 6, 7), 3, window((5, 3), stride=(2, 2), pads="same"), groups=3)
    add("depthwise_dilated", (1, 3, 7, 9), 3, window((3, 3), (1, 2), (2, 3), (2, 3, 1, 0)), groups=3)
    add("depthwise_of_many_channels", (1, 35, 3, 4), 35, window((3, 3), pads=ones), groups=35)
    add("depthwise_one_pixel", (2, 5, 1, 1), 5, window((5, 5), pads=(2, 2, 2, 2)), groups=5, bias=True)
    add("depthwise_multiplier", (2, 3, 4, 5), 6, window((3, 2), pads=(1, 0, 1, 1)), groups=3, bias=True)
    add("same_even_kernel", (2, 3, 5, 7), 4, window((2, 4), stride=(2, 3), pads="same"), bias=True)
    add("same_dilated", (1, 3, 5, 8), 2, window((3, 3), (2, 1), (2, 3), "same"))
    add("same_needs_none", (1, 3, 4, 6), 2, window((2, 2), stride=(2, 3), pads="same"))
    for mode, padding in [("reflect", uneven), ("replicate", (4, 2, 5, 3)), ("circular", uneven)]:
        add(f"dense_{mode}", (1, 3, 4, 5), 4, window((3, 2), pads=padding, mode=mode), bias=True)
        add(f"depthwise_{mode}", (1, 3, 4, 5), 3, window((3, 3), (2, 1), (1, 2), padding, mode), groups=3)
    add("grouped_circular", (1, 4, 3, 4), 6, window((3, 3), pads=(3, 4, 3, 4), mode="circular"), groups=2)
    add("same_reflect", (1, 2, 5, 6), 3, window((3, 4), stride=(2, 1), pads="same", mode="reflect"))
    add("replicate_one_pixel", (2, 3, 1, 1), 2, window((3, 3), pads=ones, mode="replicate"), bias=True)

    def add_1d(name, x, out, kernel, stride=1, dilation=1, left=0, right=0, groups=1, bias=False):
        of = window((1, kernel), (1, stride), (1, dilation), (0, left, 0, right))
        op = {"conv": {"out": out, "window": of, "groups": groups}}
        params = {"weight": (out, x[1] // groups, 1, kernel)} | ({"bias": (out,)} if bias else {})
        run = lambda x, weight, bias=None: F.conv1d(
            F.pad(x.squeeze(2), (left, right)), weight.squeeze(2), bias, stride, 0, dilation, groups
        ).unsqueeze(2)
        family.add(name, op, [(x[0], x[1], 1, x[2])], run, params)

    add_1d("signal", (2, 3, 11), 4, 3, stride=2, left=1, right=1, bias=True)
    add_1d("signal_causal", (2, 4, 9), 6, 3, dilation=2, left=4, groups=2)
    add_1d("signal_depthwise", (2, 4, 10), 4, 5, dilation=2, left=4, right=4, groups=4, bias=True)
    family.save()


def transposed():
    family = Family("transposed")

    def add(name, x, out, of, more=(0, 0), groups=1, bias=False):
        op = {"conv_transpose": {"conv": {"out": out, "window": of, "groups": groups}, "output_padding": more}}
        params = {"weight": (x[1], out // groups, *of["kernel"])} | ({"bias": (out,)} if bias else {})
        top, left, bottom, right = sides(of, x[2:])

        def run(x, weight, bias=None):
            if (top, left) == (bottom, right):
                return F.conv_transpose2d(
                    x, weight, bias, padding=(top, left), output_padding=more, groups=groups, **steps(of)
                )
            y = F.conv_transpose2d(x, weight, bias, output_padding=more, groups=groups, **steps(of))
            return y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]

        family.add(name, op, [x], run, params)

    add("dense", (2, 3, 3, 4), 4, window((3, 3), stride=(2, 2), pads=(1, 1, 1, 1)), more=(1, 1), bias=True)
    add("dense_stride_1", (2, 3, 4, 3), 2, window((3, 2), pads=(1, 0, 1, 0)))
    add("dense_all_different", (2, 3, 2, 3), 4, window((2, 4), (3, 2), pads=(0, 1, 0, 1)), more=(2, 0), bias=True)
    add("dense_uneven_padding", (1, 3, 3, 4), 2, window((4, 3), (2, 1), (1, 2), (2, 0, 1, 3)), bias=True)
    add("dense_of_many_channels", (1, 18, 2, 2), 19, window((1, 2), stride=(2, 1)), bias=True)
    add("dense_output_padding_beyond_stride", (1, 3, 3, 3), 4, window((3, 2), (2, 1), (3, 3)), more=(2, 2))
    add("dense_padding_beyond_kernel", (1, 2, 4, 5), 3, window((2, 3), (2, 1), pads=(2, 3, 2, 3)), bias=True)
    add("dense_gaps", (1, 2, 3, 2), 3, window((1, 2), stride=(3, 4)), more=(1, 3), bias=True)
    add("one_pixel", (2, 4, 1, 1), 3, window((3, 2), stride=(2, 2)), bias=True)
    add("grouped", (2, 4, 3, 2), 6, window((3, 3), stride=(2, 1), pads=(1, 1, 1, 1)), groups=2, bias=True)
    add("grouped_one_input_each", (1, 3, 2, 4), 6, window((2, 3), (1, 2), (2, 1)), groups=3)
    add("depthwise", (2, 4, 3, 4), 4, window((4, 4), stride=(2, 2), pads=(1, 1, 1, 1)), groups=4, bias=True)
    add("depthwise_all_different", (1, 5, 3, 2), 5, window((3, 2), (2, 3), (2, 1), (1, 0, 1, 0)), (1, 2), groups=5)
    add("signal", (2, 3, 1, 5), 2, window((1, 4), stride=(1, 2), pads=(0, 1, 0, 1)), more=(0, 1), bias=True)
    family.save()


def ties(n, c, h, w):
    """Few values, so that windows have several largest elements."""
    return torch.arange(n * c * h * w).mul(7).remainder(11).div(4, rounding_mode="floor").float().reshape(n, c, h, w)


def max_pools(family):
    def add(name, x, of, ceil=False):
        def run(x):
            p = sides(of, x.shape[2:])
            if of["mode"] == "zeros" and p[:2] == p[2:]:
                return F.max_pool2d(x, of["kernel"], padding=tuple(p[:2]), ceil_mode=ceil, **steps(of))
            return F.max_pool2d(padded(x, of, float("-inf")), of["kernel"], ceil_mode=ceil, **steps(of))

        family.add(f"max_{name}", {"pool": {"kind": "max", "window": of, "ceil": ceil}}, [x], run)

    add("2x2", (2, 3, 4, 6), window((2, 2), (2, 2)))
    add("padded", (2, 3, 5, 6), window((3, 3), (2, 2), pads=(1, 1, 1, 1)))
    add("all_different", (2, 3, 6, 7), window((2, 3), (1, 2), (2, 1), (1, 1, 1, 1)))
    add("uneven_padding", (1, 3, 5, 6), window((2, 3), (2, 1), pads=(0, 1, 1, 0)))
    add("ceil", (1, 3, 6, 8), window((3, 3), (2, 2)), ceil=True)
    add("ceil_padded", (1, 3, 5, 7), window((2, 3), (3, 2), pads=(1, 1, 1, 1)), ceil=True)
    add("same", (1, 3, 5, 7), window((3, 2), (2, 2), pads="same"))
    add("ties", ties(2, 3, 5, 6), window((3, 3), (1, 2), pads=(1, 1, 1, 1)))
    add("negative", -1 - ties(1, 3, 3, 4), window((3, 3), pads=(1, 1, 1, 1)))
    add("one_pixel", (2, 5, 1, 1), window((3, 2), pads=(1, 1, 1, 1)))
    add("of_many_channels", (1, 35, 3, 4), window((2, 2), (1, 2)))
    add("signal", (2, 4, 1, 9), window((1, 3), (1, 2), pads=(0, 1, 0, 1)))
    add("circular", (1, 3, 4, 5), window((3, 2), (2, 1), pads=(1, 1, 1, 0), mode="circular"))


def mean_pools(family):
    def add(name, x, of, counts_padding=True, ceil=False):
        kind = "avg" if counts_padding else "avg_without_padding"

        def run(x):
            p = sides(of, x.shape[2:])
            dilated = tuple(of["dilation"]) != (1, 1)
            if of["mode"] == "zeros" and p[:2] == p[2:] and not dilated:
                return F.avg_pool2d(x, of["kernel"], of["stride"], tuple(p[:2]), ceil, counts_padding)
            assert not ceil
            # By definition: a sum over the window, divided by how many elements are counted.
            ones = torch.ones(1, 1, *of["kernel"], dtype=x.dtype)
            sums = lambda x: F.conv2d(x.flatten(0, 1).unsqueeze(1), ones, **steps(of)).unflatten(0, x.shape[:2]).squeeze(2)
            count = sums(pad(torch.ones_like(x), p)) if not counts_padding else ones.sum()
            return sums(padded(x, of)) / count

        family.add(f"{kind}_{name}", {"pool": {"kind": kind, "window": of, "ceil": ceil}}, [x], run)

    for counts_padding in [True, False]:
        add("padded", (2, 3, 5, 6), window((3, 3), (2, 2), pads=(1, 1, 1, 1)), counts_padding)
        add("ceil", (1, 3, 5, 8), window((2, 3), (2, 2), pads=(1, 1, 1, 1)), counts_padding, ceil=True)
        add("same", (1, 3, 5, 7), window((3, 2), (2, 3), pads="same"), counts_padding)
        add("uneven_padding", (1, 3, 4, 5), window((2, 3), (1, 2), pads=(0, 1, 1, 0)), counts_padding)
        add("one_pixel", (2, 4, 1, 1), window((3, 3), pads=(1, 1, 1, 1)), counts_padding)
        add("signal", (2, 4, 1, 9), window((1, 3), (1, 2), pads=(0, 1, 0, 1)), counts_padding)
    add("2x2", (2, 3, 4, 6), window((2, 2), (2, 2)))
    add("dilated", (1, 3, 6, 7), window((2, 3), (1, 2), (3, 2), (1, 1, 0, 1)))
    add("stride_beyond_kernel", (1, 3, 5, 7), window((2, 1), (3, 2)))
    add("of_many_channels", (1, 35, 3, 4), window((2, 2), (1, 2)))
    add("reflect", (1, 3, 4, 5), window((3, 3), (2, 1), pads=(1, 1, 1, 1), mode="reflect"))


def pools():
    family = Family("pool")
    max_pools(family)
    mean_pools(family)
    adaptive = {"max": F.adaptive_max_pool2d, "avg": F.adaptive_avg_pool2d}
    for kind, pool in adaptive.items():
        for name, x, out in [
            ("divides", (2, 3, 4, 6), (2, 3)),
            ("does_not_divide", (2, 3, 5, 7), (3, 4)),
            ("grows", (1, 3, 2, 3), (5, 4)),
            ("one_position", (1, 4, 3, 5), (1, 1)),
            ("signal", (2, 3, 1, 7), (1, 3)),
        ]:
            op = {"adaptive_pool": {"kind": kind, "out": out}}
            family.add(f"adaptive_{kind}_{name}", op, [x], lambda x, pool=pool, out=out: pool(x, out))
        for squeeze, x in itertools.product([True, False], [(2, 5, 3, 4)]):
            name = f"global_{kind}_{'vector' if squeeze else 'map'}"
            run = lambda x, pool=pool, squeeze=squeeze: pool(x, 1).flatten(1) if squeeze else pool(x, 1)
            family.add(name, {"global_pool": {"kind": kind, "squeeze": squeeze}}, [x], run)
    op = {"global_pool": {"kind": "max", "squeeze": True}}
    family.add("global_max_ties", op, [ties(2, 3, 4, 5)], lambda x: F.adaptive_max_pool2d(x, 1).flatten(1))
    lp_and_blur_pools(family)
    family.save()


def lp_and_blur_pools(family):
    def add(name, p, x, of, ceil=False, positive=False):
        def run(x):
            # PyTorch has no padding here, and with ceil_mode scales up windows that reach over the end; those hold zeros for us.
            x = F.pad(padded(x, of), (0, of["stride"][1] - 1, 0, of["stride"][0] - 1)) if ceil else padded(x, of)
            return F.lp_pool2d(x, p, of["kernel"], of["stride"])

        if positive:
            x = torch.rand(x, generator=torch.Generator().manual_seed(1)) + 0.1
        family.add(f"lp_{name}", {"lp_pool": {"p": p, "window": of, "ceil": ceil}}, [x], run)

    add("2", 2.0, (2, 3, 5, 6), window((2, 3), (2, 1)))
    add("2_padded", 2.0, (1, 3, 4, 5), window((3, 3), (2, 2), pads=(1, 1, 1, 1)))
    add("2_ceil", 2.0, (1, 3, 5, 6), window((2, 3), (2, 2)), ceil=True)
    add("2_same", 2.0, (1, 3, 5, 6), window((3, 2), (2, 2), pads="same"))
    add("3", 3.0, (1, 3, 4, 5), window((2, 2), (1, 2)), positive=True)
    add("1", 1.0, (1, 3, 4, 5), window((2, 3)), positive=True)
    add("one_and_a_half", 1.5, (1, 3, 4, 5), window((3, 2)), positive=True)
    add("4", 4.0, (1, 19, 3, 4), window((2, 2)))
    add("2_signal", 2.0, (1, 3, 1, 9), window((1, 3), (1, 2), pads=(0, 1, 0, 1)))

    def blur(name, x, filt, stride, mode):
        module = timm.layers.BlurPool2d(None, filt, stride, {"zeros": "constant"}.get(mode, mode)).double()
        (p,) = set(module.padding)
        of = window((filt, filt), (stride, stride), pads=(p, p, p, p), mode=mode)
        family.add(f"blur_{name}", {"blur_pool": {"window": of}}, [x], module)

    blur("3", (2, 3, 5, 6), 3, 2, "reflect")
    blur("3_even_size", (1, 3, 6, 4), 3, 2, "reflect")
    blur("5", (1, 3, 6, 7), 5, 2, "reflect")
    blur("4", (1, 3, 5, 6), 4, 2, "reflect")
    blur("3_stride_1", (1, 3, 4, 5), 3, 1, "reflect")
    blur("3_zeros", (1, 3, 4, 5), 3, 2, "zeros")
    blur("5_replicate", (1, 3, 2, 3), 5, 2, "replicate")
    blur("3_of_many_channels", (1, 35, 3, 4), 3, 2, "reflect")


def around():
    """Resizing and padding."""
    family = Family("around")
    modes = {
        "nearest": {"mode": "nearest"},
        "bilinear": {"mode": "bilinear", "align_corners": False},
        "bilinear_aligned": {"mode": "bilinear", "align_corners": True},
        "bicubic": {"mode": "bicubic", "align_corners": False},
    }
    for (mode, options), (name, x, out) in itertools.product(
        modes.items(),
        [
            ("up", (2, 3, 3, 4), (7, 6)),
            ("double", (1, 3, 2, 3), (4, 6)),
            ("down", (1, 3, 6, 9), (4, 2)),
            ("up_and_down", (1, 17, 2, 5), (5, 2)),
            ("to_one_position", (1, 3, 3, 4), (1, 1)),
            ("of_one_pixel", (1, 3, 1, 1), (2, 3)),
        ],
    ):
        run = lambda x, out=out, options=options: F.interpolate(x, out, **options)
        family.add(f"{mode}_{name}", {"resize": {"out": out, "mode": mode}}, [x], run)
    for mode, (name, x, of) in itertools.product(
        ["zeros", "reflect", "replicate", "circular"],
        [("uneven", (2, 3, 3, 4), (1, 2, 0, 3)), ("far", (1, 3, 4, 3), (3, 2, 3, 2)), ("one_side", (1, 17, 2, 3), (0, 0, 1, 0))],
    ):
        op = {"pad": {"sides": of, "mode": mode}}
        family.add(f"pad_{mode}_{name}", op, [x], lambda x, of=of, mode=mode: pad(x, of, mode))
    family.save()


def norms():
    family = Family("norm")

    def batch_norm(name, x, eps=1e-5, momentum=0.1, seen=None, trained=True):
        c = x.shape[1] if torch.is_tensor(x) else x[1]
        generator = torch.Generator().manual_seed(c)
        variance = torch.rand(c, generator=generator) + 0.5
        params = {"weight": (c,), "bias": (c,), "running_mean": (c,), "running_var": variance}
        if seen is not None:
            params["num_batches_tracked"] = torch.tensor([float(seen)])

        def run(x, weight, bias, running_mean, running_var, num_batches_tracked=None):
            share = momentum if num_batches_tracked is None else 1 / (num_batches_tracked.item() + 1)
            evaluated = F.batch_norm(x, running_mean, running_var, weight, bias, False, 0.0, eps)
            if not trained:
                return evaluated
            updated = {"updated_running_mean": running_mean.clone(), "updated_running_var": running_var.clone()}
            y = F.batch_norm(x, *updated.values(), weight, bias, True, share, eps)
            if num_batches_tracked is not None:
                updated["updated_num_batches_tracked"] = num_batches_tracked + 1
            return y, updated | {"evaluated": evaluated}

        family.add(f"batch_{name}", {"batch_norm": {"eps": eps, "momentum": momentum}}, [x], run, params, trained)

    constant = torch.randn(3, 4, 3, 2, generator=torch.Generator().manual_seed(2))
    constant[:, 1] = 0.75
    batch_norm("train", (3, 4, 4, 5))
    batch_norm("train_one_image", (1, 5, 2, 3), eps=1e-3)
    batch_norm("train_two_values", (2, 3, 1, 1), eps=0.1)
    batch_norm("train_of_many_channels", (2, 35, 2, 2))
    batch_norm("train_far_from_zero", torch.randn(3, 4, 4, 5, generator=torch.Generator().manual_seed(3)) + 20)
    batch_norm("train_off_center", torch.randn(8, 3, 4, 2, generator=torch.Generator().manual_seed(4)) + 6)
    batch_norm("train_constant_channel", constant, eps=1e-3)
    batch_norm("train_last_batch_only", (2, 3, 2, 3), momentum=1.0)
    batch_norm("train_vector", (6, 5))
    batch_norm("cumulative_first", (2, 3, 2, 3), momentum=None, seen=0)
    batch_norm("cumulative_third", (2, 3, 3, 2), momentum=None, seen=2)
    batch_norm("frozen", (2, 4, 4, 5), trained=False)
    batch_norm("frozen_one_value", (1, 5, 1, 1), eps=1e-3, trained=False)
    batch_norm("frozen_vector", (3, 5), trained=False)

    affine = lambda c: {"weight": (c,), "bias": (c,)}
    for name, x, groups in [
        ("2", (2, 4, 3, 5), 2),
        ("whole", (2, 3, 4, 3), 1),
        ("channels", (1, 5, 3, 4), 5),
        ("of_many_channels", (1, 36, 2, 3), 3),
        ("one_pixel", (2, 6, 1, 1), 2),
    ]:
        run = lambda x, weight, bias, groups=groups: F.group_norm(x, groups, weight, bias, 1e-5)
        family.add(f"group_{name}", {"group_norm": {"groups": groups, "eps": 1e-5}}, [x], run, affine(x[1]))

    last = lambda x, f: f(x.movedim(1, -1)).movedim(-1, 1)
    for name, x in [("map", (2, 6, 3, 4)), ("of_many_channels", (1, 35, 2, 3)), ("vector", (3, 7))]:
        run = lambda x, weight, bias: last(x, lambda x: F.layer_norm(x, weight.shape, weight, bias, 1e-6))
        family.add(f"layer_{name}", {"layer_norm": {"eps": 1e-6}}, [x], run, affine(x[1]))
    for name, x in [("map", (2, 5, 3, 4)), ("of_many_channels", (1, 35, 2, 3)), ("vector", (3, 7))]:
        run = lambda x, gamma: last(x, lambda x: x * gamma)
        family.add(f"channel_scale_{name}", "channel_scale", [x], run, {"gamma": (x[1],)})
    family.save()


ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "hard_swish": F.hardswish,
    # Its own kernel multiplies by a sixth that is rounded to float32, in float64 too.
    "hard_sigmoid": lambda x: F.relu6(x + 3) / 6,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.125),
    "mish": F.mish,
}


def pointwise():
    """Activations, and arithmetic on equal extents."""
    family = Family("pointwise")
    # From -8 to 8 in steps of an eighth, so with every corner: -3, 0, 3 and 6.
    corners = torch.arange(-64, 65).div(8)[:128].reshape(2, 4, 4, 4).transpose(1, 3).contiguous()
    extremes = torch.tensor([-1e3, -120.0, -90.0, -25.0, -1e-4, 1e-4, 25.0, 90.0, 120.0, 1e3]).reshape(1, 10)
    for name, f in ACTIVATIONS.items():
        op = {"activation": {"leaky_relu": {"slope": 0.125}} if name == "leaky_relu" else name}
        family.add(name, op, [corners], f)
        family.add(f"{name}_drawn", op, [(1, 19, 2, 3)], f)
        family.add(f"{name}_extremes", op, [extremes], f)
    prelu = {"activation": "p_relu"}
    family.add("prelu", prelu, [(2, 4, 3, 5)], F.prelu, {"weight": (4,)})
    family.add("prelu_corners", prelu, [corners], F.prelu, {"weight": (4,)})
    family.add("prelu_of_many_channels", prelu, [(1, 35, 2, 3)], F.prelu, {"weight": (35,)})
    family.add("prelu_vector", prelu, [(3, 5)], F.prelu, {"weight": (5,)})
    family.add("prelu_one_slope", prelu, [(2, 4, 3, 2)], F.prelu, {"weight": (1,)})
    for name, x in [("map", (2, 3, 4, 5)), ("vector", (3, 7)), ("of_many_channels", (1, 35, 2, 3))]:
        family.add(f"add_{name}", "add", [x, x], torch.add)
        family.add(f"mul_{name}", "mul", [x, x], torch.mul)
        family.add(f"scale_{name}", {"scale": {"factor": -0.375}}, [x], lambda x: x * -0.375)
    family.add("gate", "mul", [(2, 5, 3, 4), (2, 5, 1, 1)], torch.mul)
    family.add("gate_of_many_channels", "mul", [(2, 35, 2, 2), (2, 35, 1, 1)], torch.mul)
    family.save()


def mixing():
    """What moves channels or positions, linear layers, attention."""
    family = Family("mixing")
    cat = lambda *xs: torch.cat(xs, 1)
    family.add("concat", "concat", [(2, 3, 3, 4), (2, 5, 3, 4)], cat)
    family.add("concat_three", "concat", [(1, 17, 2, 3), (1, 1, 2, 3), (1, 4, 2, 3)], cat)
    family.add("concat_vectors", "concat", [(3, 2), (3, 5)], cat)
    for name, start, length in [("first", 0, 2), ("middle", 1, 3), ("last", 4, 1), ("all", 0, 5)]:
        op = {"slice": {"start": start, "len": length}}
        run = lambda x, start=start, length=length: x[:, start : start + length]
        family.add(f"slice_{name}", op, [(2, 5, 3, 2)], run)
    family.add("slice_vector", {"slice": {"start": 2, "len": 3}}, [(3, 7)], lambda x: x[:, 2:5])
    for c, groups in [(6, 2), (6, 3), (20, 4), (3, 1)]:
        run = lambda x, groups=groups: F.channel_shuffle(x, groups)
        family.add(f"shuffle_{c}_{groups}", {"shuffle": {"groups": groups}}, [(2, c, 2, 3)], run)
    family.add("flatten", "flatten", [(2, 3, 3, 4)], lambda x: x.flatten(1))
    family.add("flatten_one_pixel", "flatten", [(2, 5, 1, 1)], lambda x: x.flatten(1))
    for name, x, out, bias in [
        ("linear", (3, 5), 4, True),
        ("linear_without_bias", (2, 6), 3, False),
        ("linear_of_many_channels", (2, 37), 19, True),
        ("linear_one_row", (1, 18), 1, True),
    ]:
        params = {"weight": (out, x[1])} | ({"bias": (out,)} if bias else {})
        family.add(name, {"linear": {"out": out}}, [x], F.linear, params)

    def attention(name, q, k, v, heads, kv_heads, scale):
        def run(q, k, v):
            split = lambda x, heads: x.flatten(2).unflatten(1, (heads, -1)).transpose(2, 3)
            q, k, v, size = split(q, heads), split(k, kv_heads), split(v, kv_heads), q.shape[2:]
            y = F.scaled_dot_product_attention(q, k, v, scale=scale, enable_gqa=True)
            return y.transpose(2, 3).flatten(1, 2).unflatten(2, size)

        op = {"attention": {"heads": heads, "kv_heads": kv_heads, "scale": scale}}
        family.add(f"attention_{name}", op, [q, k, v], run)

    attention("one_head", (2, 5, 3, 2), (2, 5, 3, 2), (2, 4, 3, 2), 1, 1, 0.5)
    attention("heads", (2, 6, 2, 3), (2, 6, 2, 3), (2, 4, 2, 3), 2, 2, 0.25)
    attention("multi_query", (1, 12, 3, 4), (1, 3, 2, 3), (1, 5, 2, 3), 4, 1, 0.5)
    attention("grouped_query", (1, 8, 2, 2), (1, 4, 3, 2), (1, 6, 3, 2), 4, 2, 0.5)
    attention("one_key", (1, 4, 2, 3), (1, 4, 1, 1), (1, 6, 1, 1), 2, 2, 1.0)
    attention("sharp", (1, 4, 2, 3), (1, 4, 2, 3), (1, 4, 2, 3), 1, 1, 8.0)
    attention("of_many_channels", (1, 40, 2, 2), (1, 40, 2, 3), (1, 36, 2, 3), 2, 2, 0.2)
    family.save()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for family in [convolutions, transposed, pools, around, norms, pointwise, mixing]:
        family()
