"""Small changes of a Python file, each as a careless engineer would make it, found in its syntax tree."""

import ast
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_FUNCTIONS = {"any": "all", "all": "any", "min": "max", "max": "min"}
_ARGUMENT_ALONE = {"sorted", "set", "reversed", "round", "abs"}
_EMPTY = {"list": "[]", "tuple": "()", "set": "set()", "frozenset": "frozenset()", "dict": "{}", "Iterator": "iter(())"}
# What tests cannot see, or must not: layout of classes, text for people who wait, guards against our own slips.
_UNSEEN_ARGUMENTS = {"slots", "frozen", "strict", "encoding", "exist_ok", "description", "title"}
_UNSEEN_CALLS = {"log", "on_progress", "say", "tell", "debug", "info", "echo"}


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change of one file."""

    path: Path
    line: int
    start: int  # characters from the file's beginning
    end: int
    new: str
    kind: str
    shown: str = ""  # the old text and the new one, in a line

    def apply(self, text: str) -> str:
        """Return the file's text with the change made."""
        return text[: self.start] + self.new + text[self.end :]


def _cut(text: str) -> str:
    return text if len(text) <= 70 else f"{text[:67]}..."


def _show(mutation: Mutation, text: str) -> str:
    old = text[mutation.start : mutation.end] or text.splitlines()[mutation.line - 1]
    return f"{mutation.kind}: " + "  ->  ".join(_cut(" ".join(part.split())) for part in (old, mutation.new))


def find_mutations(path: Path) -> list[Mutation]:
    """Return every change of a file that this module knows, in the order of its lines."""
    text = path.read_text(encoding="utf-8")
    every = [mutation for mutation in _Finder(path, text).found() if mutation.apply(text) != text]
    found = [replace(mutation, shown=_show(mutation, text)) for mutation in every]
    return sorted(found, key=lambda mutation: (mutation.start, mutation.end, mutation.new))


class _Finder:
    """The changes of one file."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.tree = path, ast.parse(text)
        # The tree counts in bytes of a line, texts are cut in characters.
        self.lines = text.splitlines(keepends=True)
        self.begins = [0]
        for line in self.lines:
            self.begins.append(self.begins[-1] + len(line))

    def found(self) -> Iterator[Mutation]:
        returns: dict[ast.AST, str] = {}
        for function in (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)):
            annotation = ast.unparse(function.returns) if function.returns else ""
            returns.update({node: annotation for node in ast.walk(function) if isinstance(node, ast.Return)})
        for node in _seen(self.tree):
            if isinstance(node, ast.expr):
                for kind, new in _changed_expressions(node):
                    yield self._replaced(node, f"({ast.unparse(new)})", kind)
            elif isinstance(node, ast.comprehension):
                for condition in node.ifs:
                    yield self._replaced(condition, "True", "condition dropped")
            elif isinstance(node, ast.Return):
                for kind, new in _changed_returns(node, returns[node]):
                    yield self._replaced(node, new, kind)
            elif isinstance(node, ast.Expr | ast.AugAssign | ast.Raise | ast.Continue):
                yield self._replaced(node, "pass", "statement dropped")
            elif isinstance(node, ast.If):
                yield self._replaced(node.test, f"not ({ast.unparse(node.test)})", "condition turned")
            elif isinstance(node, ast.For):
                yield self._after(node.body[-1], "break", "only the first of a loop", node.lineno)
            elif isinstance(node, ast.FunctionDef) and isinstance(node.returns, ast.Constant) and len(node.body) > 1:
                yield self._after(node.body[0], "return", "nothing done", node.lineno)

    def _replaced(self, node: ast.expr | ast.stmt, new: str, kind: str) -> Mutation:
        start = self._place(node.lineno, node.col_offset)
        end = self._place(cast(int, node.end_lineno), cast(int, node.end_col_offset))
        return Mutation(self.path, node.lineno, start, end, new, kind)

    def _after(self, node: ast.stmt, new: str, kind: str, line: int) -> Mutation:
        """A statement more after another one of its block."""
        end = self._place(cast(int, node.end_lineno), cast(int, node.end_col_offset))
        return Mutation(self.path, line, end, end, f"\n{' ' * node.col_offset}{new}", kind)

    def _place(self, line: int, column: int) -> int:
        characters = len(self.lines[line - 1].encode()[:column].decode())
        return self.begins[line - 1] + characters


def _seen(node: ast.AST) -> Iterator[ast.AST]:
    """Everything below a node that does something when it runs: no annotations, decorators or docstrings."""
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "bases"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not _unseen(child):
                    # In which order a loop goes is seldom seen from outside.
                    ordered = name == "iter" and _called(child) == "sorted"
                    yield from [below for below in _seen(child) if below is not child] if ordered else _seen(child)


def _unseen(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in _UNSEEN_ARGUMENTS
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or _called(node.value) in _UNSEEN_CALLS
    return isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert)


def _called(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)


def _changed_expressions(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Compare(ops=[operator, *_]):
            changed = deepcopy(node)
            changed.ops[0] = _COMPARISONS[type(operator)]()
            yield "comparison changed", changed
        case ast.BoolOp():
            yield from _changed_conditions(node)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not dropped", operand
        case ast.BinOp(op=operator) if type(operator) in _OPERATORS:
            yield "operator changed", ast.BinOp(node.left, _OPERATORS[type(operator)](), node.right)
        case ast.IfExp():
            yield "branches exchanged", ast.IfExp(node.test, node.orelse, node.body)
        case ast.Constant(value=bool() as value):
            yield "constant changed", ast.Constant(not value)
        case ast.Constant(value=int() | float() as number):
            yield "constant changed", ast.Constant(number + 1)
        case ast.Subscript(slice=ast.Constant(value=0)):
            yield "last for first", ast.Subscript(node.value, ast.Constant(-1), node.ctx)
        case ast.Subscript(slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))):
            yield "first for last", ast.Subscript(node.value, ast.Constant(0), node.ctx)
        case ast.Call():
            yield from _changed_calls(node)
        case ast.List() | ast.Set() | ast.Tuple() | ast.Dict():
            yield from _changed_collections(node)


def _changed_conditions(node: ast.BoolOp) -> Iterator[tuple[str, ast.expr]]:
    yield "and/or changed", ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    for value in node.values:
        rest = [other for other in node.values if other is not value]
        yield "condition dropped", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _changed_collections(node: ast.List | ast.Set | ast.Tuple | ast.Dict) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Dict):
        places = range(len(node.keys)) if len(node.keys) > 1 else ()
        for left_out in places:
            rest = [place for place in places if place != left_out]
            yield "entry left out", ast.Dict([node.keys[at] for at in rest], [node.values[at] for at in rest])
        return
    # A tuple of other than plain values is mostly a pair to unpack.
    if isinstance(node, ast.Tuple) and not all(isinstance(element, ast.Constant) for element in node.elts):
        return
    for element in node.elts if len(node.elts) > 1 else ():
        changed = deepcopy(node)
        changed.elts = [other for other in node.elts if other is not element]
        yield "element left out", changed


def _changed_calls(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    name = _called(node) or ""
    if isinstance(node.func, ast.Name) and name in _FUNCTIONS:
        yield "function changed", ast.Call(ast.Name(_FUNCTIONS[name], ast.Load()), node.args, node.keywords)
    if isinstance(node.func, ast.Name) and name in _ARGUMENT_ALONE and node.args:
        yield "call dropped", node.args[0]
    for keyword in node.keywords:
        if keyword.arg is not None and keyword.arg not in _UNSEEN_ARGUMENTS:
            rest = [other for other in node.keywords if other is not keyword]
            yield "argument left out", ast.Call(node.func, node.args, rest)


def _changed_returns(node: ast.Return, annotation: str) -> Iterator[tuple[str, str]]:
    if node.value is None or ast.unparse(node.value) == "None":
        return
    if annotation.endswith("| None"):
        yield "nothing returned", "return None"
    elif annotation == "bool":
        yield "answer turned", f"return not ({ast.unparse(node.value)})"
    elif (kind := annotation.split("[", maxsplit=1)[0]) in _EMPTY:
        yield "nothing returned", f"return {_EMPTY[kind]}"
