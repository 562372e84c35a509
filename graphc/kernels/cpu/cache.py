"""Machine code of kernels, kept on disk.

A kernel is a self-contained module text. Its SHA-256 (with the text of the intrinsics, the versions of Numba
and llvmlite, the processor and the compiler flags in it) names two files in a private folder:

- ``k<hash>.py``: the text, for people and tracebacks;
- ``k<hash>.o``: the object file that LLVM made of it, behind a line with its own checksum.

A text is a Numba module. Its kernel is translated to LLVM instructions by `graphc.kernels.cpu.translate`, which knows
the part of Python that kernels are written in, and by Numba where that does not understand it.

A warm start maps the object files and needs neither Numba nor a Python import of the text. (Numba's own
cache unpickles, has no checksum, and takes about 5 ms for each kernel on top of Numba's start.) Both files are
written to a temporary name and moved into place under a lock, so that concurrent and forked processes see
whole files only. Files that do not match their hash are built again, with one warning in a process. Beyond
`graphc.kernels.cpu.limit.limit` the kernels that were used longest ago are removed.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

from graphc.errors import KernelError, Site
from graphc.formula.memo import cache_folder
from graphc.kernels.cpu.builder import helped
from graphc.kernels.cpu.limit import grown, limit, touch

__all__ = ["Source", "addresses", "build", "folder", "llvm_text", "module_text", "path_of", "settle"]

#: Raised when the way machine code is made or stored changes.
VERSION = 2
#: ``contract`` only: it changes no NaN or infinity, and the compensated sums contain no product.
#: Reductions carry ``reassoc`` on their own additions (`graphc.kernels.cpu.scalar`).
FASTMATH = frozenset({"contract"})
#: What machine code may call: mathematics and block moves, nothing of Python.
_LIBRARY = re.compile(
    r"(sin|cos|erf|erfc|pow|fmod|fmax|fmin|exp|log|log1p|expm1|tanh|fma|floor|ceil|rint|trunc)f?|mem(set|cpy|move)|sched_yield"
)
_MAGIC = b"graphc kernel"
#: Files whose text is part of every kernel: generated modules import them, or are translated by them.
_INTRINSICS = ("lanes.py", "memory.py", "scalar.py", "tiles.py", "translate.py", "vector.py", "window.py")
_SETTINGS = ("NUMBA_OPT", "NUMBA_LOOP_VECTORIZE", "NUMBA_SLP_VECTORIZE")

_FLAGS = {"enable_pyobject": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "no_compile": True}

_lock = threading.RLock()


def _forked() -> None:
    """A child must not wait for a lock that another thread of its parent held."""
    global _lock  # noqa: PLW0603 - replaced in the child only
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

_loaded: dict[str, int] = {}  # hash -> address of the machine code
_written: list[int] = []  # sizes of new files that are not counted yet
_warned: set[str] = set()


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a kernel module, and the gate and place to blame."""

    text: str
    label: str = ""
    site: Site | None = None


@functools.cache
def _host() -> tuple[str, str]:
    """Processor name and features that code is made for; Numba's own settings count."""
    import llvmlite.binding as llvm

    name = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        try:
            features = llvm.get_host_cpu_features().flatten()
        except RuntimeError:
            features = ""
    return name, features


@functools.cache
def _generator() -> str:
    """What every kernel depends on beside its text."""
    here = Path(__file__).parent
    parts = [
        f"format {VERSION}",
        *(f"{name} {importlib.metadata.version(name)}" for name in ("numba", "llvmlite")),
        *_host(),
        " ".join(sorted(FASTMATH)),
        *(f"{name}={os.environ.get(name, '')}" for name in _SETTINGS),
        *((here / name).read_text(encoding="utf-8") for name in _INTRINSICS),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def folder() -> Path:
    """Folder of the kernels for this processor and this Numba."""
    digest = hashlib.sha256("\n".join(_host()).encode()).hexdigest()[:12]
    path = cache_folder() / f"kernels-{importlib.metadata.version('numba')}-{_host()[0]}-{digest}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def module_text(text: str) -> str:
    """Full text of a kernel's module: what is hashed, written and run."""
    return f"# Made by graphc; changes are overwritten. Generator {_generator()[:32]}\n{text}"


def _hash(full: str) -> str:
    return hashlib.sha256(full.encode()).hexdigest()


def path_of(text: str) -> Path:
    """Where the module of a kernel text is (or will be)."""
    return folder() / f"k{_hash(module_text(text))}.py"


# ---- files ------------------------------------------------------------------------------------------


def _write(path: Path, content: bytes) -> None:
    """Write a whole file or nothing; without a place to write, kernels last as long as the process."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:12]}-")
    except OSError as error:
        _warn("folder", f"kernels cannot be kept in {path.parent} ({error.strerror}); every start compiles them")
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)  # noqa: PTH105 - the atomic one
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        _warn("folder", f"kernels cannot be kept in {path.parent} ({error.strerror}); every start compiles them")
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def _locked(directory: Path, digest: str) -> Iterator[None]:
    """One process at a time for one kernel: a lock on one byte of a common file."""
    try:
        import fcntl
    except ImportError:  # Windows: files are whole in any case, only work may be done twice
        yield
        return
    try:
        handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # a read-only folder: nothing will be written either
        yield
        return
    try:
        with suppress(OSError):  # file systems without locks: as on Windows
            fcntl.lockf(handle, fcntl.LOCK_EX, 1, int(digest[:7], 16))
        yield
    finally:
        os.close(handle)


def _warn(key: str, message: str) -> None:
    """Warn once for each key."""
    if key not in _warned:
        _warned.add(key)
        warnings.warn(message, RuntimeWarning, stacklevel=3)


def _damaged(path: Path, what: str) -> None:
    _warn("damaged", f"the cached kernel {path} {what}; it is built again, as all that are like it")


def _read_object(path: Path, digest: str) -> bytes | None:
    """Machine code from a file, if the file is whole and belongs to the text."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _damaged(path, f"cannot be read ({error.strerror})")
        return None
    head, _, payload = content.partition(b"\n")
    expected = b" ".join((_MAGIC, digest.encode(), hashlib.sha256(payload).hexdigest().encode()))
    if head != expected:
        _damaged(path, "is damaged")
        return None
    touch(path)
    return payload


# ---- LLVM -------------------------------------------------------------------------------------------


class _Engine:
    """Places object files into executable memory; lives as long as the process."""

    def __init__(self) -> None:
        import llvmlite.binding as llvm

        self.llvm = llvm
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        name, features = _host()
        target = llvm.Target.from_triple(llvm.get_process_triple())
        # the options of Numba's own just-in-time compiler
        relocation = "static" if target.name.startswith("x86") else "default"
        self.machine = target.create_target_machine(
            cpu=name, features=features, opt=3, reloc=relocation, codemodel="jitdefault", jit=True
        )
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self.machine)

    def optimised(self, text: str) -> Any:
        """A module from LLVM text, after the passes of Numba's settings."""
        from numba.core import config

        settings: Any = config  # made from the environment when it is imported
        module = self.llvm.parse_assembly(text)
        module.triple, module.data_layout = self.machine.triple, str(self.machine.target_data)
        module.verify()
        tuning = self.llvm.create_pipeline_tuning_options(int(settings.OPT))
        tuning.loop_vectorization = bool(settings.LOOP_VECTORIZE)
        tuning.slp_vectorization = bool(settings.SLP_VECTORIZE)
        passes = self.llvm.create_pass_builder(self.machine, tuning)
        passes.getModulePassManager().run(module, passes)
        return module

    def assemble(self, module: Any) -> bytes:
        for function in module.functions:
            name = function.name
            if function.is_declaration and not name.startswith("llvm.") and not _LIBRARY.fullmatch(name):
                raise ValueError(f"the machine code calls {name!r}")
        return self.machine.emit_object(module)

    def load(self, machine_code: bytes, symbol: str) -> int:
        self.engine.add_object_file(self.llvm.ObjectFileRef.from_data(machine_code))
        self.engine.finalize_object()
        return self.engine.get_function_address(symbol)


@functools.cache
def _engine() -> _Engine:
    return _Engine()


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs exactly the text that was hashed: no byte code from elsewhere."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - the signature is importlib's
        return self.source_to_code(self.text.encode(), self.path)


def _llvm(full: str, digest: str, path: Path) -> Any:
    """Optimised LLVM module with a text's kernel, under the name of its hash."""
    from numba.core.fastmathpass import rewrite_module

    from graphc.kernels.cpu import translate

    module = _module(full, digest, path)
    try:
        written = translate.translated(full, vars(module), _symbol(digest))
    except translate.NotUnderstoodError:
        return _engine().llvm.parse_assembly(_by_numba(module.kernel, digest))
    rewrite_module(written, SimpleNamespace(flags=FASTMATH))
    return _engine().optimised(translate.text_of(written))


def _module(full: str, digest: str, path: Path) -> ModuleType:
    """Run a text as a module."""
    module_name = f"graphc_kernel_{digest}"
    loader = _Loader(module_name, str(path), full)
    spec = importlib.util.spec_from_file_location(module_name, path, loader=loader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # before it runs: Numba looks a function's module up there
    spec.loader.exec_module(module)
    return module


def _by_numba(kernel: Any, digest: str) -> str:
    """Optimised LLVM text of a kernel that Numba reads."""
    from numba.core import compiler, types
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.registry import cpu_target

    flags = compiler.Flags()
    cpu_target.options.parse_as_flags(flags, {"error_model": "numpy", "fastmath": set(FASTMATH), "nopython": True})
    # no Python objects, no wrappers, no machine code: that is made below, once
    for name, setting in _FLAGS.items():
        setattr(flags, name, setting)
    with global_compiler_lock:
        result = compiler.compile_extra(
            cpu_target.typing_context,
            cpu_target.target_context,
            kernel,
            (types.CPointer(types.int64), types.int64, types.int64),
            types.void,
            flags,
            {},
        )
        library = result.library
        library.finalize()
        text = library.get_llvm_str()
    native = result.fndesc.llvm_func_name
    # a name that does not change from process to process, and no slot for Python's environment
    slot = re.search(r'^@"?(_ZN08NumbaEnv[^" ]*)"? = .*\n', text, flags=re.MULTILINE)
    if slot is not None and text.count(slot[1]) == 1:
        text = text.replace(slot[0], "")
    return text.replace(f'@"{native}"', f"@{_symbol(digest)}").replace(f"@{native}", f"@{_symbol(digest)}")


def _symbol(digest: str) -> str:
    return f"graphc_{digest[:40]}"


def llvm_text(text: str) -> str:
    """Return the optimised LLVM text of a kernel (for tests and for looking)."""
    full = module_text(text)
    with _lock:
        path = path_of(text)
        _write(path, full.encode())
        return str(_llvm(full, _hash(full), path))


def _build(full: str, digest: str, path: Path, source: Source) -> bytes:
    try:
        machine_code = _engine().assemble(_llvm(full, digest, path))
    except Exception as error:
        where = f" declared at {source.site}" if source.site else ""
        raise KernelError(
            f"the kernel for {source.label or 'a gate'}{where} cannot be compiled: {type(error).__name__}; "
            f"its text is {path}",
            site=source.site,
        ) from error
    return machine_code


def build(source: Source) -> tuple[str, str, bytes]:
    """Find a kernel's machine code on disk or build it; return module text, hash and code."""
    full = module_text(source.text)
    digest = _hash(full)
    directory = folder()
    text_file, object_file = directory / f"k{digest}.py", directory / f"k{digest}.o"
    machine_code = _read_object(object_file, digest)
    if machine_code is None:
        with _locked(directory, digest):
            # another process may have built it meanwhile
            machine_code = _read_object(object_file, digest)
            if machine_code is None:
                _write_text(text_file, full)
                machine_code = _build(full, digest, text_file, source)
                checksum = hashlib.sha256(machine_code).hexdigest().encode()
                head = b" ".join((_MAGIC, digest.encode(), checksum))
                _write(object_file, head + b"\n" + machine_code)
                _written.append(len(machine_code) + len(full))
    elif not _same_text(text_file, full):  # the text is for people: mend it, the machine code is right
        _write_text(text_file, full)
    return full, digest, machine_code


def _address(source: Source) -> int:
    digest = _hash(module_text(source.text))
    if digest in _loaded:
        return _loaded[digest]
    _, digest, machine_code = build(source)
    address = _engine().load(machine_code, _symbol(digest))
    if not address:
        object_file = folder() / f"k{digest}.o"
        raise KernelError(f"the kernel for {source.label or 'a gate'} has no entry point; remove {object_file}")
    _loaded[digest] = address
    return address


def _same_text(path: Path, full: str) -> bool:
    try:
        return path.stat().st_size == len(full.encode())
    except OSError:
        return False


def _write_text(path: Path, full: str) -> None:
    try:
        if path.read_bytes() != full.encode():
            _damaged(path, "does not hold its text")
        else:
            return
    except FileNotFoundError:
        pass
    except OSError as error:
        _damaged(path, f"cannot be read ({error.strerror})")
    _write(path, full.encode())


def _missing(source: Source) -> bool:
    """Whether a kernel must be built."""
    digest = _hash(module_text(source.text))
    return digest not in _loaded and not (folder() / f"k{digest}.o").exists()


def addresses(sources: Sequence[Source]) -> list[int]:
    """Return the address of each kernel, from this process, from disk, or newly compiled.

    The address is of a C function ``int32 f(void **result, void **error, int64 *arguments, int64 thread, int64
    threads)``; the first two are scratch.

    Raises
    ------
    KernelError
        If a kernel cannot be compiled; the message names gate, site and the file with the text.
    """
    from graphc.kernels.cpu.threads import default_threads

    with _lock:
        limit()  # a limit that is no number is refused before anything is built
        missing = [source.text for source in sources if _missing(source)]
        with helped(missing, default_threads()):
            found = [_address(source) for source in sources]
        settle()
        return found


def settle() -> None:
    """Keep the cache within its limit after new files."""
    if _written:
        grown(folder(), sum(_written), limit(), _loaded)
        _written.clear()


def function(address: int) -> Any:
    """Return a Python callable for the kernel at an address: ``f(address of arguments, thread, threads)``."""
    prototype = ctypes.CFUNCTYPE(
        ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
    )
    native = prototype(address)
    scratch = (ctypes.c_void_p * 2)()
    first, second = ctypes.addressof(scratch), ctypes.addressof(scratch) + ctypes.sizeof(ctypes.c_void_p)

    def call(arguments: int, thread: int = 0, threads: int = 1) -> None:
        native(first, second, arguments, thread, threads)

    call.scratch = scratch  # pyright: ignore[reportFunctionMemberAccess]
    return call
