"""A peer of inference, float32: OpenVINO, ONNX Runtime, PyTorch eager channels-last, torch.compile channels-last.

python infer.py CONTESTANT MODEL BATCH SIZE THREADS [ONNX]   CONTESTANT: openvino, onnxruntime, torch or compile
python infer.py export     MODEL BATCH SIZE THREADS ONNX     writes ONNX, which openvino and onnxruntime read
"""
import os
import sys

import contestant

what, name, batch, size, threads = sys.argv[1:6]
onnx_path = sys.argv[6] if len(sys.argv) > 6 else None
batch, size, threads = int(batch), int(size), int(threads)


def export():
    import torch
    torch.manual_seed(0)
    model = contestant.network(name).eval()
    aside = f"{onnx_path}.{os.getpid()}"
    xs = torch.randn(batch, 3, size, size)
    torch.onnx.export(model, xs, aside, dynamo=False, opset_version=17, input_names=["xs"], output_names=["logits"])
    os.replace(aside, onnx_path)
    contestant.answer(parameters=contestant.parameters(model))


def images():
    import numpy
    return numpy.random.default_rng(0).standard_normal((batch, 3, size, size), dtype=numpy.float32)


def openvino():
    import openvino as ov
    core = ov.Core()
    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(onnx_path), "CPU", options)
    request, xs = compiled.create_infer_request(), images()
    request.set_input_tensor(ov.Tensor(xs, shared_memory=True))
    contestant.serve(request.infer, version=ov.__version__.split("-")[0])


def onnxruntime():
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])
    xs = images()
    contestant.serve(lambda: session.run(None, {"xs": xs}), version=ort.__version__)


def torch_eager(compiled=False):
    import torch
    torch.set_num_threads(threads)
    model = contestant.network(name).eval().to(memory_format=torch.channels_last)
    xs = torch.from_numpy(images()).to(memory_format=torch.channels_last)
    forward = torch.compile(model) if compiled else model

    def once():
        with torch.inference_mode():
            forward(xs)
    if compiled:
        once()
    contestant.serve(once, version=torch.__version__, parameters=contestant.parameters(model))


{
    "export": export,
    "openvino": openvino,
    "onnxruntime": onnxruntime,
    "torch": torch_eager,
    "compile": lambda: torch_eager(compiled=True),
}[what]()
