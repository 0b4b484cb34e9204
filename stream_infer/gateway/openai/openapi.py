"""What the OpenAPI document says of OpenAI's files and batches."""

from __future__ import annotations

from typing import Any

from stream_infer.gateway.openai.bodies import (
    OpenAiBatch,
    OpenAiBatchList,
    OpenAiError,
    OpenAiFile,
    OpenAiFileDeleted,
    OpenAiFileList,
)
from stream_infer.gateway.openai.form import FORM
from stream_infer.gateway.openai.request import CreateBatch
from stream_infer.gateway.openapi_parts import (
    answer_of,
    json_answer,
    operation,
    path_parameter,
    query_parameter,
    ref,
    whole,
)
from stream_infer.http.requests import JSON_TYPE

OPENAI_READ = (CreateBatch,)
OPENAI_WRITTEN = (OpenAiBatch, OpenAiBatchList, OpenAiError, OpenAiFile, OpenAiFileDeleted, OpenAiFileList)
_TEXT = {"type": "string"}


def openai_paths() -> dict[str, Any]:
    file_id, batch_id = path_parameter("file_id", "The file's id."), path_parameter("batch_id", "The batch's id.")
    after = query_parameter("after", "The last id of the page before.", _TEXT)
    order = query_parameter("order", "By when they were made.", {**_TEXT, "enum": ["asc", "desc"], "default": "desc"})
    purpose = query_parameter("purpose", "batch or batch_output: only these.", _TEXT)
    file_limit = query_parameter("limit", "At most as many; a page has 100 at most.", whole(1, 10_000, 10_000))
    batch_limit = query_parameter("limit", "At most as many.", whole(1, 100, 20))
    form = {
        "type": "object",
        "required": ["file", "purpose"],
        "properties": {"file": {**_TEXT, "format": "binary"}, "purpose": {**_TEXT, "enum": ["batch"]}},
    }
    one_file, one_batch = json_answer("The file.", OpenAiFile), json_answer("The batch.", OpenAiBatch)
    content = answer_of("The file, byte for byte.", {**_TEXT, "format": "binary"}, "application/octet-stream")
    return {
        "/v1/files": {
            "post": _operation("CreateFile", "Send a file of requests", one_file, body={FORM: {"schema": form}}),
            "get": _operation(
                "ListFiles", "List files", json_answer("A page.", OpenAiFileList), [after, file_limit, order, purpose]
            ),
        },
        "/v1/files/{file_id}": {
            "get": _operation("GetFile", "Look at a file", one_file, [file_id]),
            "delete": _operation(
                "DeleteFile", "Delete a file", json_answer("It is gone.", OpenAiFileDeleted), [file_id]
            ),
        },
        "/v1/files/{file_id}/content": {"get": _operation("GetFileContent", "Read a file", content, [file_id])},
        "/v1/batches": {
            "post": _operation(
                "CreateBatch", "Begin a batch", one_batch, body={JSON_TYPE: {"schema": ref(CreateBatch)}}
            ),
            "get": _operation(
                "ListBatches",
                "List batches, the newest first",
                json_answer("A page.", OpenAiBatchList),
                [after, batch_limit],
            ),
        },
        "/v1/batches/{batch_id}": {"get": _operation("GetBatch", "Look at a batch", one_batch, [batch_id])},
        "/v1/batches/{batch_id}/cancel": {
            "post": _operation(
                "CancelBatch", "Cancel a batch: its requests that have not begun are skipped", one_batch, [batch_id]
            )
        },
    }


def _operation(
    name: str,
    summary: str,
    answered: dict[str, Any],
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """As OpenAI's clients call it; errors are theirs, too."""
    responses = {"200": answered, "default": json_answer("What is wrong.", OpenAiError)}
    about = {"description": "As OpenAI's clients call it; errors are theirs."}
    return operation(f"openai{name}", summary, responses, parameters, body) | about
