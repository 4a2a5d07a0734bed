# SPDX-License-Identifier: MIT
"""Diffusion models of the ADM family on CPUs: sampling, denoising, evaluation and training by libguided.

    import guided
    model = guided.open("64x64_diffusion.pt")
    pixels = model.sample(16, class_=207, steps="ddim25", seed=7)    # uint8 [16, 64, 64, 3]

Arrays are numpy's; contiguous ones of the right type are shared with the library, others are copied. Work releases the
interpreter's lock, Ctrl-C ends it with KeyboardInterrupt, and failures raise guided.Error with the library's message.
"""
import _thread
import ctypes
import enum
import glob
import json
import logging
import os
import tempfile
import threading
import weakref

import numpy as np

__all__ = ["Context", "Error", "Features", "Model", "Preview", "Status", "Trainer", "compare", "compare_classes", "deepinv_denoiser",
           "evaluate", "find_copies", "frechet", "frechet_infinity", "inception_score", "open", "run", "solvers", "statistics",
           "torch_module", "vendi", "version"]


# ---- the library ----

def _library_files():
    """Where libguided may be, in order: GUIDED_LIBRARY; beside the module in a wheel, in the installation or the build tree
    that the module is part of; the system."""
    here = os.path.dirname(os.path.abspath(__file__))
    if os.environ.get("GUIDED_LIBRARY"):
        return [os.environ["GUIDED_LIBRARY"]]
    beside = sorted(glob.glob(os.path.join(here, "guided_adm.libs", "libguided.so*")))
    lib = os.path.join(here, "..", "..")        # of lib/python3/dist-packages
    own = [os.path.join(lib, "libguided.so.0"), *glob.glob(os.path.join(lib, "*-linux-gnu*", "libguided.so.0")),
           os.path.join(here, "..", "build", "libguided.so.0")]
    return beside + [path for path in own if os.path.exists(path)] + ["libguided.so.0"]


def _load():
    reasons = []
    for path in _library_files():
        try:
            return ctypes.CDLL(path)
        except OSError as reason:
            reasons.append(str(reason))
    raise ImportError("libguided cannot be loaded: " + "; ".join(reasons) +
                      "\nhint: install guided, or set GUIDED_LIBRARY to the path of libguided.so.0")


_lib = _load()
_models = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guided_adm.libs", "models")
if os.path.isdir(_models):          # of a wheel
    os.environ.setdefault("GUIDED_MODELS", _models)
_P, _INT, _I64, _DOUBLE, _TEXT, _BOOL, _SIZE = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_double,
                                               ctypes.c_char_p, ctypes.c_bool, ctypes.c_size_t)
_U64 = ctypes.c_uint64
_OUT = ctypes.POINTER(_P)
_LOG_FN = ctypes.CFUNCTYPE(None, _P, _INT, _TEXT)
_PROGRESS_FN = ctypes.CFUNCTYPE(_INT, _P, _I64, _INT, _INT, _INT)
_GRADIENT_FN = ctypes.CFUNCTYPE(_INT, _P, _P, ctypes.c_float, _I64, _P)


class _Option(ctypes.Structure):
    _fields_ = [("name", _TEXT), ("value", _TEXT)]


class _ModelInfo(ctypes.Structure):
    _fields_ = [("kind", _TEXT), ("preset", _TEXT), ("assumed", _TEXT), ("image_size", _INT), ("small_size", _INT),
                ("channels", _INT), ("classes", _INT), ("diffusion_steps", _INT), ("parameters", _I64),
                ("guidance_scale", _DOUBLE)]


class _FeaturesShape(ctypes.Structure):
    _fields_ = [(name, _INT) for name in ("width", "spatial", "classes", "channels", "height", "pixel_width")]


class _SetScores(ctypes.Structure):
    _fields_ = [(name, _DOUBLE) for name in ("precision", "recall", "density", "coverage", "kid", "kid_deviation")]


class _Training(ctypes.Structure):
    _fields_ = [("preset", _TEXT), ("channels", _INT), ("classes", _INT), ("pixels", _P), ("labels", _P), ("n", _I64),
                ("batch_size", _INT), ("learning_rate", _DOUBLE), ("ema", _DOUBLE), ("seed", _U64)]


class _Progress(ctypes.Structure):
    _fields_ = [("unit", _TEXT), ("done", _I64), ("total", _I64)]       # and more


class _Preview(ctypes.Structure):
    _fields_ = [("image", _I64), ("label", _I64), ("stage", _INT), ("call", _INT), ("calls", _INT), ("sigma", _DOUBLE),
                ("channels", _INT), ("height", _INT), ("width", _INT), ("x0", _P), ("gradient", _P), ("logits", _P),
                ("classes", _INT)]


_TEXT_EVENT, _PROGRESS_EVENT = ctypes.CFUNCTYPE(None, _P, _P, _SIZE), ctypes.CFUNCTYPE(None, _P, ctypes.POINTER(_Progress))
_PREVIEW_EVENT = ctypes.CFUNCTYPE(None, _P, ctypes.POINTER(_Preview))


class _Partial(ctypes.Structure):
    _fields_ = [("metric", _TEXT), ("samples", _I64), ("total", _I64), ("value", _DOUBLE), ("deviation", _DOUBLE)]


class _Array(ctypes.Structure):
    _fields_ = [("name", _TEXT), ("rank", _INT), ("dim", _I64 * 4), ("data", _P)]


_PARTIAL_EVENT, _ARRAY_EVENT = (ctypes.CFUNCTYPE(None, _P, ctypes.POINTER(kind)) for kind in (_Partial, _Array))


class _Events(ctypes.Structure):
    _fields_ = [("ctx", _P), ("text", _TEXT_EVENT), ("progress", _PROGRESS_EVENT), ("preview", _PREVIEW_EVENT), ("image", _P),
                ("data", _P), ("partial", _PARTIAL_EVENT), ("array", _ARRAY_EVENT)]


class _Networks(ctypes.Structure):
    _fields_ = [(name, _P) for name in ("model", "classifier", "uncond", "weaker")]


class _Nearest(ctypes.Structure):
    _fields_ = [("sample", _I64), ("ref", _I64), ("distance", _DOUBLE), ("ratio", _DOUBLE)]


class _Copies(ctypes.Structure):
    _fields_ = [("authenticity", _DOUBLE), ("median_ratio", _DOUBLE), ("nearest", _Nearest * 8), ("n_nearest", _INT)]


class _ClassScores(ctypes.Structure):
    _fields_ = [("label", _I64), ("n_ref", _I64), ("n_samples", _I64), ("distance", _DOUBLE), ("precision", _DOUBLE), ("recall", _DOUBLE)]


# name: result, arguments
for _name, (_result, *_arguments) in {
        "error": (_TEXT,), "version": (_TEXT,), "exit_status": (_INT, _INT),
        "context_open": (_INT, _OUT), "context_close": (None, _P), "context_set_threads": (None, _P, _INT),
        "context_threads": (_INT, _P), "context_set_memory_limit": (None, _P, _SIZE),
        "context_set_log": (None, _P, _LOG_FN, _P, _INT), "context_cancel": (None, _P, _BOOL),
        "model_open": (_INT, _OUT, _P, _TEXT, ctypes.POINTER(_Option), _INT), "model_close": (None, _P),
        "model_get_info": (None, ctypes.POINTER(_ModelInfo), _P), "model_class_name": (_TEXT, _P, _INT),
        "model_read_classes": (_INT, _P, _TEXT, _TEXT, _U64, _I64, _I64, _P),
        "model_config_json": (_INT, _P, _P, _SIZE, ctypes.POINTER(_SIZE)), "model_hash": (_INT, _P, _P),
        "sampler_open_networks": (_INT, _OUT, ctypes.POINTER(_Networks), ctypes.POINTER(_Option), _INT),
        "sampler_close": (None, _P),
        "sampler_options_json": (_TEXT,), "solvers_json": (_TEXT,),
        "sampler_set_progress": (None, _P, _PROGRESS_FN, _P), "sampler_set_gradient": (_INT, _P, _GRADIENT_FN, _P),
        "sampler_set_seed": (None, _P, _U64), "sampler_steps": (_INT, _P), "sampler_bytes": (_SIZE, _P),
        "sampler_run": (_INT, _P, _I64, _INT, _P, _P, _P), "sampler_run_float": (_INT, _P, _I64, _INT, _P, _P, _P),
        "denoiser_open": (_INT, _OUT, _P, _BOOL, _BOOL), "denoiser_close": (None, _P),
        "denoise": (_INT, _P, _P, _DOUBLE, _I64, _P), "denoise_vjp": (_INT, _P, _P, _P),
        "features_open": (_INT, _OUT, _P, _TEXT, _INT, _INT), "features_classifier": (_INT, _OUT, _P),
        "features_dialect": (_INT, _OUT, _P, _TEXT, _TEXT, _INT, _INT),
        "features_close": (None, _P), "features_get_shape": (None, ctypes.POINTER(_FeaturesShape), _P),
        "features_run_all": (_INT, _P, _I64, _P, _P, _P, _P),
        "statistics": (_INT, _P, _P, _I64, _INT, _P, _P), "frechet_statistics": (_INT, _P, _P, _P, _P, _P, _P, _INT),
        "inception_score": (_INT, _P, _P, _P, _I64, _INT),
        "compare_sets": (_INT, _P, ctypes.POINTER(_SetScores), _P, _I64, _P, _I64, _INT),
        "frechet_infinity": (_INT, _P, ctypes.POINTER(_DOUBLE), ctypes.POINTER(_DOUBLE), _P, _I64, _P, _I64, _INT, _U64),
        "find_copies": (_INT, _P, ctypes.POINTER(_Copies), _P, _I64, _P, _I64, _INT),
        "vendi": (_INT, _P, ctypes.POINTER(_DOUBLE), _P, _I64, _INT),
        "compare_classes": (_INT, _P, ctypes.POINTER(_ClassScores), _INT, ctypes.POINTER(_INT), _P, _P, _I64, _P, _P, _I64, _INT),
        "compare_manifolds": (_INT, _P, ctypes.POINTER(_SetScores), _P, _I64, _P, _I64, _INT, _BOOL),
        "jobs_json": (_TEXT,), "job_options_json": (_TEXT, _TEXT), "job_open": (_INT, _OUT, _P, _TEXT), "job_close": (None, _P),
        "job_set": (_INT, _P, _TEXT, _TEXT), "job_set_events": (None, _P, ctypes.POINTER(_Events)), "job_run": (_INT, _P),
        "job_result": (_TEXT, _P),
        "trainer_open": (_INT, _OUT, _P, ctypes.POINTER(_Training)), "trainer_close": (None, _P),
        "trainer_image_size": (_INT, _P),
        "trainer_step": (_INT, _P, ctypes.POINTER(_DOUBLE)), "trainer_save": (_INT, _P, _TEXT)}.items():
    try:
        _function = getattr(_lib, "guided_" + _name)
    except AttributeError:
        raise ImportError(f"{_lib._name}: no guided_{_name}: the library and guided.py are of different versions") from None
    _function.restype, _function.argtypes = _result, _arguments


def version():
    """Version of the library."""
    return _lib.guided_version().decode()


# ---- failures ----

class Status(enum.IntEnum):
    """What a call of the library came to, as in guided.h."""
    OK, EFAILED, EIO, EUSAGE, EEXISTS, EFORMAT, EMISMATCH, ENOMEM, ENOSPACE, EINTERRUPTED = range(10)


class Error(Exception):
    """A failure that the library reports: its message, .status and .exit_status (that of the command)."""

    def __init__(self, message, status):
        super().__init__(message)
        self.status = Status(status)
        self.exit_status = _lib.guided_exit_status(status)


def _text(value):
    return os.fsencode(value)


def _decoded(value):
    return None if value is None else os.fsdecode(value)


# ---- contexts ----

_LEVELS = ("error", "note", "info", "debug")
_LOGGING = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


def _to_logging(level, line):
    logging.getLogger("guided").log(_LOGGING[_LEVELS.index(level)], line)


class Context:
    """Threads, a memory limit and where notices go. Models belong to a context and share it with what is made of them.

    threads: of every computation; None: as many as the process may use. memory_limit: in bytes; 0: none.
    log(level, line): gets notices up to log_level ("error", "note", "info", "debug"); None: Python's logger "guided".
    Several contexts work at the same time; calls of several threads in one context follow one another.
    """

    def __init__(self, threads=None, memory_limit=0, log=None, log_level="note"):
        self._lock = threading.RLock()
        self._unclosed = []      # (function, handle) of objects that went away while the context was busy
        self._raised = None      # by a callback
        self._handle = _P()
        self._call(_lib.guided_context_open, ctypes.byref(self._handle))
        weakref.finalize(self, _lib.guided_context_close, self._handle)
        self.log = log or _to_logging
        me = weakref.proxy(self)
        self._log = _LOG_FN(lambda _, level, line: me._noticed(level, line))
        _lib.guided_context_set_log(self._handle, self._log, None, _LEVELS.index(log_level))
        if threads is not None:
            self.threads = threads
        _lib.guided_context_set_memory_limit(self._handle, memory_limit)

    @property
    def threads(self):
        """Threads of every computation. Results have the same bits for any number."""
        return _lib.guided_context_threads(self._handle)

    @threads.setter
    def threads(self, n):
        _lib.guided_context_set_threads(self._handle, n)

    def cancel(self):
        """End what runs in this context, from any thread: it raises Error with Status.EINTERRUPTED."""
        _lib.guided_context_cancel(self._handle, True)

    def _called_back(self, work):
        """For the library: what `work` raises stops the call, which then raises it."""
        try:
            work()
        except BaseException as error:
            self._raised = self._raised or error
        return Status.OK if self._raised is None else Status.EINTERRUPTED

    def _noticed(self, level, line):
        self._called_back(lambda: self.log(_LEVELS[level], _decoded(line)))

    def _call(self, function, *arguments):
        """Raises what a callback raised, or the function's status."""
        self._finish(lambda: function(*arguments))

    def _call_long(self, function, *arguments):
        """As _call, for what has no callback that could notice Ctrl-C: it cancels the call."""
        if threading.current_thread() is threading.main_thread():
            self._finish(lambda: self._beside(function, arguments))
        else:
            self._call(function, *arguments)

    def _finish(self, work):
        with self._lock:
            status = work()
            raised, self._raised = self._raised, None
            message = _decoded(_lib.guided_error()) if isinstance(status, int) else status[1]
            status = status if isinstance(status, int) else status[0]
            while self._unclosed:
                self._unclosed.pop(0)[0]()
            if status == Status.EINTERRUPTED or raised:
                _lib.guided_context_cancel(self._handle, False)
        if raised:
            raise raised
        if status:
            raise Error(message, status)

    def _beside(self, function, arguments):
        """(status, message) of a call in a thread of its own, while this one, which holds the lock, waits for Ctrl-C"""
        result, begun, ended = [], threading.Lock(), threading.Event()

        def work():
            if begun.acquire(blocking=False):       # once, should Ctrl-C come between start and assignment
                try:
                    result.extend((function(*arguments), _decoded(_lib.guided_error())))
                finally:
                    ended.set()

        thread = None
        while not ended.is_set():
            try:
                if thread is None:
                    thread = _thread.start_new_thread(work, ())
                ended.wait()
            except KeyboardInterrupt as error:
                self._raised = error
                self.cancel()
        return result


class _Handle:
    """What function(&handle, arguments) makes; closed when nobody refers to it, and before its parents."""

    def __init__(self, context, parents, close, function, *arguments):
        self._as_parameter_ = _P()
        context._call_long(function, ctypes.byref(self._as_parameter_), *arguments)
        weakref.finalize(self, _free, context, close, self._as_parameter_, parents)


def _free(context, close, handle, parents):
    """In a busy context the handle is closed when its call returns. `parents` are only held until then."""
    if not context._lock.acquire(blocking=False):
        context._unclosed.append((lambda: close(handle), parents))
        return
    try:
        close(handle)
    finally:
        context._lock.release()


_default = None


def _context(given):
    """The one given, or the module's own: made when it is first needed."""
    global _default
    if given is not None:
        return given
    if _default is None:
        _default = Context()
    return _default


# ---- arrays and options ----

def _array(values, dtype, shape, what):
    """`values` as a contiguous array of this type and shape (None: any length), the same memory where it is one."""
    array = np.asarray(values)
    if dtype == np.uint8 and array.dtype != np.uint8:
        raise TypeError(f"{what}: bytes (uint8) are expected, not {array.dtype}")
    if dtype == np.int64 and array.dtype.kind not in "iu":
        raise TypeError(f"{what}: whole numbers are expected, not {array.dtype}")
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape)):
        wanted = ", ".join("n" if want is None else str(want) for want in shape)
        raise ValueError(f"{what}: expected shape [{wanted}], not {list(array.shape)}")
    return np.ascontiguousarray(array, dtype)


def _at(array):
    return None if array is None else array.ctypes.data


def _view(address, shape):
    """The library's floats at an address, as an array"""
    count = int(np.prod(shape))
    return np.frombuffer((ctypes.c_float * count).from_address(address), np.float32).reshape(shape)


def _word(value):
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, np.ndarray)):
        return ",".join(_word(item) for item in value)
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _options(options):
    """Keyword arguments as the library takes options: class_="0-9" is class 0-9; None: not given"""
    given = [(name.rstrip("_"), _word(value)) for name, value in options.items() if value is not None]
    return (_Option * len(given))(*[(_text(name), _text(value)) for name, value in given]), len(given)


def _table(rows):
    """A table of options of the library as part of a docstring"""
    lines = []
    for row in rows:
        default = f" (default: {row['default']})" if row.get("default") and "default" not in row["about"] else ""
        lines.append(f"    {row['name'].replace('-', '_')}: {row['about']}{default}")
    return "\n".join(lines)


# ---- models ----

class Model:
    """A checkpoint: see open(). Attributes: kind ("diffusion", "upsampler", "classifier"), preset, assumed, image_size,
    small_size, channels, classes, class_names, diffusion_steps, parameters, guidance_scale, context."""

    def __init__(self, path, context=None, **flags):
        self.context = _context(context)
        self.path = os.fspath(path)
        options, n = _options(flags)
        self._handle = _Handle(self.context, (), _lib.guided_model_close, _lib.guided_model_open, self.context._handle,
                               _text(self.path), options, n)
        info = _ModelInfo()
        _lib.guided_model_get_info(ctypes.byref(info), self._handle)
        for name, kind in _ModelInfo._fields_:
            value = getattr(info, name)
            setattr(self, name, _decoded(value) if kind is _TEXT else value)
        names = [_decoded(_lib.guided_model_class_name(self._handle, i)) for i in range(self.classes)]
        self.class_names = names if names and names[0] is not None else None
        self._samplers = {}       # the latest one, by what it was opened with
        self._denoisers = {}      # by (precision, gradient)

    def __repr__(self):
        return f"<guided.Model {self.path}: {self.kind}, {self.image_size} x {self.image_size}, {self.classes} classes>"

    @property
    def config(self):
        """The whole configuration in the authors' names."""
        needed = _SIZE()
        self.context._call(_lib.guided_model_config_json, self._handle, None, 0, ctypes.byref(needed))
        text = ctypes.create_string_buffer(needed.value)
        self.context._call(_lib.guided_model_config_json, self._handle, text, needed.value, ctypes.byref(needed))
        return json.loads(text.value)

    def hash(self):
        """32 hex digits: XXH3-128 of the parameters as float32, whatever the file's format."""
        text = ctypes.create_string_buffer(33)
        self.context._call_long(_lib.guided_model_hash, self._handle, text)
        return text.value.decode()

    # -- sampling --

    def sample(self, n=1, class_=None, *, labels=None, first=0, seed=0, classifier=None, uncond_model=None,
               weaker_model=None, gradient=None, low_res=None, progress=None, dtype=np.uint8, **options):
        """Images number first .. first + n - 1, the same as `guided sample` and `guided upsample` make.

        Returns bytes [n, size, size, channels], or with dtype=np.float32 numbers [n, channels, size, size] in [-1, 1].
        class_: a class or one for each image, as numbers or names; or what --class takes as one text: numbers, ranges and
        names with commas, "random", "balanced"; None: image k has class k mod classes. labels: a file of names, one a line.
        seed: of the noise; an image depends on the models, the options, its class, the seed and its number alone.
        classifier: a Model that guides. uncond_model, weaker_model: a Model that guides with guidance_scale, an unconditional
        partner (classifier-free guidance) or a worse model with the same classes (autoguidance). gradient(x, t, y): guidance of your own in its place, the gradient
        [channels, size, size] of log p(y | x) at an image x in that layout, the network's time t and class y (-1: none).
        low_res: an upsampler's input, bytes [n, small_size, small_size, channels].
        progress(done, total, unit): called before each network call; what it raises ends the run.
        The networks stay in memory for the next call with the same options.

        Options:
{options}
        """
        size, small, channels = self.image_size, self.small_size, self.channels
        shape = (n, size, size, channels) if dtype == np.uint8 else (n, channels, size, size)
        if dtype not in (np.uint8, np.float32):
            raise TypeError(f"dtype: uint8 or float32, not {dtype}")
        y = self._labels(class_, first, n, classifier, labels, seed)
        if low_res is not None:
            low_res = _array(low_res, np.uint8, (n, small, small, channels), "low_res")
        images = np.empty(shape, dtype)
        with self.context._lock:
            self._sampler((classifier, uncond_model, weaker_model), options).run(first, seed, y, gradient, low_res, progress, images)
        return images

    def _sampler(self, others, options):
        key = (*map(id, others), tuple(sorted((name, _word(value)) for name, value in options.items() if value is not None)))
        if key not in self._samplers:
            self._samplers.clear()
            self._samplers[key] = _Sampler(self, others, options)
        return self._samplers[key]

    def _labels(self, class_, first, n, classifier=None, names=None, seed=0):
        """[n] classes, or None for a model that knows none"""
        who = self if self.classes or not classifier else classifier
        if who.classes == 0:
            if class_ is not None:
                raise ValueError(f"{self.path}: the model knows no classes")
            return None
        if class_ is None or isinstance(class_, str):
            return who._read_classes(class_, first, n, names, seed)
        given = np.atleast_1d(class_).tolist()
        for i, item in enumerate(given):
            if isinstance(item, str):
                two = who._read_classes(item, 0, 2, names, seed)
                if two[0] != two[1] or item == "random":
                    raise ValueError(f"class_ {item!r}: one class is expected in a list")
                given[i] = int(two[0])
        labels = _array(given, np.int64, (None,), "class_")
        return _array(np.repeat(labels, n) if len(labels) == 1 else labels, np.int64, (n,), "class_")

    def _read_classes(self, spec, first, n, names, seed):
        labels = np.empty(n, np.int64)
        self.context._call(_lib.guided_model_read_classes, self._handle, None if spec is None else _text(spec),
                           None if names is None else _text(names), seed, first, n, _at(labels))
        return labels

    # -- one call of the network --

    def denoise(self, x, sigma, y=None, precision="fp32"):
        """D(x; sigma), the predicted image of x = image + sigma noise, for [channels, size, size] or a batch of them.

        sigma > 0 and the class y are one for all, or one for each image. Images lie in [-1, 1]; nothing is clipped.
        """
        return self._denoise(x, sigma, y, None, precision)[0]

    def vjp(self, x, sigma, v, y=None, precision="fp32"):
        """(D(x; sigma), J^T v) with the Jacobian J of D with respect to x; v has the shape of x."""
        return self._denoise(x, sigma, y, v, precision)

    def _denoise(self, x, sigma, y, v, precision):
        image = (self.channels, self.image_size, self.image_size)
        single = np.ndim(x) == 3
        x = _array(x, np.float32, image if single else (None, *image), "x").reshape(-1, *image)
        if v is not None:
            v = _array(v, np.float32, image if single else (len(x), *image), "v").reshape(-1, *image)
        sigma, y = self._conditions(x.shape, sigma, y)
        with self.context._lock:
            x0, gradient = self._denoiser(precision, v is not None).run(x, sigma, y, v)
        return (x0, gradient) if not single else (x0[0], gradient if v is None else gradient[0])

    def _conditions(self, shape, sigma, y):
        """Noise levels and classes of a batch, a number each"""
        image = (self.channels, self.image_size, self.image_size)
        if len(shape) != 4 or shape[1:] != image:
            raise ValueError(f"x: expected shape [n, {', '.join(map(str, image))}], not {list(shape)}")
        y = -1 if y is None else _array(np.atleast_1d(y), np.int64, (None,), "y")
        return [np.broadcast_to(values, shape[0]).tolist() for values in (np.asarray(sigma, np.float64), y)]

    def _denoiser(self, precision, gradient):
        if precision not in ("fp32", "bf16"):
            raise ValueError(f"precision {precision!r}: expected 'fp32' or 'bf16'")
        if (precision, gradient) not in self._denoisers:
            self._denoisers[precision, gradient] = _Denoiser(self, precision, gradient)
        return self._denoisers[precision, gradient]


def open(path, context=None, **flags):
    """A Model: .pt of torch, .safetensors, a training run's folder, any family that `guided info` knows; or the diffusion
    model of a name of guided.models().

    flags: the authors' flags of a network (image_size=64, ...), which override what the file says; ema="0.9999" chooses
    among a run's averages. Weights are read when they are first needed.
    """
    if not os.path.exists(path):
        path = {row["name"]: row.get("model") for row in _run("models", (), {}, context)}.get(os.fspath(path)) or path
    return Model(path, context, **flags)


class _Sampler:
    """The networks and the solver of a model's latest sample()"""

    def __init__(self, model, others, options):
        self.context = model.context
        self.size, self.small_size, self.channels = model.image_size, model.small_size, model.channels
        self.others = others                # their numbers are part of the key that this is found by
        self.guided = False                 # by a gradient of the caller's
        given, n = _options(options)
        handles = [other and other._handle for other in (model, *others)]
        networks = _Networks(*[handle and handle._as_parameter_.value for handle in handles])
        self._handle = _Handle(self.context, handles, _lib.guided_sampler_close, _lib.guided_sampler_open_networks,
                               ctypes.byref(networks), given, n)

    def run(self, first, seed, labels, gradient, low_res, progress, images):
        """Fills images [n][..]: bytes, or float32."""
        function = _lib.guided_sampler_run if images.dtype == np.uint8 else _lib.guided_sampler_run_float
        steps = _lib.guided_sampler_steps(self._handle)
        total = len(images) * steps
        before = _PROGRESS_FN(lambda _, image, k, step, __: self.context._called_back(
            lambda: progress and progress((image - first) * steps + (step - 1) * k, total, "calls")))
        with self.context._lock:
            own = _GRADIENT_FN(lambda *given: self.context._called_back(lambda: self._guide(gradient, *given)))
            if gradient or self.guided:
                self.context._call(_lib.guided_sampler_set_gradient, self._handle, own if gradient else _GRADIENT_FN(), None)
            self.guided = bool(gradient)
            _lib.guided_sampler_set_seed(self._handle, seed)
            _lib.guided_sampler_set_progress(self._handle, before, None)
            self.context._call(function, self._handle, first, len(images), _at(labels), _at(low_res), _at(images))
        if progress:
            progress(total, total, "calls")

    def _guide(self, gradient, _, x, t, y, out):
        image = (self.channels, self.size, self.size)
        _view(out, image)[...] = _array(gradient(_view(x, image), t, y), np.float32, image, "gradient")


class _Denoiser:
    """One call of a model's network at a time"""

    def __init__(self, model, precision, gradient):
        self.context = model.context
        self.calls = 0
        self._handle = _Handle(self.context, (model._handle,), _lib.guided_denoiser_close, _lib.guided_denoiser_open,
                               model._handle, precision == "bf16", gradient)

    def run(self, x, sigma, y, v=None):
        """D of a batch, and J^T v where there is a v"""
        x0 = np.empty_like(x)
        gradient = None if v is None else np.empty_like(x)
        with self.context._lock:
            for i in range(len(x)):
                self.context._call(_lib.guided_denoise, self._handle, _at(x[i]), sigma[i], y[i], _at(x0[i]))
                self.calls += 1
                if v is not None:
                    self.pull_back(v[i], gradient[i])
        return x0, gradient

    def pull_back(self, v, gradient):
        """J^T v of the latest image that ran, once"""
        self.context._call(_lib.guided_denoise_vjp, self._handle, _at(v), _at(gradient))
        self.calls += 1


def solvers():
    """The solvers that sample(sampler=...) takes: dicts with name, steps, about."""
    return json.loads(_lib.guided_solvers_json())


# ---- evaluation ----

class Features:
    """Features of images: Features(path) of a file of weights that is known by its keys: the 2015 Inception network (a
    GraphDef, .pth, .pkl or .safetensors), a Vision Transformer (DINOv2, CLIP, MAE, SigLIP2) or ConvNeXt V2;
    Features(inception=path, dialect="clean-fid") of the Inception network with the input of another program (dialects as
    in `guided eval --dialect`); or Features(classifier=model) of a classifier.
    features(pixels) gives rows [n, width]; all(pixels) more."""

    def __init__(self, path=None, inception=None, classifier=None, dialect="adm", context=None):
        if sum(given is not None for given in (path, inception, classifier)) != 1:
            raise TypeError("Features: one of path, inception=, a path, or classifier=, a Model")
        if dialect != "adm" and inception is None:
            raise TypeError("Features: dialect= is a way of preparing images for inception=")
        self.context = classifier.context if classifier else _context(context)
        self.path, self.inception, self.classifier, self.dialect = path, inception, classifier, dialect
        self._handle, self._size = None, None

    def _open(self, height, width):
        """The network for images of a size. A classifier has one size."""
        if self._size == (height, width) or (self.classifier and self._handle):
            return
        self._handle = None
        if self.classifier:
            self._handle = _Handle(self.context, (self.classifier._handle,), _lib.guided_features_close,
                                   _lib.guided_features_classifier, self.classifier._handle)
        elif self.inception:
            self._handle = _Handle(self.context, (), _lib.guided_features_close, _lib.guided_features_dialect,
                                   self.context._handle, _text(self.inception), _text(self.dialect), height, width)
        else:
            self._handle = _Handle(self.context, (), _lib.guided_features_close, _lib.guided_features_open,
                                   self.context._handle, _text(self.path), height, width)
        self._size = (height, width)
        self._shape = _FeaturesShape()
        _lib.guided_features_get_shape(ctypes.byref(self._shape), self._handle)

    def __call__(self, pixels, progress=None):
        return self._run(pixels, progress, spatial=False, classes=False)[0]

    def all(self, pixels, progress=None):
        """(features [n, width], spatial features [n, spatial] or None, probabilities [n, classes]) of bytes
        [n, height, width, channels]. progress(done, total, unit) is called now and then."""
        return self._run(pixels, progress, spatial=True, classes=True)

    def _run(self, pixels, progress, spatial, classes):
        at_once = 64
        pixels = _array(pixels, np.uint8, (None,) * 4, "pixels")
        with self.context._lock:
            self._open(*pixels.shape[1:3])
            shape = self._shape
            pixels = _array(pixels, np.uint8, (None, shape.height, shape.pixel_width, shape.channels), "pixels")
            widths = (shape.width, shape.spatial if spatial else 0, shape.classes if classes else 0)
            parts = [np.empty((len(pixels), width), np.float32) if width else None for width in widths]
            for i in range(0, len(pixels), at_once):
                some = pixels[i:i + at_once]
                self.context._call(_lib.guided_features_run_all, self._handle, len(some), _at(some),
                                   *[None if part is None else _at(part[i:]) for part in parts])
                if progress:
                    progress(i + len(some), len(pixels), "images")
        return tuple(parts)


def statistics(rows, context=None):
    """(mean [width], covariance [width, width]) of rows [n, width], float64: mu and sigma of a reference file."""
    context = _context(context)
    rows = _array(rows, np.float32, (None, None), "rows")
    mean, covariance = np.empty(rows.shape[1]), np.empty((rows.shape[1],) * 2)
    context._call_long(_lib.guided_statistics, context._handle, _at(rows), *rows.shape, _at(mean), _at(covariance))
    return mean, covariance


def frechet(a, b, context=None):
    """The Frechet distance of two sets, each given by its rows [n, width] or by (mean, covariance): FID in Inception features."""
    context = _context(context)
    out = _DOUBLE()
    (mean_a, covariance_a), (mean_b, covariance_b) = [given if isinstance(given, tuple) else statistics(given, context)
                                                      for given in (a, b)]
    width = len(mean_a)
    given = [_array(values, np.float64, (width,) * k, what) for values, k, what in
             ((mean_a, 1, "mean"), (covariance_a, 2, "covariance"), (mean_b, 1, "mean"), (covariance_b, 2, "covariance"))]
    context._call_long(_lib.guided_frechet_statistics, context._handle, ctypes.byref(out), *map(_at, given), width)
    return out.value


def inception_score(probabilities, context=None):
    """The Inception Score of probabilities [n, classes], in splits of 5000 as the authors'."""
    context = _context(context)
    out = _DOUBLE()
    p = _array(probabilities, np.float32, (None, None), "probabilities")
    context._call_long(_lib.guided_inception_score, context._handle, ctypes.byref(out), _at(p), *p.shape)
    return out.value


def compare(ref, samples, kid=True, half=False, context=None):
    """Precision and recall (k = 3), density and coverage (k = 5; NaN with fewer than 6 rows in ref) and KID with its
    deviation, of rows of features [n, width], as a dict. half: the authors' float16 distances, without KID."""
    context = _context(context)
    if kid and half:
        raise ValueError("compare: half goes with kid=False")
    out = _SetScores()
    ref = _array(ref, np.float32, (None, None), "ref")
    samples = _array(samples, np.float32, (None, ref.shape[1]), "samples")
    given = (context._handle, ctypes.byref(out), _at(ref), len(ref), _at(samples), len(samples), ref.shape[1])
    if kid:
        context._call_long(_lib.guided_compare_sets, *given)
    else:
        context._call_long(_lib.guided_compare_manifolds, *given, half)
    return {name: getattr(out, name) for name, _ in _SetScores._fields_ if kid or not name.startswith("kid")}


def _two_sets(ref, samples):
    """The arguments of the library's functions of two sets of rows; the arrays stay with the caller"""
    ref = _array(ref, np.float32, (None, None), "ref")
    samples = _array(samples, np.float32, (None, ref.shape[1]), "samples")
    return ref, samples, (_at(ref), len(ref), _at(samples), len(samples), ref.shape[1])


def frechet_infinity(ref, samples, seed=0, context=None):
    """(distance, standard error): the Frechet distance of infinitely many samples, by a line over 1 / n through those of 8
    subsets (Chong & Forsyth 2020), of rows of features [n, width]; at least 16 samples."""
    context = _context(context)
    out, error = _DOUBLE(), _DOUBLE()
    ref, samples, given = _two_sets(ref, samples)
    context._call_long(_lib.guided_frechet_infinity, context._handle, ctypes.byref(out), ctypes.byref(error), *given, seed)
    return out.value, error.value


def find_copies(ref, samples, context=None):
    """Which samples are suspiciously near a row of ref, which should be the training set's features [n, width]: a dict with
    authenticity, the share of samples that are farther from their nearest row than that is from its own (Alaa et al. 2022),
    median_ratio of these distances, and nearest: the 8 lowest ratios as dicts with sample, ref, distance, ratio."""
    context = _context(context)
    out = _Copies()
    ref, samples, given = _two_sets(ref, samples)
    context._call_long(_lib.guided_find_copies, context._handle, ctypes.byref(out), *given)
    nearest = [{name: getattr(one, name) for name, _ in _Nearest._fields_} for one in out.nearest[:out.n_nearest]]
    return {"authenticity": out.authenticity, "median_ratio": out.median_ratio, "nearest": nearest}


def vendi(rows, context=None):
    """The Vendi score of rows of features [n, width]: how many different ones they are worth (Friedman & Dieng 2023)."""
    context = _context(context)
    out = _DOUBLE()
    rows = _array(rows, np.float32, (None, None), "rows")
    context._call_long(_lib.guided_vendi, context._handle, ctypes.byref(out), _at(rows), *rows.shape)
    return out.value


def compare_classes(ref, ref_labels, samples, sample_labels, context=None):
    """Of each class that both sets have: dicts with label, n_ref, n_samples, distance (Frechet), precision, recall; NaN where
    a class has too few rows."""
    context = _context(context)
    ref, samples, given = _two_sets(ref, samples)
    labels = [_array(values, np.int64, (len(rows),), what).astype(np.int32) for values, rows, what in
              ((ref_labels, ref, "ref_labels"), (sample_labels, samples, "sample_labels"))]
    room, n = len(np.intersect1d(*labels)), _INT()
    out = (_ClassScores * max(room, 1))()
    context._call_long(_lib.guided_compare_classes, context._handle, out, room, ctypes.byref(n), given[0], _at(labels[0]), given[1],
                       given[2], _at(labels[1]), given[3], given[4])
    return [{name: getattr(one, name) for name, _ in _ClassScores._fields_} for one in out[:n.value]]


_METRICS = ("is", "fid", "sfid", "pr", "kid", "dc")


class _Side:
    """One set of evaluate(): images, or the file of a reference, whose statistics go before its images"""

    def __init__(self, given, features, metrics, judged, progress):
        named = given if hasattr(given, "keys") else {"arr_0": given}
        self.statistics = {"fid": self._stored(named, "mu", "sigma"), "sfid": self._stored(named, "mu_s", "sigma_s")}
        self.rows = self.spatial = self.probabilities = None
        wanted = {metric for metric in metrics if not self.statistics.get(metric)} - (set() if judged else {"is"})
        if not wanted:
            return
        if "arr_0" not in named:
            raise ValueError("evaluate: statistics (mu, sigma) without images (arr_0) serve fid and sfid only")
        self.rows, self.spatial, self.probabilities = features._run(named["arr_0"], progress, "sfid" in wanted, "is" in wanted)
        if "is" in wanted and self.probabilities is None:
            raise ValueError("is: the network of these features gives no probabilities")
        for metric, rows in (("fid", self.rows), ("sfid", self.spatial)):
            if metric in wanted and rows is None:
                raise ValueError("sfid: the network of these features has no spatial ones")
            if metric in wanted:
                self.statistics[metric] = statistics(rows, features.context)
        if "fid" in wanted and len(self.rows) <= self.rows.shape[1]:
            features.context._noticed(1, _text(
                f"{len(self.rows)} images, fewer than the {self.rows.shape[1]} features: the FID is biased (too high)"))

    @staticmethod
    def _stored(named, mean, covariance):
        return (named[mean], named[covariance]) if mean in named and covariance in named else None


def evaluate(ref, samples, features, metrics=None, half=False, progress=None):
    """What `guided eval --json` says of a set of samples beside a reference set: a dict with inception_score, fid, sfid,
    precision, recall, kid, kid_deviation, density, coverage, as far as they are wanted.

    ref, samples: bytes [n, height, width, channels], or a mapping such as numpy.load("VIRTUAL_imagenet64_labeled.npz"), of
    which mu, sigma, mu_s, sigma_s are used where they are there and arr_0 for the rest. features: a Features.
    metrics: of is, fid, sfid, pr, kid, dc; None: is, fid, sfid and pr, without sfid in a classifier's features.
    half: precision and recall from the authors' float16 distances.
    """
    if metrics is None:
        metrics = ("is", "fid", "pr") if features.classifier else ("is", "fid", "sfid", "pr")
    unknown = [metric for metric in metrics if metric not in _METRICS]
    if unknown:
        raise ValueError(f"metrics {unknown[0]!r}: expected some of {', '.join(_METRICS)}")
    context = features.context
    a, b = _Side(ref, features, metrics, False, progress), _Side(samples, features, metrics, True, progress)
    scores = {}
    if "is" in metrics:
        scores["inception_score"] = inception_score(b.probabilities, context)
    for metric in ("fid", "sfid"):
        if metric in metrics:
            scores[metric] = frechet(b.statistics[metric], a.statistics[metric], context)
    if {"pr", "dc"} & set(metrics) or "kid" in metrics:
        found = compare(a.rows, b.rows, "kid" in metrics and not half, half, context)
        if "kid" in metrics and half:
            found.update({name: value for name, value in compare(a.rows, b.rows, context=context).items() if "kid" in name})
        for metric, names in (("pr", ("precision", "recall")), ("kid", ("kid", "kid_deviation")), ("dc", ("density", "coverage"))):
            scores.update({name: found[name] for name in names if metric in metrics})
    return scores


# ---- training from arrays ----

class Trainer:
    """A diffusion model of a preset ("small32", ...) trained from arrays: pixels, bytes [n, size, size, 1 or 3], and
    labels [n] with classes (None: unconditional). ema: rate of an average of the weights, 0: none."""

    def __init__(self, pixels, labels=None, *, preset, classes=None, batch_size=64, learning_rate=1e-4, ema=0.0, seed=0,
                 context=None):
        self.context = _context(context)
        pixels = _array(pixels, np.uint8, (None,) * 4, "pixels")
        if labels is not None:
            labels = _array(labels, np.int64, (len(pixels),), "labels")
            classes = int(labels.max()) + 1 if classes is None else classes
        given = _Training(_text(preset), pixels.shape[3], classes or 0, _at(pixels), _at(labels), len(pixels), batch_size,
                          learning_rate, ema, seed)
        self._handle = _Handle(self.context, (pixels, labels), _lib.guided_trainer_close, _lib.guided_trainer_open,
                               self.context._handle, ctypes.byref(given))
        size = _lib.guided_trainer_image_size(self._handle)
        _array(pixels, np.uint8, (None, size, size, None), "pixels")

    def step(self):
        """One update; the mean loss of its images"""
        loss = _DOUBLE()
        self.context._call(_lib.guided_trainer_step, self._handle, ctypes.byref(loss))
        return loss.value

    def save(self, path):
        """A checkpoint that open() reads and `guided train --init-from` goes on from"""
        self.context._call(_lib.guided_trainer_save, self._handle, _text(path))


# ---- the command's verbs ----

class Preview:
    """The prediction at one network call of one image: image, label (-1: none), stage (0: the base model), call, calls, sigma,
    x0 [channels, height, width], and of a guided call gradient in that layout and the classifier's logits (else None)."""

    def __init__(self, given):
        image = (given.channels, given.height, given.width)
        for name in ("image", "label", "stage", "call", "calls", "sigma"):
            setattr(self, name, getattr(given, name))
        for name, shape in (("x0", image), ("gradient", image), ("logits", (given.classes,))):
            address = getattr(given, name)
            setattr(self, name, _view(address, shape).copy() if address else None)


def _events(context, arrays, text, progress, preview, partial):
    """The callbacks of a job: what one raises cancels it. arrays: a dict that gets what the job makes"""
    def called(work):
        if context._called_back(work):
            context.cancel()

    events = _Events()
    if text:
        events.text = _TEXT_EVENT(lambda _, at, n: called(lambda: text(_decoded(ctypes.string_at(at, n)))))
    if progress:
        events.progress = _PROGRESS_EVENT(lambda _, at: called(
            lambda: progress(at.contents.done, at.contents.total, _decoded(at.contents.unit))))
    if preview:
        events.preview = _PREVIEW_EVENT(lambda _, at: called(lambda: preview(Preview(at.contents))))
    if partial:
        events.partial = _PARTIAL_EVENT(lambda _, at: called(lambda: partial(
            {name: getattr(at.contents, name) for name, _ in _Partial._fields_} | {"metric": _decoded(at.contents.metric)})))

    def keep(array):
        arrays[_decoded(array.name)] = _view(array.data, array.dim[:array.rank]).copy()

    events.array = _ARRAY_EVENT(lambda _, at: called(lambda: keep(at.contents)))
    return events


def _is_file(value):
    """An array that stands for a file, or pictures with their labels"""
    return isinstance(value, np.ndarray) and value.ndim > 1 or isinstance(value, tuple) and all(map(_is_array, value))


def _is_array(value):
    return isinstance(value, np.ndarray)


def _file_of(value, folder):
    """A file that verbs read: pictures [n, height, width, channels] as the authors' .npz, others as .npy"""
    arrays = value if isinstance(value, tuple) else (value,)
    path = os.path.join(folder, str(len(os.listdir(folder)))) + (".npz" if arrays[0].ndim == 4 else ".npy")
    if arrays[0].ndim == 4:
        np.savez(path, *arrays)
    else:
        np.save(path, *arrays)
    return path


_MAKE_ARRAYS = ("restore", "invert", "purify", "img2img")      # files only where the option output asks for them


def _run(kind, words, options, context=None, text=None, progress=None, preview=None, partial=None):
    context = _context(context)
    arrays = {}
    if kind in _MAKE_ARRAYS:
        options = {"output": "-", **options}
    table = {row["name"]: row["type"] for row in json.loads(_lib.guided_job_options_json(_text(kind)))}
    if "json" in table:
        options = {"json": "" if table["json"] == "maybe" else True, **options}
    handle = _Handle(context, (), _lib.guided_job_close, _lib.guided_job_open, context._handle, _text(kind))
    with tempfile.TemporaryDirectory(prefix="guided-") as folder:
        given = [("", word) for word in words]
        for name, value in options.items():
            name = name.rstrip("_")
            with_hyphens = name.replace("_", "-")
            given.append((with_hyphens if with_hyphens in table else name, value))
        for name, value in given:
            if _is_file(value):
                value = _file_of(value, folder)
            if value is not None:
                context._call(_lib.guided_job_set, handle, _text(name), _text(_word(value)))
        events = _events(context, arrays, text, progress, preview, partial)
        _lib.guided_job_set_events(handle, ctypes.byref(events))
        context._call_long(_lib.guided_job_run, handle)
    result = json.loads(_lib.guided_job_result(handle) or b"null")
    return {**result, **arrays} if arrays else result


def _verb(kind):
    """The function of a verb of the command, described by the library's table of its options"""
    def verb(*words, context=None, text=None, progress=None, preview=None, partial=None, **options):
        return _run(kind["name"], words, options, context, text, progress, preview, partial)

    verb.__name__ = verb.__qualname__ = kind["name"].replace("-", "_")
    verb.__doc__ = f"""{kind["about"]}: what `guided {kind["name"]}` does, with its options by name (class_ for class).

    Results go to the files that the options name; returned is what the command prints with --json, None where it prints none.
    words: the files of the command line. An array in place of a file is written to one for the time of the call: pictures
    [n, height, width, channels], or (pictures, labels), as an .npz, others as .npy. restore, invert, purify and img2img give
    what they make as arrays in the result ("samples" [n, channels, height, width] in [-1, 1], "mean", "std", "latent", ..),
    and write files where output names a folder. text(text) gets what the command prints, progress(done, total, unit) how far
    it is, preview(Preview) the prediction at every network call, partial(dict) FID of the first samples of eval; they are
    called in another thread, and what they raise ends the job. Ctrl-C ends it too; what is finished is kept.

    Options:
{_table(json.loads(_lib.guided_job_options_json(_text(kind["name"]))))}
    """
    return verb


def run(verb, *words, **options):
    """A verb of the command by its name: run("train-classifier", data="images/", out="run") is what
    train_classifier(data="images/", out="run") is. help(guided.train_classifier) lists its options."""
    name = verb.replace("-", "_")
    if name not in _KINDS:
        raise ValueError(f"{verb!r}: no verb; there are {', '.join(kind['name'] for kind in _KINDS.values())}")
    return __getattr__(name)(*words, **options)


_KINDS = {kind["name"].replace("-", "_"): kind for kind in json.loads(_lib.guided_jobs_json())
          if kind["name"] not in ("completion", "help", "version", "serve")}       # of a terminal


def __getattr__(name):
    if name not in _KINDS:
        raise AttributeError(f"module 'guided' has no attribute {name!r}")
    globals()[name] = _verb(_KINDS[name])
    return globals()[name]


def __dir__():
    return sorted({*globals(), *_KINDS})


# ---- other packages ----

def torch_module(model, precision="fp32"):
    """A model as a torch.nn.Module: module(x, sigma, y=None) is D(x; sigma) of a batch, with a gradient in x."""
    import torch

    class Denoise(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, sigma, y):
            ctx.denoiser = model._denoiser(precision, gradient=ctx.needs_input_grad[0])
            ctx.given = (np.ascontiguousarray(x.detach().cpu().numpy(), np.float32), sigma, y)
            x0, _ = ctx.denoiser.run(*ctx.given)
            ctx.call = ctx.denoiser.calls
            return torch.from_numpy(x0).to(x)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, v):
            x, sigma, y = ctx.given
            v32 = np.ascontiguousarray(v.detach().cpu().numpy(), np.float32)
            with model.context._lock:
                if len(x) == 1 and ctx.denoiser.calls == ctx.call:      # its result is still there
                    gradient = np.empty_like(x)
                    ctx.denoiser.pull_back(v32[0], gradient[0])
                else:
                    gradient = ctx.denoiser.run(x, sigma, y, v32)[1]
            return torch.from_numpy(gradient).to(v), None, None

    class Module(torch.nn.Module):
        def forward(self, x, sigma, y=None):
            if isinstance(sigma, torch.Tensor):
                sigma = sigma.detach().cpu().numpy().reshape(-1)
            if isinstance(y, torch.Tensor):
                y = y.detach().cpu().numpy().reshape(-1)
            return Denoise.apply(x, *model._conditions(tuple(x.shape), sigma, y))

    return Module()


def deepinv_denoiser(model, y=None, precision="fp32"):
    """A model as a deepinv.models.Denoiser, whose images lie in [0, 1]; y: the class of all images."""
    import deepinv
    import torch

    class Denoiser(deepinv.models.Denoiser):
        def __init__(self):
            super().__init__()
            self.network = torch_module(model, precision)

        def forward(self, x, sigma, *args, **kwargs):
            levels = self._handle_sigma(sigma, batch_size=len(x), device=x.device, dtype=torch.float64)
            noisy = levels > 0                  # D(x; 0) is x
            if noisy.all():
                return (self.network(2 * x - 1, 2 * levels, y) + 1) / 2
            out = x.clone()
            if noisy.any():
                out[noisy] = (self.network(2 * x[noisy] - 1, 2 * levels[noisy], y) + 1) / 2
            return out

    return Denoiser()


Model.sample.__doc__ = Model.sample.__doc__.replace(
    "{options}", _table(row for row in json.loads(_lib.guided_sampler_options_json()) if row["name"] != "seed"))
