

"""Runs a loss written in Python for nano-reasoner. docs/python.md says what such a file may hold.

    python -I -c ... describe PATH     writes what the file says of itself to descriptor 3, as a library's payload holds it
    python -I -c ... serve             answers calls of Sources/PluginAPI/Python/bridge.c: descriptor 3 a socket, 4 the memory of both

Numbers are float64 here: a loss whose shares add up to 1e-9 needs them, and derivatives are rounded to float32 on the way out.
"""

import ast
import dataclasses
import difflib
import functools
import importlib.util
import inspect
import math
import mmap
import os
import re
import select
import signal
import struct
import sys
import threading
import traceback
import types
import typing

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the host's threads have the cores

REFERENCE, CRITIC, ENTROPY, SAMPLER, REFILL = (1 << i for i in range(5))
NEEDS = {"reference": REFERENCE, "critic": CRITIC, "entropy": ENTROPY, "sampler": SAMPLER, "refill": REFILL}
STOPS = {"current": 1, "entropy": 2, "values": 4}
FOLDS = {"mean": 0, "sum": 1, "minimum": 2, "maximum": 3}
OK, BAD_ARGUMENT, BAD_PARAMETER, NOT_FINITE, BAD_STATE, NO_SPACE, INTERNAL = range(7)
LONGEST_LOG_RATIO = 20.0


class Refused(Exception):
    """What the author is told, with the status for the host."""

    def __init__(self, message, status=INTERNAL):
        super().__init__(message)
        self.status = status


# ---- arrays: torch or NumPy ----------------------------------------------------------------------


class NumPyArrays:
    name = "numpy"

    def __init__(self):
        import numpy

        self.np = numpy
        self.version = f"numpy {numpy.__version__}"

    def load(self, memory, kind, count, offset):
        array = self.np.frombuffer(memory, kind, count, offset)
        return array.astype("float64") if kind == "float32" else array.copy()

    def store(self, memory, kind, count, offset, values, what):
        values = self.np.asarray(values)
        if values.shape != (count,):
            raise Refused(f"{what}: expected shape ({count},), found {tuple(values.shape)}")
        if values.dtype.kind not in "biuf":
            raise Refused(f"{what}: expected numbers, found {values.dtype}")
        with self.np.errstate(over="ignore"):
            self.np.frombuffer(memory, kind, count, offset)[:] = values

    def zeros(self, count):
        return self.np.zeros(count)

    def scatter_sum(self, values, index, count):
        result = self.np.zeros((count,) + values.shape[1:])
        self.np.add.at(result, index, values)
        return result

    def repeat(self, values, counts):
        return self.np.repeat(values, counts)

    def arange(self, count):
        return self.np.arange(count)

    def exp(self, values):
        return self.np.exp(values)

    def clamp(self, values, low, high):
        return self.np.clip(values, low, high)

    def where(self, condition, values, other):
        return self.np.where(condition, values, other)

    def padded(self, values, rows, columns, shape, fill):
        result = self.np.full(shape, fill, dtype=values.dtype)
        result[rows, columns] = values
        return result

    def owns(self, value):
        return isinstance(value, (self.np.ndarray, self.np.generic))


class TorchArrays:
    name = "torch"

    def __init__(self):
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        self.version = f"torch {torch.__version__}"
        self.kinds = {"float32": torch.float32, "float64": torch.float64, "int64": torch.int64, "uint8": torch.uint8}

    def load(self, memory, kind, count, offset):
        if count == 0:
            return self.torch.zeros(0, dtype=self.torch.float64 if kind == "float32" else self.kinds[kind])
        array = self.torch.frombuffer(memory, dtype=self.kinds[kind], count=count, offset=offset)
        return array.double() if kind == "float32" else array.clone()

    def store(self, memory, kind, count, offset, values, what):
        values = self.torch.as_tensor(values).detach()
        if tuple(values.shape) != (count,):
            raise Refused(f"{what}: expected shape ({count},), found {tuple(values.shape)}")
        if count:
            self.torch.frombuffer(memory, dtype=self.kinds[kind], count=count, offset=offset).copy_(values)

    def zeros(self, count):
        return self.torch.zeros(count, dtype=self.torch.float64)

    def scatter_sum(self, values, index, count):
        return self.torch.zeros((count,) + tuple(values.shape[1:]), dtype=values.dtype).index_add(0, index, values)

    def repeat(self, values, counts):
        return self.torch.repeat_interleave(values, counts)

    def arange(self, count):
        return self.torch.arange(count)

    def exp(self, values):
        return self.torch.exp(values)

    def clamp(self, values, low, high):
        return self.torch.clamp(values, low, high)

    def where(self, condition, values, other):
        return self.torch.where(condition, values, other)

    def padded(self, values, rows, columns, shape, fill):
        result = self.torch.full(shape, fill, dtype=values.dtype)
        return result.index_put((rows, columns), values)

    def owns(self, value):
        return isinstance(value, self.torch.Tensor)


def arrays_of(module):
    """What the file imports decides; where it imports neither, torch where it is installed."""
    imported = {value.__name__ for value in vars(module).values() if isinstance(value, types.ModuleType)}
    wanted = "torch" if "torch" in imported else "numpy" if "numpy" in imported else None
    if wanted is None:
        wanted = next((name for name in ("torch", "numpy") if importlib.util.find_spec(name)), None)
    if wanted is None:
        raise Refused(f"{sys.executable} has neither torch nor numpy, one of which a loss needs: {sys.executable} -m pip install torch, or set NR_PYTHON")
    return TorchArrays() if wanted == "torch" else NumPyArrays()


# ---- what loss() and advantages() are given -------------------------------------------------------


class View:
    """Arrays of one call, made when they are first asked for."""

    def __init__(self, arrays, source):
        self._arrays = arrays
        self._source = source
        self._logged = {}

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        value = self._make(name)
        setattr(self, name, value)
        return value

    def _make(self, name):
        if name in self._source:
            return self._source[name]()
        needed = {"reference": "reference", "sampler": "sampler", "entropy": "entropy", "values": "critic", "old_values": "critic", "returns": "critic"}.get(name)
        if needed:
            raise Refused(f'{self._name}.{name} is there for a loss that asks for it: write  needs = ["{needed}"]  in the file')
        close = [other for other in dir(self) if not other.startswith("_")] + list(self._source)
        hint = difflib.get_close_matches(name, close, 1)
        raise AttributeError(f"{self._name} has no {name}" + (f"; did you mean {hint[0]}?" if hint else f"; it has {', '.join(sorted(set(close)))}"))

    @functools.cached_property
    def sequence(self):
        """[tokens] the sequence of each token, from 0."""
        return self._arrays.repeat(self._arrays.arange(self.sequence_count), self.lengths)

    @functools.cached_property
    def position(self):
        """[tokens] each token's place in its sequence, from 0."""
        return self._arrays.arange(self.token_count) - self.spread(self.token_offsets[:-1])

    @functools.cached_property
    def lengths(self):
        """[sequences] tokens of each."""
        return self.token_offsets[1:] - self.token_offsets[:-1]

    def spread(self, values):
        """[sequences] -> [tokens]: each sequence's number at each of its tokens."""
        return self._arrays.repeat(values, self.lengths)

    def sum_per_sequence(self, values):
        """[tokens] -> [sequences]"""
        return self._arrays.scatter_sum(values, self.sequence, self.sequence_count)

    def mean_per_sequence(self, values):
        """[tokens] -> [sequences]: 0 for a sequence without tokens."""
        return self.sum_per_sequence(values) / self._arrays.clamp(self.lengths, 1, None)

    @functools.cached_property
    def mask(self):
        """[sequences, longest]: where padded() holds a token."""
        return self.padded(self._arrays.zeros(self.token_count) + 1) > 0

    def padded(self, values, fill=0.0):
        """[tokens] -> [sequences, longest], as trainers with padding have it."""
        longest = int(self.lengths.max()) if self.sequence_count else 0
        return self._arrays.padded(values, self.sequence, self.position, (self.sequence_count, longest), fill)

    def packed(self, values):
        """[sequences, longest] -> [tokens]: what padded() laid out."""
        return values[self.sequence, self.position]

    def log(self, name, value, weight=None):
        """A metric of this call. An array counts as the mean of its elements, weighted with their number."""
        if hasattr(value, "shape") and len(value.shape) > 0:
            count = math.prod(value.shape)
            weight = count if weight is None else weight
            value = value.sum() / count if count else 0.0
        value = value.detach() if hasattr(value, "detach") else value
        value, weight = float(value), float(1 if weight is None else weight)
        self._logged.setdefault(name, []).append((value, weight))


class Batch(View):
    """A micro-batch: whole sequences, packed one after another. Log-probabilities in nats."""

    _name = "batch"

    @functools.cached_property
    def log_ratio(self):
        """[tokens] current - old, kept within ±20 so that its exponential is finite; beyond, its derivative is 0."""
        return self._arrays.clamp(self.current - self.old, -LONGEST_LOG_RATIO, LONGEST_LOG_RATIO)

    @functools.cached_property
    def ratio(self):
        """[tokens] exp(log_ratio)"""
        return self._arrays.exp(self.log_ratio)


class Rollout(View):
    """The rollout: groups of sequences; the sequences of a group are adjacent."""

    _name = "rollout"

    @functools.cached_property
    def group_sizes(self):
        """[groups] sequences of each."""
        return self.group_offsets[1:] - self.group_offsets[:-1]

    @functools.cached_property
    def group(self):
        """[sequences] the group of each, from 0."""
        return self._arrays.repeat(self._arrays.arange(self.group_count), self.group_sizes)

    def spread_groups(self, values):
        """[groups] -> [sequences]"""
        return self._arrays.repeat(values, self.group_sizes)

    def sum_per_group(self, values):
        """[sequences] -> [groups]"""
        return self._arrays.scatter_sum(values, self.group, self.group_count)

    def mean_per_group(self, values):
        """[sequences] -> [groups]"""
        return self.sum_per_group(values) / self._arrays.clamp(self.group_sizes, 1, None)

    def normalised(self, values, epsilon=1e-6):
        """[sequences] -> [sequences]: (x - mean) / (deviation + epsilon) within a group, the deviation with one degree of freedom removed; 0
        where a group has one sequence or equal values."""
        centred = values - self.spread_groups(self.mean_per_group(values))
        size = self._arrays.clamp(self.group_sizes - 1, 1, None)
        deviation = (self.sum_per_group(centred * centred) / size) ** 0.5
        differs = self._differs(values)
        return self._arrays.where(self.spread_groups(differs), centred / (self.spread_groups(deviation) + epsilon), 0.0 * values)

    def _differs(self, values):
        """[groups] whether the values of a group differ: exactly, so that the mean's rounding makes no advantage."""
        if not self.sequence_count:
            return self.group_sizes > 1
        first = values[self._arrays.clamp(self.group_offsets[:-1], 0, self.sequence_count - 1)]
        return self.sum_per_group(1.0 * (values != self.spread_groups(first))) > 0


# ---- the author's file ----------------------------------------------------------------------------


class Author:
    """The author's file, read and compiled; every instance runs it in a module of its own."""

    def __init__(self, path, source):
        self.path, self.source = path, source
        self.file = os.path.basename(path)
        folder = os.path.dirname(os.path.abspath(path))
        if folder not in sys.path:
            sys.path.insert(0, folder)  # what lies beside the file can be imported
        try:
            self.code = compile(source, path, "exec")
        except SyntaxError as error:
            raise Refused(f"{self.file}:{error.lineno}: {error.msg}") from None
        import linecache

        linecache.cache[path] = (len(source), None, source.splitlines(True), path)

    def module(self):
        """A module of the file, run from its top."""
        # Under a name that nothing else has: the file may be called like a module that it imports.
        module = types.ModuleType("nr_loss_" + re.sub(r"\W", "_", os.path.splitext(self.file)[0]))
        module.__file__ = self.path
        sys.modules[module.__name__] = module  # dataclasses look there
        with self.blaming("the file"):
            exec(self.code, vars(module))
        if not callable(getattr(module, "loss", None)):
            raise Refused(f"{self.file}: has no function loss(batch)")
        return module

    def blaming(self, what):
        return Blame(self, what)


class Blame:
    """Turns what the author's code raises into a line with its place."""

    def __init__(self, author, what):
        self.author, self.what = author, what

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None or isinstance(error, KeyboardInterrupt):
            return False
        status = error.status if isinstance(error, Refused) else INTERNAL
        if isinstance(error, SystemExit):
            text = f"SystemExit({error.code})"
        elif isinstance(error, Refused):
            text = str(error)
        else:
            text = f"{kind.__name__}: {error}"
        own = [frame for frame in traceback.extract_tb(trace) if frame.filename == self.author.path]
        place = f"{self.author.file}:{own[-1].lineno}" if own else self.author.file
        raise Refused(f"{place}: {self.what}: {' '.join(text.split())}", status) from None


def parameters_of(module, author):
    """The fields of the dataclass Parameters: name, help, kind, range, preset, choices."""
    form = getattr(module, "Parameters", None)
    if form is None:
        return []
    if not (isinstance(form, type) and dataclasses.is_dataclass(form)):
        raise Refused(f"{author.file}: Parameters must be a dataclass: write @dataclass above it")
    hints = typing.get_type_hints(form, include_extras=True)
    comments = field_comments(author.source)
    rows = []
    for field in dataclasses.fields(form):
        name = field.name
        if field.default is dataclasses.MISSING:
            raise Refused(f"{author.file}: Parameters.{name} has no default: write {name}: float = 0.1")
        kind, bounds, text = hints[name], field.metadata.get("range"), field.metadata.get("help")
        if typing.get_origin(kind) is typing.Annotated:
            kind, *extra = typing.get_args(kind)
            bounds = bounds or next((e for e in extra if isinstance(e, tuple)), None)
            text = text or next((e for e in extra if isinstance(e, str)), None)
        help_text = text or comments.get(name) or f"{name} of the loss"
        preset, choices = field.default, []
        if typing.get_origin(kind) is typing.Literal:
            choices = list(typing.get_args(kind))
            if not all(isinstance(c, str) for c in choices) or preset not in choices:
                raise Refused(f"{author.file}: Parameters.{name}: a Literal of strings with one of them as the default is expected")
            rows.append((name, help_text, 3, 0.0, len(choices) - 1.0, float(choices.index(preset)), choices))
            continue
        if kind not in (float, int, bool):
            raise Refused(f"{author.file}: Parameters.{name}: expected float, int, bool or Literal[...] of strings, found {getattr(kind, '__name__', kind)}")
        low, high = bounds if bounds else (0, 1) if kind is bool else (-1e9, 1e9)
        rows.append((name, help_text, {float: 0, int: 1, bool: 2}[kind], float(low), float(high), float(preset), choices))
    return rows


def field_comments(source):
    """What stands in a comment behind each field of Parameters."""
    lines, found = source.splitlines(), {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == "Parameters":
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    match = re.search(r"#\s*(.+)$", lines[field.end_lineno - 1][field.end_col_offset or 0:])
                    if match:
                        found[field.target.id] = match.group(1).strip()
    return found


class Instance:
    """The author's functions with their parameters."""

    def __init__(self, author, values):
        self.author, self.values = author, values
        self.comes_per_sequence = None
        module = self.module = author.module()
        self.arrays = arrays_of(module)
        rows = parameters_of(module, author)
        self.parameters = None
        if rows:
            given = {}
            for (name, _, kind, _, _, _, choices), value in zip(rows, values):
                given[name] = choices[int(value)] if choices else bool(value) if kind == 2 else int(value) if kind == 1 else value
            with Blame(author, "Parameters") as _:
                try:
                    self.parameters = module.Parameters(**given)
                except ValueError as error:
                    raise Refused(str(error), BAD_PARAMETER) from None
        self.needs = sum(self.bit(name, NEEDS, "needs") for name in self.listed("needs"))
        self.stops = sum(self.bit(name, STOPS, "stopped_gradients") for name in self.listed("stopped_gradients"))
        self.metrics = declared_metrics(module, author)
        self.takes = {name: self.wants_parameters(name) for name in ("loss", "advantages", "select")}

    def listed(self, name):
        """A list in the file, or a function that makes one of the parameters."""
        value = getattr(self.module, name, ())
        if callable(value):
            with self.author.blaming(name):
                value = value(self.parameters)
        return {value} if isinstance(value, str) else set(value)

    def bit(self, name, table, what):
        if name not in table:
            raise Refused(f"{self.author.file}: {what}: expected some of {', '.join(table)}, found {name!r}")
        return table[name]

    def wants_parameters(self, name):
        function = getattr(self.module, name, None)
        if function is None:
            return False
        return len([p for p in inspect.signature(function).parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]) > 1

    def run(self, name, view):
        function = getattr(self.module, name)
        with self.author.blaming(name):
            return function(view, self.parameters) if self.takes[name] else function(view)

    # -- stages --

    def select(self, rollout):
        return self.run("select", rollout)

    def advantages(self, rollout):
        """advantages [tokens], returns [tokens] or None, counted [sequences] or None."""
        if hasattr(self.module, "advantages"):
            result = self.run("advantages", rollout)
        else:
            result = rollout.normalised(rollout.rewards)
        returns = counted = None
        if isinstance(result, dict):
            unknown = set(result) - {"advantages", "returns", "counted"}
            if unknown or "advantages" not in result:
                raise Refused(f"{self.author.file}: advantages: a dict may have advantages, returns and counted, and has to have the first; found {', '.join(sorted(result))}")
            returns, counted, result = result.get("returns"), result.get("counted"), result["advantages"]
        elif isinstance(result, tuple):
            result, returns = result
        if self.needs & CRITIC and returns is None:
            raise Refused(f"{self.author.file}: advantages: a loss with a critic returns (advantages, returns)")
        return self.per_token(result, rollout, "advantages"), None if returns is None else self.per_token(returns, rollout, "returns"), counted

    def per_token(self, values, rollout, what):
        shape = tuple(getattr(values, "shape", ()))
        if shape == (rollout.token_count,) == (rollout.sequence_count,):
            return rollout.spread(values) if what in self.per_sequence() else values
        if shape == (rollout.token_count,):
            return values
        if shape == (rollout.sequence_count,):
            return rollout.spread(values)
        raise Refused(f"{self.author.file}: {what}: expected [{rollout.sequence_count}] (sequences) or [{rollout.token_count}] (tokens), found {list(shape) if shape else type(values).__name__}")

    def per_sequence(self):
        """Which of advantages and returns come as a number a sequence: where there are as many tokens as sequences, the shape does not say.
        A rollout where it does is tried with another instance, which may remember it."""
        if self.comes_per_sequence is None:
            other = Instance(self.author, self.values)
            rollout, _ = trial_views(other)
            result = other.run("advantages", rollout) if hasattr(other.module, "advantages") else rollout.rewards
            both = (result["advantages"], result.get("returns")) if isinstance(result, dict) else result if isinstance(result, tuple) else (result, None)
            self.comes_per_sequence = {
                what for what, values in zip(("advantages", "returns"), both) if values is not None and tuple(values.shape) == (rollout.sequence_count,)}
        return self.comes_per_sequence

    def loss(self, batch):
        """The number and its derivatives by current, entropy and values [tokens]."""
        batch.__dict__["parameters"] = self.parameters
        leaves = ["current"] + (["entropy"] if self.needs & ENTROPY else []) + (["values"] if self.needs & CRITIC else [])
        torch = self.arrays.torch if self.arrays.name == "torch" else None
        if torch:
            for name in leaves:
                getattr(batch, name).requires_grad_(True)
        result = self.run("loss", batch)
        zeros = self.arrays.zeros(batch.token_count)
        if isinstance(result, tuple):
            if len(result) != 2:
                raise Refused(f"{self.author.file}: loss: expected the loss, or (loss, derivatives), found a tuple of {len(result)}")
            value, derivatives = result
            if not isinstance(derivatives, dict):
                derivatives = {"current": derivatives}
            unknown = set(derivatives) - set(leaves)
            if unknown:
                raise Refused(f"{self.author.file}: loss: derivatives by {', '.join(sorted(unknown))}; this loss has {', '.join(leaves)}")
            for name, values in derivatives.items():
                if tuple(getattr(values, "shape", ())) != (batch.token_count,):
                    raise Refused(f"{self.author.file}: loss: d_{name}: expected [{batch.token_count}] (tokens), found {list(getattr(values, 'shape', ())) or type(values).__name__}")
            return self.number(value), {name: derivatives.get(name, zeros) for name in leaves}
        if not torch:
            raise Refused(f"{self.author.file}: loss: without torch it returns (loss, d_current), or (loss, {{\"current\": ..., \"entropy\": ..., \"values\": ...}})")
        if not isinstance(result, torch.Tensor):
            raise Refused(f"{self.author.file}: loss: expected a torch scalar that depends on batch.current, found {type(result).__name__}")
        number = self.number(result)
        if not result.requires_grad:
            if batch.token_count:
                raise Refused(f"{self.author.file}: loss: what it returns does not depend on batch.current, so that there is nothing to learn from: was it detached?")
            return number, {name: zeros for name in leaves}
        found = torch.autograd.grad(result.reshape(()), [getattr(batch, name) for name in leaves], allow_unused=True)
        return number, {name: zeros if grad is None else grad for name, grad in zip(leaves, found)}

    def number(self, value):
        if hasattr(value, "shape") and math.prod(value.shape) != 1:
            raise Refused(f"{self.author.file}: loss: expected one number, found shape {list(value.shape)}: sum over tokens and divide by batch.update_tokens")
        return float(value.detach() if hasattr(value, "detach") else value)


def declared_metrics(module, author):
    """name -> (help, fold), as the file declares them."""
    declared = getattr(module, "metrics", {})
    if not isinstance(declared, dict):
        declared = {name: None for name in declared}
    result = {}
    for name, says in declared.items():
        text, fold = says if isinstance(says, tuple) else (says, "mean")
        if fold not in FOLDS:
            raise Refused(f"{author.file}: metrics: {name}: the fold {fold!r} is none of {', '.join(FOLDS)}")
        result[name] = (text or f"{name}, as the loss logs it", fold)
    return result


def folded(logged, fold):
    """What was logged in one call as (value, weight)."""
    weight = sum(w for _, w in logged)
    if weight <= 0:
        return 0.0, 0.0
    values = [v for v, w in logged if w > 0]
    if fold == "mean":
        return sum(v * w for v, w in logged) / weight, weight
    return {"sum": sum, "minimum": min, "maximum": max}[fold](values), weight


# ---- describing a file ----------------------------------------------------------------------------


def trial_views(instance):
    """A small rollout and its batch, to see whether a file runs and what it logs."""
    arrays = instance.arrays
    lengths, sizes = [3, 1, 4, 2], [2, 2]
    tokens, sequences = sum(lengths), len(lengths)
    floats = lambda values: arrays.load(bytearray(struct.pack(f"{len(values)}f", *values)), "float32", len(values), 0)
    integers = lambda values: arrays.load(bytearray(struct.pack(f"{len(values)}q", *values)), "int64", len(values), 0)
    offsets = [sum(lengths[:i]) for i in range(sequences + 1)]
    wave = lambda start, step: [start - step * (i % 5) for i in range(tokens)]
    common = {"token_offsets": lambda: integers(offsets)}
    per_token = {"old": lambda: floats(wave(-0.5, 0.25))}
    if instance.needs & REFERENCE:
        per_token["reference"] = lambda: floats(wave(-0.75, 0.25))
    rollout = Rollout(arrays, common | per_token | {
        "group_offsets": lambda: integers([0, 2, 4]), "rewards": lambda: floats([1, 0, 0, 1]), "correct": lambda: integers([1, 0, 0, 1]) > 0,
        "truncated": lambda: integers([0, 0, 0, 1]) > 0, "parts": lambda: {"correct": floats([1, 0, 0, 1])}}
        | ({"values": lambda: floats(wave(0.5, 0.125))} if instance.needs & CRITIC else {}))
    rollout.__dict__.update(token_count=tokens, sequence_count=sequences, group_count=2, step=0, total_steps=1, seed=0, token_limit=8, group_keys=[1, 2])
    batch = Batch(arrays, common | per_token | {"current": lambda: floats(wave(-0.625, 0.25)), "sequence_ids": lambda: integers(range(sequences))})
    batch.__dict__.update(
        token_count=tokens, sequence_count=sequences, step=0, epoch=0, minibatch=0, update_tokens=tokens, update_sequences=sequences,
        update_groups=2, token_limit=8)
    for bit, names in ((SAMPLER, ["sampler"]), (ENTROPY, ["entropy"]), (CRITIC, ["values", "old_values", "returns"])):
        for name in names if instance.needs & bit else ():
            batch._source[name] = lambda: floats(wave(0.75, 0.125))
    return rollout, batch


def describe(path):
    with open(path, encoding="utf-8") as file:
        author = Author(path, file.read())
    module = author.module()
    rows = parameters_of(module, author)
    instance = Instance(author, [row[5] for row in rows])
    rollout, batch = trial_views(instance)
    if hasattr(module, "select"):
        instance.select(rollout)
    advantages, _, _ = instance.advantages(rollout)
    batch._source["advantages"] = lambda: advantages + 0.0
    instance.loss(batch)
    metrics = dict(instance.metrics)
    for name in list(rollout._logged) + list(batch._logged):
        metrics.setdefault(name, (f"{name}, as the loss logs it", "mean"))
    name = getattr(module, "id", None) or re.sub(r"[^a-z0-9_-]", "-", os.path.splitext(author.file)[0].lower())[:64].strip("-") or "loss"
    doc = (module.__doc__ or "").strip().split("\n\n")[0]
    has_state = hasattr(module, "save") or hasattr(module, "restore")
    if has_state and not (hasattr(module, "save") and hasattr(module, "restore")):
        raise Refused(f"{author.file}: has one of save and restore: both or none are needed")
    card = [f"source: {os.path.abspath(path)}", f"arrays: {instance.arrays.name}, float64"]
    card += [f"{topic}: {' '.join(str(text).split())}" for topic, text in getattr(module, "card", {}).items()]
    text = lambda value: struct.pack("<Q", len(value.encode())) + value.encode()
    out = struct.pack("<QQ", hasattr(module, "select"), has_state)
    for value in (name, str(getattr(module, "version", "1")), " ".join(doc.split()) or f"{name}, a loss in Python", str(getattr(module, "reference", author.file)), "\n".join(card)):
        out += text(value)
    out += struct.pack("<QQ", int(getattr(module, "state_version", 1)) if has_state else 0, len(rows))
    for name, help_text, kind, low, high, preset, choices in rows:
        out += text(name) + text(help_text) + struct.pack("<qdddQ", kind, low, high, preset, len(choices)) + b"".join(map(text, choices))
    out += struct.pack("<Q", len(metrics))
    for name, (help_text, fold) in metrics.items():
        out += text(name) + text(help_text) + struct.pack("<q", FOLDS[fold])
    return out


# ---- serving calls --------------------------------------------------------------------------------

CALLS = "create destroy select advantages loss save restore hello".split()
NUMBERS = "call instance bytes status sequences tokens groups parts step total_steps seed token_limit epoch minibatch update_tokens update_sequences update_groups size loss needs stops metrics".split()
AT = {name: 8 * index for index, name in enumerate(NUMBERS)}
SLOTS = "group_keys group_offsets token_offsets rewards reward_parts reward_names flags old reference values ids current sampler entropy old_values returns advantages keep out_advantages out_returns counted d_current d_entropy d_values metric_values parameters state".split()
SLOT = {name: 8 * (24 + index) for index, name in enumerate(SLOTS)}
MESSAGE, MESSAGE_BYTES = 512, 508


class Server:
    def __init__(self):
        import socket

        self.socket = socket.socket(fileno=3)
        self.memory = None
        self.author = None
        self.metrics = {}
        self.instances = {}
        self.remember()

    def remember(self):
        self.memory = mmap.mmap(4, os.fstat(4).st_size)

    def number(self, name):
        return struct.unpack_from("<q", self.memory, AT[name])[0]

    def put(self, name, value, form="<q"):
        struct.pack_into(form, self.memory, AT[name], value)

    def offset(self, slot):
        return struct.unpack_from("<q", self.memory, SLOT[slot])[0]

    def has(self, slot):
        return self.offset(slot) >= 0

    def loader(self, arrays, slot, kind, count):
        return lambda: arrays.load(self.memory, kind, count, self.offset(slot))

    def loop(self):
        while self.socket.recv(1):
            if len(self.memory) != os.fstat(4).st_size:
                self.remember()
            try:
                getattr(self, CALLS[self.number("call") - 1])()
                status = OK
            except Refused as error:
                status = error.status
                self.say(str(error))
            except Exception as error:
                status = INTERNAL
                self.say(f"{type(error).__name__}: {error} (line {traceback.extract_tb(error.__traceback__)[-1].lineno} of python_loss.py)")
            self.put("status", status)
            self.socket.sendall(b"\1")

    def say(self, text):
        message = " ".join(text.split()).encode()[: MESSAGE_BYTES - 1].decode(errors="ignore").encode()
        self.memory[MESSAGE : MESSAGE + len(message) + 1] = message + b"\0"

    # -- calls --

    def hello(self):
        at, size, source, length = self.offset("state"), self.number("size"), self.offset("reward_names"), self.number("tokens")
        self.author = Author(self.memory[at : at + size].decode(), self.memory[source : source + length].decode())
        # The metrics that the library names, in its order, each with its fold.
        at = self.offset("metric_values")
        rows = self.memory[at : at + self.number("groups")].decode().split("\0")[:-1]
        folds = {number: fold for fold, number in FOLDS.items()}
        self.metrics = {name: (index, folds[int(fold)]) for index, (name, fold) in enumerate(zip(rows[::2], rows[1::2]))}

    def create(self):
        rows = parameters_of(self.author.module(), self.author)
        values = struct.unpack_from(f"<{len(rows)}d", self.memory, self.offset("parameters"))
        instance = Instance(self.author, values)
        self.instances[self.number("instance")] = instance
        self.put("needs", instance.needs)
        self.put("stops", instance.stops)

    def destroy(self):
        self.instances.pop(self.number("instance"), None)

    def of(self):
        return self.instances[self.number("instance")]

    def rollout(self, instance):
        arrays, sequences, tokens, groups, parts = instance.arrays, *(self.number(n) for n in ("sequences", "tokens", "groups", "parts"))
        at, size = self.offset("reward_names"), self.number("size")
        names = self.memory[at : at + size].decode(errors="replace").split("\0")[:-1]
        flags = lambda bit: lambda: (arrays.load(self.memory, "uint8", sequences, self.offset("flags")) & bit) > 0
        table = lambda: arrays.load(self.memory, "float32", sequences * parts, self.offset("reward_parts")).reshape(sequences, parts)
        source = {
            "group_offsets": self.loader(arrays, "group_offsets", "int64", groups + 1), "token_offsets": self.loader(arrays, "token_offsets", "int64", sequences + 1),
            "rewards": self.loader(arrays, "rewards", "float32", sequences), "correct": flags(2), "truncated": flags(1),
            "parts": lambda: {name: table()[:, index] for index, name in enumerate(names)}}
        for slot in ("old", "reference", "values"):
            if self.has(slot):
                source[slot] = self.loader(arrays, slot, "float32", tokens)
        view = Rollout(arrays, source)
        view.__dict__.update(
            token_count=tokens, sequence_count=sequences, group_count=groups, parameters=instance.parameters,
            step=self.number("step"), total_steps=self.number("total_steps"), seed=self.number("seed") & (1 << 64) - 1, token_limit=self.number("token_limit"),
            group_keys=struct.unpack_from(f"<{groups}Q", self.memory, self.offset("group_keys")))
        return view

    def select(self):
        instance = self.of()
        keep = instance.select(self.rollout(instance))
        instance.arrays.store(self.memory, "uint8", self.number("groups"), self.offset("keep"), keep, "select")

    def advantages(self):
        instance = self.of()
        rollout = self.rollout(instance)
        advantages, returns, counted = instance.advantages(rollout)
        store = instance.arrays.store
        store(self.memory, "float32", rollout.token_count, self.offset("out_advantages"), advantages, "advantages")
        if self.has("out_returns"):
            store(self.memory, "float32", rollout.token_count, self.offset("out_returns"), returns, "returns")
        if counted is not None:
            if not self.has("counted"):
                raise Refused("this host cannot leave sequences out (counted)")
            store(self.memory, "uint8", rollout.sequence_count, self.offset("counted"), counted, "counted")
        self.report(instance, rollout)

    def loss(self):
        instance, arrays = self.of(), self.of().arrays
        sequences, tokens = self.number("sequences"), self.number("tokens")
        source = {"token_offsets": self.loader(arrays, "token_offsets", "int64", sequences + 1), "sequence_ids": self.loader(arrays, "ids", "int64", sequences)}
        for slot in ("current", "old", "reference", "sampler", "entropy", "values", "old_values", "returns", "advantages"):
            if self.has(slot):
                source[slot] = self.loader(arrays, slot, "float32", tokens)
        batch = Batch(arrays, source)
        batch.__dict__.update({name: self.number(name) for name in ("step", "epoch", "minibatch", "update_tokens", "update_sequences", "update_groups", "token_limit")})
        batch.__dict__.update(token_count=tokens, sequence_count=sequences)
        value, derivatives = instance.loss(batch)
        self.put("loss", value, "<d")
        for name, derivative in derivatives.items():
            arrays.store(self.memory, "float32", tokens, self.offset("d_" + name), derivative, f"d_{name}")
        self.report(instance, batch)

    def report(self, instance, view):
        """What was logged, in the order in which the library names its metrics."""
        unknown = set(view._logged) - set(self.metrics)
        if unknown:
            raise Refused(f'{instance.author.file}: logs {sorted(unknown)[0]}, which it did not when it was looked at: declare it, as in  metrics = {{"{sorted(unknown)[0]}": "what it is"}}')
        for name, logged in view._logged.items():
            index, fold = self.metrics[name]
            struct.pack_into("<dd", self.memory, self.offset("metric_values") + 16 * index, *folded(logged, fold))

    def save(self):
        instance = self.of()
        with instance.author.blaming("save"):
            state = bytes(instance.module.save())
        room = self.number("size")
        self.put("size", len(state))
        if len(state) <= room:
            at = self.offset("state")
            self.memory[at : at + len(state)] = state

    def restore(self):
        instance = self.of()
        at, size = self.offset("state"), self.number("size")
        try:
            with instance.author.blaming("restore"):
                instance.module.restore(self.memory[at : at + size])
        except Refused as error:
            raise Refused(str(error), BAD_STATE) from None


def watch_host():
    """A loss that never ends must not stay behind when the program is gone: the other end of descriptor 3 is closed then."""
    poll = select.poll()
    poll.register(3, 0)
    while not poll.poll():
        pass
    os._exit(0)


def main():
    find_user_packages()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the run's: it stops at the end of a step
    threading.Thread(target=watch_host, daemon=True).start()
    if sys.argv[1] == "describe":
        os.dup2(2, 1)
        try:
            try:
                report = b"described\n" + describe(sys.argv[2])
            except Refused:
                raise
            except Exception as error:
                raise Refused(f"{sys.argv[2]}: {type(error).__name__}: {error}") from error
        except Refused as error:
            report = b"refused\n" + " ".join(str(error).split()).encode()
        with os.fdopen(3, "wb", closefd=False) as file:
            file.write(report)
        os._exit(0)
    Server().loop()
    os._exit(0)


main()
