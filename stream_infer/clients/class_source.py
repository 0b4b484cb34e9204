"""A class out of a program that is running, as a file of its own.

The program's file as a whole would not do: whoever imports it runs the program again, and with it the call that deploys
the class. What is taken is the class and what it refers to at the top of the file: imports, functions, other classes,
constants; and what those refer to.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator


def source_of_class(text: str, name: str, file: str) -> str | None:
    """Out of a program's `text`, the statements as they are written, in their order. None: there is no such class at
    its top."""
    statements = ast.parse(text).body
    if not any(isinstance(each, ast.ClassDef) and each.name == name for each in statements):
        return None
    lines = text.split("\n")  # as Python counts them
    needed: set[str] = {name}
    looked_at: set[str] = set()
    while left := needed - looked_at:
        looked_at |= left
        for each in statements:
            if not left.isdisjoint(_bound(each)):
                needed |= _referred(symtable.symtable(_written(each, lines), file, "exec"))
    kept = [_written(each, lines) for each in statements if _is_future(each) or not needed.isdisjoint(_bound(each))]
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
        case ast.If() if _is_main_guard(statement):
            return
        case ast.If() | ast.Try() | ast.With():
            for inner in ast.iter_child_nodes(statement):
                for each in inner.body if isinstance(inner, ast.ExceptHandler) else [inner]:
                    if isinstance(each, ast.stmt):
                        yield from _bound(each)


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
