"""Which language a filter is written in."""

from __future__ import annotations

from stream_infer.shaping.filters import Filter


def compile_filter(text: str) -> Filter:
    """JSONPath where it begins with `$`, else JMESPath. Raises MalformedFilter.

    Each is imported where a job asks for it: at 0.1 s for JSONPath, no worker without a filter waits for it.
    """
    if text.startswith("$"):
        from stream_infer.shaping.jsonpath import JsonPathFilter

        return JsonPathFilter(text)
    from stream_infer.shaping.jmespath import JmesPathFilter

    return JmesPathFilter(text)
