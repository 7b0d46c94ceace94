"""A user's own network: ``file.py:function``, where the function returns a torch module; or a module as an object.

The file is the user's and is run as Python. Nothing is written beside it, and the random numbers that it draws are the same
each time, so that the same file gives the same network.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seefit.errors import SeefitError, UsageError, unknown_name

if TYPE_CHECKING:
    import torch

MODULE = "module:"  # before the name of a module that was given as an object
_OWN = re.compile(r"(?P<file>.+\.py):(?P<function>[^\W\d]\w*)", re.DOTALL)


def is_own(name: str) -> bool:
    """Return whether a name means a function in a Python file.

    Example:
        >>> is_own("nets/mine.py:make"), is_own("resnet50")
        (True, False)
    """
    return _OWN.fullmatch(name) is not None


def load_own(name: str, classes: int | None = None, *, seed: int = 0) -> torch.nn.Module:
    """Call a function of a user's file and return the network that it makes.

    Args:
        name: ``file.py:function``; the function needs no arguments.
        classes: Passed to the function as ``classes``; None passes nothing.
        seed: Of the random numbers that the function draws.

    Returns:
        The network, in the mode in which the function left it.

    Raises:
        UsageError: No such file or function, an error inside, no parameter ``classes`` for a given number, or no module returned.
    """
    import torch

    found = _OWN.fullmatch(name)
    if found is None:
        raise _unfit(name, "file.py:function", "another form")
    path = Path(found["file"])
    if not path.is_file():
        raise _unfit(name, f"a Python file {path}", "a folder" if path.is_dir() else "nothing there")
    with _running(name, path.parent), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        function = _function(path, found["function"])
        network = function(**_arguments(name, function, classes))
    if not isinstance(network, torch.nn.Module):
        raise _unfit(name, "a function that returns a torch.nn.Module", f"one that returns {type(network).__name__}")
    return network


def own_identity(name: str, seed: int = 0) -> str:
    """Return what tells a user's network from others: a hash of its file and of all its numbers.

    Args:
        name: ``file.py:function``.
        seed: As for `load_own`.

    Raises:
        UsageError: As `load_own`.
    """
    network = load_own(name, seed=seed)
    digest = hashlib.sha256(Path(name.rpartition(":")[0]).read_bytes())
    _add_numbers(digest, network)
    return f"own:{digest.hexdigest()}"


def copy_module(module: object) -> torch.nn.Module:
    """Return a copy of a module on the processor, so that nothing of the user's is changed.

    Raises:
        UsageError: It is none, or cannot be copied.
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise _unfit("backbone", "a name or a torch.nn.Module", f"a value of type {type(module).__name__}")
    try:
        return copy.deepcopy(module).cpu()
    except Exception as error:
        raise _unfit(module_name(module), "a torch.nn.Module that can be copied", _told(error)) from error


def module_name(module: torch.nn.Module) -> str:
    """Return what a module that was given as an object is called: nothing can be made by that name."""
    return f"{MODULE}{type(module).__name__}"


def module_identity(network: torch.fx.GraphModule, side: int) -> str:
    """Return what tells a module object from others: a hash of its layers, of all its numbers, and of its answers to two made-up images.

    The code inside of its layers may be anything and cannot be looked at; its answers tell.

    Args:
        network: The traced module, from pixels (N, 3, S, S) to several tensors.
        side: S.
    """
    import torch

    digest = hashlib.sha256(f"{network!r}{network.code}".encode())
    _add_numbers(digest, network)
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for answer in network(pixels):
            digest.update(answer.contiguous().numpy().tobytes())
    return f"own:{digest.hexdigest()}"


def _add_numbers(digest: hashlib._Hash, network: torch.nn.Module) -> None:
    """Add every parameter and buffer to a digest, with its name, type and shape."""
    import torch

    for key, tensor in network.state_dict().items():
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())


def _function(path: Path, wanted: str) -> Callable[..., Any]:
    """Run a file and return one of its functions."""
    title = f"seefit_own_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(title, path)
    if spec is None or spec.loader is None:
        raise _unfit(str(path), "a Python file", "something else")
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module  # dataclasses and the like look their module up
    spec.loader.exec_module(module)
    known = {key: value for key, value in vars(module).items() if callable(value) and not key.startswith("_")}
    if wanted not in known:
        unknown_name(f"function in {path}", wanted, known)
    function: Callable[..., Any] = known[wanted]
    return function


def _arguments(name: str, function: Callable[..., Any], classes: int | None) -> dict[str, int]:
    if classes is None:
        return {}
    if "classes" not in inspect.signature(function).parameters:
        raise _unfit(name, "a function with a parameter `classes`", f"{function.__name__}{inspect.signature(function)}")
    return {"classes": classes}


@contextlib.contextmanager
def _running(name: str, folder: Path) -> Iterator[None]:
    """Run the user's code: its folder can be imported from, no bytecode is written, and its errors are told as ours."""
    wrote, place = sys.dont_write_bytecode, str(folder.resolve())
    sys.path.insert(0, place)
    sys.dont_write_bytecode = True
    try:
        yield
    except SeefitError:
        raise
    except Exception as error:
        raise _unfit(name, "a function that returns a torch.nn.Module", _told(error)) from error
    finally:
        sys.dont_write_bytecode = wrote
        sys.path.remove(place)


def _told(error: Exception) -> str:
    return f"{type(error).__name__} ({next(iter(str(error).splitlines()), 'no reason given')[:160]})"


def _unfit(name: str, expected: str, got: str) -> UsageError:
    hint = "Write a file with a function that needs no arguments and returns the network, and name both as file.py:function"
    return UsageError("Cannot use the network", where=name, expected=expected, got=got, hint=hint)
