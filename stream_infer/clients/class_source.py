"""A class out of a program that is running, as a file of its own.

The program's file as a whole would not do: whoever imports it runs the program again, and with it the call that deploys
the class. What is taken is the class and what it refers to at the top of the file: imports, functions, other classes,
constants, with what is put into them there (`TABLE["a"] = 1`, `NAMES.append("b")`, a loop that does); and what those
refer to. What is done to an imported module, or by calling a class, stays behind: it may be what deploys the class.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator

_IMPORTS = (ast.Import, ast.ImportFrom)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def source_of_class(text: str, name: str, file: str) -> str | None:
    """Out of a program's `text`, the statements as they are written, in their order. None: there is no such class at
    its top."""
    statements = ast.parse(text).body
    if not any(isinstance(each, ast.ClassDef) and each.name == name for each in statements):
        return None
    lines = text.split("\n")  # as Python counts them
    own = {one for each in statements if not isinstance(each, _IMPORTS) for one in _bound(each)}
    values = {one for each in statements if not isinstance(each, (*_IMPORTS, *_DEFINITIONS)) for one in _bound(each)}
    gives = {
        each: {*_bound(each), *own.intersection(_set(each)), *values.intersection(_called(each))} for each in statements
    }
    needed: set[str] = {name}
    looked_at: set[str] = set()
    while left := needed - looked_at:
        looked_at |= left
        for each in statements:
            if not left.isdisjoint(gives[each]):
                needed |= _referred(symtable.symtable(_written(each, lines), file, "exec"))
    kept = [_written(each, lines) for each in statements if _is_future(each) or not needed.isdisjoint(gives[each])]
    # Statements that share a line are written once.
    return "\n".join([f'"""{name}, from {file}. Written by stream_infer."""', "", *dict.fromkeys(kept), ""])


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top gives something; of an `if` or a `try` all that stand in it."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield statement.name
        case ast.Import() | ast.ImportFrom():
            for alias in statement.names:
                yield alias.asname or alias.name.partition(".")[0]
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id
        case _:
            for each in _inside(statement):
                yield from _bound(each)


def _set(statement: ast.stmt) -> Iterator[str]:
    """The names in whose values a statement at the top sets something."""
    match statement:
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            for node in ast.walk(statement):
                if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
                    yield from _base(node)
        case _:
            for each in _inside(statement):
                yield from _set(each)


def _called(statement: ast.stmt) -> Iterator[str]:
    """The names whose values' own methods a statement at the top calls, for nothing but what those do."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute() as method)):
            yield from _base(method)
        case _:
            for each in _inside(statement):
                yield from _called(each)


def _base(node: ast.expr) -> Iterator[str]:
    """`a` of `a.b["c"]`."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def _inside(statement: ast.stmt) -> Iterator[ast.stmt]:
    """The statements that stand in one, where they are of the same scope and may be run."""
    match statement:
        case ast.If() if _is_main_guard(statement):
            return
        case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
            for inner in ast.iter_child_nodes(statement):
                for each in inner.body if isinstance(inner, ast.ExceptHandler) else [inner]:
                    if isinstance(each, ast.stmt):
                        yield each


def _referred(table: symtable.SymbolTable) -> set[str]:
    """What a statement at the top wants of the top: the names of functions' own variables are none of it."""
    is_top = table.get_type() == "module"
    own = {each.get_name() for each in table.get_symbols() if (each.is_referenced() if is_top else each.is_global())}
    return own.union(*map(_referred, table.get_children()))


def _is_main_guard(statement: ast.If) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test))


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _written(statement: ast.stmt, lines: list[str]) -> str:
    """With its decorators."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(each.lineno for each in decorators)])
    return "\n".join(lines[first - 1 : statement.end_lineno])
