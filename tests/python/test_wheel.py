# SPDX-License-Identifier: MIT
"""The wheel: whole, the same bytes twice, with the library beside the module and found there; without a library, said so."""
import base64
import hashlib
import os
import subprocess
import sys
import tempfile
import unittest
import zipfile

sys.path.insert(0, os.path.join(os.environ["GUIDED_SOURCE_DIR"], "python"))
import wheel_backend  # noqa: E402


def run(folder, code, **variables):
    kept = {name: value for name, value in os.environ.items() if name not in ("GUIDED_LIBRARY", "GUIDED_MODELS")}
    return subprocess.run([sys.executable, "-c", code], env={**kept, "PYTHONPATH": folder, **variables}, cwd=folder,
                          capture_output=True, text=True)


class Wheel(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_it_is_whole_and_works(self):
        name = wheel_backend.build_wheel(self.folder)
        path = os.path.join(self.folder, name)
        with open(path, "rb") as file:
            first = file.read()
        self.assertEqual(wheel_backend.build_wheel(self.folder), name)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), first)
        self.assertRegex(name, r"^guided_adm-[0-9.]+-py3-none-linux_\w+\.whl$")
        with zipfile.ZipFile(path) as wheel:
            record = [entry for entry in wheel.namelist() if entry.endswith("RECORD")][0]
            for line in wheel.read(record).decode().splitlines():
                entry, digest, size = line.rsplit(",", 2)
                if digest:
                    data = wheel.read(entry)
                    self.assertEqual(digest[7:], base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("="))
                    self.assertEqual(int(size), len(data))
            wheel.extractall(os.path.join(self.folder, "site"))
        site = os.path.join(self.folder, "site")
        done = run(site, "import guided; print(guided._lib._name); print(guided.version())")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[0], os.path.join(site, "guided_adm.libs", "libguided.so.0"))
        flags = dict(kind="diffusion", synthetic=True, image_size=32, num_channels=32, num_res_blocks=1, channel_mult="1,2",
                     attention_resolutions="16", class_cond=True, quiet=True)
        done = run(site, f"import guided; guided.init('x.safetensors', **{flags!r}); print(guided.open('x.safetensors').class_names[207]);"
                         "print(guided.models()[0]['name'])")
        self.assertEqual(done.stdout.splitlines(), ["golden retriever", "fashion32"], done.stderr)

    def test_no_library_is_said(self):
        done = run(self.folder, "import guided", PYTHONPATH=os.path.join(os.environ["GUIDED_SOURCE_DIR"], "python"),
                   GUIDED_LIBRARY="/nonexistent/libguided.so")
        self.assertIn("ImportError: libguided cannot be loaded: /nonexistent/libguided.so", done.stderr)
        self.assertIn("hint: install guided, or set GUIDED_LIBRARY", done.stderr)


if __name__ == "__main__":
    unittest.main()
