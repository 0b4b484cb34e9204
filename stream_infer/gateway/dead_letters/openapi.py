"""What the OpenAPI document says of dead letters."""

from __future__ import annotations

from typing import Any

from stream_infer.gateway.dead_letters.bodies import DeadLetterDetail, DeadLetterList, ReplayBody, ReplayRequest
from stream_infer.gateway.openapi_parts import (
    answer_of,
    json_answer,
    lines_answer,
    operation,
    path_parameter,
    query_parameter,
    ref,
    whole,
)
from stream_infer.http.requests import JSON_TYPE


def dead_letter_paths() -> dict[str, Any]:
    owners = {
        "/v1/apis/{api}/dlq": ("Api", path_parameter("api", "The API's name.")),
        "/v1/jobs/{job_id}/dlq": ("Job", path_parameter("job_id", "The job's id.")),
    }
    paths: dict[str, Any] = {}
    for path, (owner, parameter) in owners.items():
        paths[path] = {"get": _list_of_letters(owner, parameter)}
        paths[f"{path}/export"] = {"get": _export_of_letters(owner, parameter)}
        paths[f"{path}/replay"] = {"post": _replay_of_letters(owner, parameter)}
        ref = path_parameter("ref", "PARTITION-OFFSET, as the list gives it.")
        one = {"200": json_answer("The dead letter.", DeadLetterDetail)}
        paths[f"{path}/{{ref}}"] = {
            "get": operation(f"get{owner}DeadLetter", "Look at a dead letter", one, [parameter, ref])
        }
        paths[f"{path}/{{ref}}/payload"] = {"get": _payload_of_letter(owner, parameter, ref)}
    return paths


def _list_of_letters(owner: str, parameter: dict[str, Any]) -> dict[str, Any]:
    limit = query_parameter("limit", "At most as many.", whole(1, 1000, 100))
    listed = {"200": json_answer("Dead letters.", DeadLetterList)}
    return operation(f"list{owner}DeadLetters", "List dead letters", listed, [parameter, limit, *_letter_filter()])


def _export_of_letters(owner: str, parameter: dict[str, Any]) -> dict[str, Any]:
    encodings = {"type": "string", "enum": ["readable", "base64"], "default": "readable"}
    payload = query_parameter("payload", "base64: each payload to the byte.", encodings)
    return operation(
        f"export{owner}DeadLetters",
        "Read all dead letters, the oldest of a partition first",
        {"200": lines_answer("One dead letter a line, with its payload and headers.")},
        [parameter, *_letter_filter(), payload],
    )


def _replay_of_letters(owner: str, parameter: dict[str, Any]) -> dict[str, Any]:
    done = json_answer("They run again.", ReplayBody)
    return operation(
        f"replay{owner}DeadLetters",
        "Run dead letters again: a job's, once it has ended, or those of an API that belong to no job",
        {"200": done, "202": json_answer("The gateway goes on with it; ask again to see how far it is.", ReplayBody)},
        [parameter],
        {JSON_TYPE: {"schema": ref(ReplayRequest)}},
    )


def _payload_of_letter(owner: str, parameter: dict[str, Any], letter: dict[str, Any]) -> dict[str, Any]:
    """`owner` is "Api" or "Job"."""
    some = {"type": "string", "format": "binary"}
    answers = {
        "200": answer_of("Its bytes: as a picture, where they are one, else as a file.", some, "*/*"),
        "204": {"description": "Its value was null."},
    }
    return operation(f"get{owner}DeadLetterPayload", "Bring the payload of a dead letter", answers, [parameter, letter])


def _letter_filter() -> list[dict[str, Any]]:
    text = {"type": "string"}
    return [
        query_parameter("stage", "Only those of this stage.", text),
        query_parameter("exception", "Only those of this exception, by its full name or the last part of it.", text),
        query_parameter("message", "Only those whose message has this in it.", text),
        query_parameter("replayed", "Those that run again since a replay, too.", {"type": "boolean"}),
    ]
