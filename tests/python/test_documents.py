# SPDX-License-Identifier: MIT
"""The examples of docs/python.md and of the README run, in the order in which they stand, in a folder of their own."""
import os
import re
import tempfile
import unittest

SOURCE = os.environ["GUIDED_SOURCE_DIR"]


def examples(name):
    with open(os.path.join(SOURCE, name), encoding="utf-8") as file:
        text = file.read()
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S):
        yield text[:found.start()].count("\n") + 2, found.group(1)


class Documents(unittest.TestCase):
    def run_examples(self, name):
        before, space = os.getcwd(), {"__name__": "example"}
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            os.symlink(os.path.join(SOURCE, "models"), "models")
            try:
                found = list(examples(name))
                for line, code in found:
                    exec(compile("\n" * (line - 1) + code, name, "exec"), space)
            finally:
                os.chdir(before)
        self.assertTrue(found, name)

    def test_python(self):
        self.run_examples("docs/python.md")

    def test_readme(self):
        self.run_examples("README.md")


if __name__ == "__main__":
    unittest.main()
