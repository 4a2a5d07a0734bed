# SPDX-License-Identifier: MIT
"""peers.py - the time of one forward pass, batch 1, of the same network by guided and by others, in turn: every peer
lives in a process of its own and sleeps while another works. A turn is one pass untimed and the median of three; the
table has the median over the rounds, and how far the peer's output is from PyTorch's in float32 (largest difference /
largest value)."""
import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PASSES = 3


# Each maker gives a function without arguments that computes the output: a tensor or an array.

def torch_peer(job, dtype, layout, compiled=False):
    import torch

    model, inputs = job.model.to(dtype), [v.to(dtype) if v.dim() == 4 else v for v in job.inputs]
    if layout == "channels_last":
        model, inputs[0] = model.to(memory_format=torch.channels_last), inputs[0].to(memory_format=torch.channels_last)
    if compiled:
        import torch._inductor.config

        torch._inductor.config.freezing = True  # weights are constants, packed once
        model = torch.compile(model)
    return lambda: model(*inputs)


def onnxruntime_peer(job):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = job.threads, 1
    session = onnxruntime.InferenceSession(job.onnx, options, providers=["CPUExecutionProvider"])
    feed = {node.name: value.numpy() for node, value in zip(session.get_inputs(), job.inputs)}
    return lambda: session.run(None, feed)[0]


def openvino_peer(job, precision):
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(job.onnx), "CPU", {
        "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": job.threads, "PERFORMANCE_HINT": "LATENCY"})
    request, feed = compiled.create_infer_request(), [v.numpy() for v in job.inputs]
    return lambda: request.infer(feed)[0]


def peers():
    def torch_of(*args):
        return lambda job: torch_peer(job, getattr(job.torch, args[0]), *args[1:])

    return {
        "torch": torch_of("float32", "contiguous"),
        "torch-nhwc": torch_of("float32", "channels_last"),
        "torch-bf16": torch_of("bfloat16", "channels_last"),
        "torch-compile": torch_of("float32", "channels_last", True),
        "torch-compile-bf16": torch_of("bfloat16", "channels_last", True),
        "onnxruntime": onnxruntime_peer,
        "openvino": lambda job: openvino_peer(job, "f32"),
        "openvino-bf16": lambda job: openvino_peer(job, "bf16"),
    }


GUIDED = {"guided": "fp32", "guided-bf16": "bf16"}


class Job:
    """The network, its inputs, and what may be used; made in each process."""

    def __init__(self, folder, threads):
        import torch

        import adm

        torch.set_num_threads(threads)
        self.torch, self.threads, self.onnx = torch, threads, str(folder / "model.onnx")
        self.model, config = adm.load(str(folder / "model.safetensors"))
        generator = torch.Generator().manual_seed(0)
        size = config["image_size"]
        self.inputs = [torch.randn(1, config["in_channels"], size, size, generator=generator), torch.tensor([500])]
        if config["num_classes"]:
            self.inputs.append(torch.tensor([7]))


def export(folder, threads, pipe):
    try:
        job = Job(folder, threads)
        job.torch.onnx.export(job.model, tuple(job.inputs), job.onnx, dynamo=True, external_data=True, verbose=False)
        pipe.send(None)
    except Exception as error:
        pipe.send(reason(error))


def serve(name, folder, threads, pipe):
    """Says None and the deviation when ready, or why not; then gives the time of a turn for each thing it is sent."""
    try:
        job = Job(folder, threads)
        with job.torch.no_grad():
            want = job.model(*job.inputs)
            run = peers()[name](job)
            got = job.torch.as_tensor(run()).float()
            pipe.send((None, ((got - want).abs().max() / want.abs().max()).item()))
            while pipe.recv():
                run()
                pipe.send(statistics.median(timed(run) for _ in range(PASSES)))
    except Exception as error:
        pipe.send((reason(error), None))


def timed(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def reason(error):
    return f"{type(error).__name__}: {error}".strip().split("\n")[0][:160]


def start(target, *args):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*args, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def answer(process, pipe):
    """What a process sends; a RuntimeError if it ended without a word."""
    try:
        return pipe.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"its process ended with status {process.exitcode}") from None


def guided_turn(args, name):
    command = [args.guided, "bench", "--preset", args.preset, "--json", "--threads", str(args.threads),
               "--precision", GUIDED[name]]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["forward_s"]


def begin(args, folder):
    """The peers that work, and the deviation of each.  Those that do not are named."""
    alive, deviation = {}, {}
    exported = None
    if any(name.startswith(("onnx", "openvino")) for name in args.peers):
        try:
            exported = answer(*start(export, folder, args.threads))
        except RuntimeError as error:
            exported = str(error)
    for name in args.peers:
        if name in GUIDED:
            alive[name] = None
            continue
        if exported and name.startswith(("onnx", "openvino")):
            skip(name, f"no ONNX file: {exported}")
            continue
        child = start(serve, name, folder, args.threads)
        try:
            why, deviation[name] = answer(*child)
        except RuntimeError as error:
            why = str(error)
        if why:
            skip(name, why)
        else:
            alive[name] = child
    return alive, deviation


def skip(name, why):
    print(f"skipped: {name}: {why}", file=sys.stderr)


def turn(args, name, child):
    if name in GUIDED:
        return guided_turn(args, name)
    child[1].send(True)
    seconds = answer(*child)
    if isinstance(seconds, tuple):
        raise RuntimeError(seconds[0])
    return seconds


def measure(args, alive):
    seconds = {name: [] for name in alive}
    for _ in range(args.rounds):
        for name in list(alive):
            try:
                seconds[name].append(turn(args, name, alive[name]))
            except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
                skip(name, reason(error))
                del alive[name], seconds[name]
    return {name: statistics.median(values) for name, values in seconds.items() if values}


def print_table(args, median, deviation):
    base = median.get("guided")
    print(f"{args.preset}, batch 1, threads {args.threads}, median of {args.rounds} rounds\n")
    print("| | forward, s | / guided | deviation |\n| --- | --- | --- | --- |")
    for name, seconds in median.items():
        ratio = f"{seconds / base:.2f}" if base else "-"
        far = f"{deviation[name]:.1e}" if name in deviation else "-"
        print(f"| {name} | {seconds:.4f} | {ratio} | {far} |")


def arguments():
    names = [*GUIDED, *peers()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="64x64_diffusion")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=",".join(names), help="a list with commas; default: all")
    parser.add_argument("--guided", default=str(Path(__file__).resolve().parents[2] / "build/guided"))
    args = parser.parse_args()
    args.peers = args.peers.split(",")
    unknown = [name for name in args.peers if name not in names]
    if unknown or args.rounds < 1 or args.threads < 1:
        parser.error(f"no peer is called {', '.join(unknown)}" if unknown else "at least one round, one thread")
    return args


def main():
    args = arguments()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # before a child loads OpenMP
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([args.guided, "init", "--preset", args.preset, "--synthetic", "-q",
                        str(folder / "model.safetensors")], check=True)
        alive, deviation = begin(args, folder)
        print_table(args, measure(args, alive), deviation)
        for child in filter(None, alive.values()):
            child[1].send(False)
            child[0].join()


if __name__ == "__main__":
    main()
