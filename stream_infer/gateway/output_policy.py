"""Where a job may have its results assembled, and what its objects are called there."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from stream_infer.gateway.services import SourceReader
from stream_infer.http.problems import FieldError, Problem, ProblemKind
from stream_infer.jobs.assembling import Assemble, allowed_place, base_of, base_of_first
from stream_infer.jobs.spec import Job, JobSpec
from stream_infer.results import ResultFormat, Results


def check_assembly(spec: JobSpec, results: Results | None, allowed: Sequence[str]) -> None:
    """`results` is all that holds for the job. Raises a Problem that says what to change."""
    if spec.assemble is None:
        return
    if results is not None and results.format != ResultFormat.JSONL:
        raise _refused("/assemble", f"objects are assembled of results as jsonl, and this job's are {results.format}")
    for name in ("item_list", "plugin"):
        if getattr(spec, name) is not None:
            detail = f"an object is assembled for each object of the source, and a source by {name} has none"
            raise _refused("/assemble", detail)
    output = spec.assemble.output
    if output is not None and allowed_place(output, allowed) is None:
        listed = ", ".join(allowed) or "none"
        detail = (
            f"{output[:200]} is below none of the allowed outputs ({listed}): add it to sink.allowed_outputs in "
            "stream-infer.yaml"
        )
        raise _refused("/assemble/output", detail)


def with_base(assemble: Assemble, job: Job, read_source: SourceReader | None) -> Assemble:
    """`assemble` with its base. May block, and raise what reading does: a manifest says it itself."""
    if assemble.base is not None:
        return assemble
    base = base_of(job)
    if base is None and job.manifest is not None and read_source is not None:
        whole = job.model_copy(
            update={"manifest": job.manifest.model_copy(update={"split": "none", "compression": "none"})}
        )
        items = read_source(whole)
        first = next(items, None)
        if isinstance(items, Generator):
            items.close()
        base = None if first is None else base_of_first(first.source, (first.key or b"").decode(errors="replace"))
    return assemble.model_copy(update={"base": base or ""})


def _refused(pointer: str, detail: str) -> Problem:
    error = FieldError(pointer=pointer, detail=detail)
    return Problem(ProblemKind.INVALID_REQUEST, f"{pointer}: {detail}", errors=[error])
