#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""torchscript_file.py IN OUT: arrays of a safetensors file as torch.jit.save would write the modules
that hold them (a zip of data.pkl, data/N, code/ and constants.pkl; pickle protocol 2)."""
import json
import struct
import sys
import zipfile

source, target = sys.argv[1:3]
with open(source, "rb") as file:
    raw = file.read()
(length,) = struct.unpack("<Q", raw[:8])
arrays = {k: v for k, v in json.loads(raw[8:8 + length]).items() if k != "__metadata__"}
data = memoryview(raw)[8 + length:]

tree = {}
for number, (name, array) in enumerate(arrays.items()):
    *path, leaf = name.split(".")
    module = tree
    for part in path:
        module = module.setdefault(part, {})
    module[leaf] = (number, array["shape"], {"F32": "Float", "F16": "Half"}[array["dtype"]])


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integer(value):
    return b"J" + struct.pack("<i", value)


def row(values):
    return b"(" + b"".join(integer(v) for v in values) + b"t"


def tensor(number, shape, dtype):
    count, strides = 1, []
    for side in reversed(shape):
        strides.insert(0, count)
        count *= side
    storage = (b"(" + text("storage") + b"ctorch\n" + dtype.encode() + b"Storage\n" + text(str(number)) + text("cpu")
               + integer(count) + b"tQ")
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(0) + row(shape) + row(strides)
            + b"\x89ccollections\nOrderedDict\n)RtR")


def module(children, name):
    state = text("training") + b"\x89" + text("_is_full_backward_hook") + b"N"
    state += text("strides") + b"ctorch.jit._pickle\nbuild_intlist\n(](" + integer(1) + integer(2) + b"etR"
    for key, child in children.items():
        state += text(key) + (module(child, key) if isinstance(child, dict) else tensor(*child))
    return b"c__torch__.torch_utils.ops.a_rather_long_name_of_a_module_of_" + name.encode() + (
        b"\nModule\n)\x81}(" + state + b"ub")


with zipfile.ZipFile(target, "w") as archive:
    archive.writestr("inception/data.pkl", b"\x80\x02" + module(tree, "net") + b".")
    archive.writestr("inception/code/__torch__.py", "raise SystemExit('a program that nobody runs')\n")
    archive.writestr("inception/constants.pkl", b"\x80\x02).")
    archive.writestr("inception/version", "3\n")
    for number, array in enumerate(arrays.values()):
        begin, end = array["data_offsets"]
        archive.writestr(f"inception/data/{number}", bytes(data[begin:end]))
