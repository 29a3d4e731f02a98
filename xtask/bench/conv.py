"""A peer of single convolutions: PyTorch, eager, the output or the gradients of input and weight.

python conv.py CONTESTANT PASS BATCH SIZE IN OUT KERNEL STRIDE DILATION GROUPS THREADS

CONTESTANT: channels_last or nchw; PASS: forward or backward. Says some values of its results, which must be ours.
"""
import sys

import contestant

what, which = sys.argv[1:3]
batch, size, in_channels, out_channels, kernel, stride, dilation, groups, threads = map(int, sys.argv[3:12])
padding = dilation * (kernel - 1) // 2
PROBES = 64


def values(length, seed):
    """Values from -1 to 1 that look random: a hash of the index and of the seed, as in xtask/src/bench/conv/passes.rs."""
    import numpy
    code = numpy.arange(length, dtype=numpy.uint32) ^ numpy.uint32(seed << 29)
    code = (code ^ (code >> numpy.uint32(16))) * numpy.uint32(0x85EBCA6B)
    code = (code ^ (code >> numpy.uint32(13))) * numpy.uint32(0xC2B2AE35)
    code ^= code >> numpy.uint32(16)
    return (code >> numpy.uint32(8)).astype(numpy.float32) / numpy.float32(1 << 23) - numpy.float32(1)


def images(n, h, w, c, seed):
    """A tensor (n, c, h, w) of values counted with the channels last, in the contestant's layout."""
    xs = torch.from_numpy(values(n * h * w * c, seed).reshape(n, h, w, c)).permute(0, 3, 1, 2)
    return xs.contiguous(memory_format=layout)


def probe(tensor):
    flat = tensor.detach().reshape(-1)
    return [flat[at * flat.numel() // PROBES].item() for at in range(PROBES)]


def forward():
    global results
    with torch.no_grad():
        results = [torch.nn.functional.conv2d(xs, weight, None, stride, padding, dilation, groups)]


def backward():
    global results
    results = torch.autograd.grad(y, (xs, weight), dy, retain_graph=True)


import torch

torch.set_num_threads(threads)
layout = torch.channels_last if what == "channels_last" else torch.contiguous_format
out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
xs = images(batch, size, size, in_channels, 0)
shape = (out_channels, in_channels // groups, kernel, kernel)
weight = torch.from_numpy(values(out_channels * in_channels // groups * kernel ** 2, 1).reshape(shape))
weight = weight.contiguous(memory_format=layout)
if which == "forward":
    once = forward
    once()
    probes = [probe(results[0].permute(0, 2, 3, 1))]
else:
    xs.requires_grad_()
    weight.requires_grad_()
    y = torch.nn.functional.conv2d(xs, weight, None, stride, padding, dilation, groups)
    dy = images(batch, out, out, out_channels, 2)
    once = backward
    once()
    probes = [probe(results[0].permute(0, 2, 3, 1)), probe(results[1].contiguous())]
contestant.serve(once, version=torch.__version__, probes=probes)
