"""Reads the body of a bulk request into operations, as strictly as a node does.

One malformed action line, one id over 512 bytes or a missing last line break refuses the whole
request. Whether a source line is JSON is found out later and fails only its item. A last action
line without a source line is passed over in silence, as a node does it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import orjson

Action = Literal["create", "index", "delete", "update"]
ACTIONS: frozenset[str] = frozenset(get_args(Action))
PARAMETERS = {
    *("_index", "_id", "_source", "routing", "version", "version_type", "if_seq_no"),
    *("if_primary_term", "retry_on_conflict", "pipeline", "dynamic_templates"),
    *("require_alias", "require_data_stream", "list_executed_pipelines"),
}
ID_BYTES_MAX = 512


@dataclass(slots=True)
class Operation:
    """One action line with its source line (empty for `delete`). `id` None: the node makes one."""

    action: Action
    index: str
    id: str | None
    source: bytes
    parameters: dict[str, Any]


class Refusal(Exception):
    """The whole request is refused; `body` is what a node answers then."""

    def __init__(
        self,
        type: str,
        reason: str,
        status: int = 400,
        *,
        cause: str | None = None,
        details: Mapping[str, str] | None = None,
    ):
        super().__init__(reason)
        self.status = status
        error = {"type": type, "reason": reason, **(details or {})}
        caused_by = {"caused_by": {"type": cause, "reason": reason}} if cause else {}
        self.body: Any = {
            "error": {"root_cause": [error], **error, **caused_by},
            "status": status,
        }


def read_operations(body: bytes, default_index: str | None = None) -> list[Operation]:
    """All operations in order. Raises Refusal."""
    if not body:
        raise Refusal("parse_exception", "request body is required")
    if not body.endswith(b"\n"):
        reason = "The bulk request must be terminated by a newline [\\n]"
        raise Refusal("illegal_argument_exception", reason)
    operations = list(_operations(body.split(b"\n")[:-1], default_index))
    problems = [problem for operation in operations for problem in _problems(operation)]
    if not operations:
        problems = ["no requests added"]
    if problems:
        listed = "".join(f"{n}: {problem};" for n, problem in enumerate(problems, 1))
        raise Refusal("action_request_validation_exception", f"Validation Failed: {listed}")
    return operations


def json_error_types(error: orjson.JSONDecodeError) -> tuple[str, str]:
    """The error types of a node's JSON reader, the outer and the one that caused it."""
    if "end of data" in error.msg:
        return "x_content_e_o_f_exception", "json_e_o_f_exception"
    return "x_content_parse_exception", "json_parse_exception"


def _operations(lines: list[bytes], default_index: str | None) -> Iterator[Operation]:
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        if not line:
            continue
        action, parameters = _read_action(number, line)
        source = b"" if action == "delete" else next(numbered, (0, None))[1]
        if source is None:
            return
        index = parameters.pop("_index", default_index) or ""
        id = parameters.pop("_id", None)
        id = str(id) if isinstance(id, int) else id
        yield Operation(action, index, id, source.removesuffix(b"\r"), parameters)


def _read_action(number: int, line: bytes) -> tuple[Action, dict[str, Any]]:
    parsed = _read_json(line)
    if not isinstance(parsed, dict):
        raise _malformed(number, f"START_OBJECT but found [{_token(parsed)}]")
    if not parsed:
        raise _malformed(number, "FIELD_NAME but found [END_OBJECT]")
    action, parameters = next(iter(parsed.items()))
    if action not in ACTIONS:
        known = "field [create], [delete], [index] or [update]"
        raise _malformed(number, f"{known} but found [{action}]")
    if not isinstance(parameters, dict):
        raise _malformed(number, f"START_OBJECT or END_OBJECT but found [{_token(parameters)}]")
    for unknown in parameters.keys() - PARAMETERS:
        reason = f"Action/metadata line [{number}] contains an unknown parameter [{unknown}]"
        raise Refusal("illegal_argument_exception", reason)
    return action, parameters


def _read_json(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        outer, inner = json_error_types(error)
        raise Refusal(outer, error.msg, cause=inner) from None


def _malformed(number: int, expected: str) -> Refusal:
    reason = f"Malformed action/metadata line [{number}], expected {expected}"
    return Refusal("illegal_argument_exception", reason)


def _token(value: Any) -> str:
    if value is None:
        return "VALUE_NULL"
    names = {list: "START_ARRAY", str: "VALUE_STRING", bool: "VALUE_BOOLEAN"}
    return names.get(type(value), "VALUE_NUMBER")


def _problems(operation: Operation) -> Iterator[str]:
    if not operation.index:
        yield "index is missing"
    if operation.action == "update" and not {"doc", "script"} & _read_json(operation.source).keys():
        yield "script or doc is missing"
    if operation.id is None:
        if operation.action in ("delete", "update"):
            yield "id is missing"
        return
    id_bytes = len(operation.id.encode())
    if id_bytes > ID_BYTES_MAX:
        yield (
            f"id [{operation.id}] is too long, must be no longer than {ID_BYTES_MAX} bytes "
            f"but was: {id_bytes}"
        )
