# SPDX-License-Identifier: MIT
"""relink: tests of a build folder linked with some objects of the library made anew (scripts/coverage, scripts/mutation-test)"""
import json, os, re, resource, shlex, shutil, signal, subprocess

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def sources(*folders):
    return [f + '/' + name for f in folders for name in sorted(os.listdir(os.path.join(root, f))) if name.endswith('.c')]


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 30, 2 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def passes(words, cwd, env=None, timeout=600):
    """whether the command ends with 0 in time; the processes of its group end with it"""
    p = subprocess.Popen(words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         start_new_session=True, preexec_fn=limits)
    try:
        return p.wait(timeout) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        try:
            os.killpg(p.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        p.wait()


def compile_source(build, source, output, more='', copy=None):
    """the source (or `copy` in its place) as an object, without ccache and debug information; whether it compiles"""
    path = os.path.join(root, source)
    entry = next(c for c in json.load(open(os.path.join(build, 'compile_commands.json'))) if c['file'] == path)
    words = shlex.split(entry['command'])
    words = words[1:] if os.path.basename(words[0]) == 'ccache' else words
    words = [output if words[i - 1] == '-o' else copy or path if w == path else w for i, w in enumerate(words)]
    return passes(words + ['-g0', '-w', '-iquote', os.path.dirname(path)] + more.split(), build)


class Test:
    """A test of ctest's that is one program linked with libguided-internal.a"""
    def __init__(self, build, entry, scratch):
        self.build, self.name, self.words = build, entry['name'], entry['command']
        of = {p['name']: p['value'] for p in entry['properties']}
        self.cwd, self.scratch = of['WORKING_DIRECTORY'], scratch
        self.env = dict(os.environ, TMPDIR=scratch)
        self.env.update(e.split('=', 1) for e in of.get('ENVIRONMENT', []))
        self.program = self.words[0]

    def link(self, objects, output):
        """objects before the archive: the linker then never takes the archive's own"""
        target = os.path.relpath(self.program, self.build)
        lines = subprocess.run(['ninja', '-C', self.build, '-t', 'commands', target], check=True, stdout=subprocess.PIPE, text=True).stdout
        line = lines.splitlines()[-1].replace(' -o ' + target, ' -o ' + shlex.quote(output))
        line, n = re.subn(r'(\S*libguided-internal\.a)', lambda m: ' '.join(map(shlex.quote, objects)) + ' ' + m.group(), line, count=1)
        return n == 1 and passes(['sh', '-c', line], self.build)

    def run(self, program, timeout):
        shutil.rmtree(self.scratch, ignore_errors=True)
        os.makedirs(self.scratch)
        return passes([program] + self.words[1:], self.cwd, self.env, timeout)


def tests(build, pattern, scratch):
    """the tests whose names match, their programs built"""
    out = subprocess.run(['ctest', '--test-dir', build, '--show-only=json-v1', '-R', pattern], check=True, stdout=subprocess.PIPE).stdout
    found = [Test(build, t, scratch) for t in json.loads(out)['tests'] if 'command' in t]
    subprocess.run(['ninja', '-C', build] + sorted({os.path.relpath(t.program, build) for t in found}), check=True, stdout=subprocess.DEVNULL)
    return found
