"""JMESPath, by jmespath.py."""

from __future__ import annotations

from typing import Any

import jmespath
import orjson
from jmespath import functions
from jmespath.exceptions import ArityError, EmptyExpressionError, JMESPathError, ParseError
from jmespath.visitor import Options, TreeInterpreter

from stream_infer.shaping.filters import FilterFailed, MalformedFilter, Steps
from stream_infer.shaping.sizes import is_larger

_LANGUAGE = "JMESPath"
# Nodes of an expression that make something new, whose size costs steps.
_MAKING = frozenset(
    {"filter_projection", "flatten", "function_expression", "multi_select_dict", "multi_select_list", "projection",
     "slice", "value_projection"}
)  # fmt: skip
_LARGEST_TEXT = 1024 * 1024


class JmesPathFilter:
    """What is not there is null, as JMESPath has it."""

    may_enlarge = True

    def __init__(self, text: str) -> None:
        """Raises MalformedFilter."""
        self._text = text
        self._steps = Steps()
        try:
            self._parsed = jmespath.compile(text).parsed
        except ParseError as error:
            raise MalformedFilter(text, error.lex_position, _reason(error), _LANGUAGE) from None
        except EmptyExpressionError:
            raise MalformedFilter(text, 0, "it is empty", _LANGUAGE) from None
        except RecursionError:
            raise MalformedFilter(text, 0, "it is nested too deeply", _LANGUAGE) from None
        except Exception as error:  # noqa: BLE001 - whatever the library stumbles over is no expression
            raise MalformedFilter(text, 0, f"it cannot be read: {error!r}"[:200], _LANGUAGE) from None
        _check_functions(text, self._parsed)
        self._interpreter = _Counted(self._steps)

    def __call__(self, value: Any) -> Any:
        self._steps.begin()
        try:
            return self._interpreter.visit(self._parsed, value)
        except ArityError as error:
            raise FilterFailed(f"{self._text}: {error}") from None
        except JMESPathError as error:
            raise FilterFailed(f"{self._text}: {str(error)[:300]}") from None
        except (TypeError, ValueError, OverflowError, RecursionError, ZeroDivisionError) as error:
            if isinstance(error, FilterFailed):
                raise
            # The library checks the types of some arguments only.
            raise FilterFailed(f"{self._text}: {error}") from None


class _Functions(functions.Functions):
    """The standard ones; the text of a value that shares its parts may be far longer than the value."""

    @functions.signature({"types": []})
    def _func_to_string(self, arg: Any) -> str:
        if is_larger(arg, _LARGEST_TEXT):
            raise FilterFailed(f"to_string of more than {_LARGEST_TEXT:,} bytes")
        return arg if isinstance(arg, str) else orjson.dumps(arg).decode()


class _Counted(TreeInterpreter):
    def __init__(self, steps: Steps) -> None:
        super().__init__(Options(custom_functions=_Functions()))
        self._steps = steps

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._steps.spend()
        made = super().visit(node, *args, **kwargs)
        if node["type"] in _MAKING and isinstance(made, str | list | dict):
            self._steps.spend(len(made))
        return made


def _check_functions(text: str, parsed: Any) -> None:
    """A function that is not there would fail every item: it fails the expression."""
    known = functions.Functions.FUNCTION_TABLE
    stack = [parsed]
    while stack:
        node = stack.pop()
        if node["type"] == "function_expression" and node["value"] not in known:
            raise MalformedFilter(text, text.find(node["value"]), f"no function {node['value']}()", _LANGUAGE)
        stack += [child for child in node.get("children", ()) if isinstance(child, dict)]


def _reason(error: ParseError) -> str:
    """Without the drawing beneath it."""
    if not error.token_value:
        return "it is not complete"
    said = getattr(error, "message", None) or error.msg
    return f"{said} (token {error.token_value!r})"
