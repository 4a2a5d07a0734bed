# SPDX-License-Identifier: MIT
"""Builds the wheel of guided.py (PEP 517) without other packages: the module, and where ../build has it the shared library
with the built-in models. scripts/wheel makes of this one that carries Debian's libraries too."""
import base64
import hashlib
import os
import re
import sysconfig
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
NAME = "guided_adm"


def _read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def _version():
    return re.search(r'GUIDED_VERSION "([^"]+)"', _read(ROOT, "include", "guided.h").decode()).group(1)


def _contents():
    """(name in the wheel, bytes) of the module and the library"""
    yield "guided.py", _read(HERE, "guided.py")
    library = os.environ.get("GUIDED_LIBRARY") or os.path.join(ROOT, "build", "libguided.so.0")
    if not os.path.exists(library):
        return
    yield NAME + ".libs/libguided.so.0", _read(library)
    for path in filter(None, os.environ.get("GUIDED_WHEEL_LIBRARIES", "").split(":")):
        yield f"{NAME}.libs/{os.path.basename(path)}", _read(path)
    yield f"{NAME}.libs/models/imagenet_classes.txt", _read(ROOT, "data", "imagenet_classes.txt")     # where GUIDED_MODELS finds it
    for folder, _, files in sorted(os.walk(os.path.join(ROOT, "models"))):
        for name in sorted(files):
            yield f"{NAME}.libs/models/{os.path.basename(folder)}/{name}", _read(folder, name)


def _metadata(version):
    return (f"Metadata-Version: 2.1\nName: guided-adm\nVersion: {version}\n"
            "Summary: Diffusion models of the ADM family on CPUs: sampling, evaluation, training\n"
            "License: MIT\nRequires-Python: >=3.9\nRequires-Dist: numpy>=1.20\n")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    version, contents = _version(), list(_contents())
    native = len(contents) > 1
    tag = "py3-none-" + (re.sub(r"\W", "_", sysconfig.get_platform()) if native else "any")
    info = f"{NAME}-{version}.dist-info/"
    contents += [(info + "METADATA", _metadata(version).encode()), (info + "LICENSE", _read(ROOT, "LICENSE")),
                 (info + "WHEEL", f"Wheel-Version: 1.0\nGenerator: guided\nRoot-Is-Purelib: {str(not native).lower()}\n"
                                  f"Tag: {tag}\n".encode())]
    rows = ["{},sha256={},{}\n".format(name, base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("="), len(data))
            for name, data in contents]
    contents.append((info + "RECORD", ("".join(rows) + info + "RECORD,,\n").encode()))
    wheel = f"{NAME}-{version}-{tag}.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in contents:      # the same bytes from the same files
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            file.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return wheel


def build_sdist(sdist_directory, config_settings=None):
    raise NotImplementedError("guided-adm is built from the repository: pip install ./python")
