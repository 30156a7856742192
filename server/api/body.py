"""Read a JSON body once, strictly, into a checked object; every failure is a 400 that names the field."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from crypto.canonical import parse_json
from server.errors import RequestError
from server.ports import JsonObject
from server.settings import Settings

Model = TypeVar("Model", bound=BaseModel)
#: A field of ours or a position; a key that the client made up (of `metadata`, say) is its own word and is not repeated.
_FIELD: Final = re.compile(r"[a-z_]{1,40}|[0-9]{1,6}")


async def read_json_object(request: Request, settings: Settings) -> JsonObject:
    """Read and parse the body; raises `RequestError` or `EncodingError`."""
    kind = request.headers.get("content-type", "").partition(";")
    if kind[0].strip().lower() != "application/json":
        raise RequestError("send the body as Content-Type: application/json", code="unsupported_media_type", status=415)
    charset = kind[2].partition("charset=")[2].strip().strip('"').lower()
    if charset not in ("", "utf-8", "utf8"):
        raise RequestError("send the body in UTF-8", code="unsupported_media_type", status=415)
    value = parse_json(await request.body(), depth_max=settings.json_depth_max, nodes_max=settings.json_nodes_max)
    if not isinstance(value, dict):
        raise RequestError("the body must be a JSON object")
    return value


def check(model: type[Model], value: JsonObject) -> Model:
    """Check *value* against *model*; raises `RequestError` naming the first field that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _explain(error) from None


def _explain(error: ValidationError) -> RequestError:
    errors = error.errors(include_input=False, include_url=False, include_context=False)
    first = _telling(errors)
    location = [str(part) for part in first["loc"]]
    if location[-1] == "str":
        location.pop()
    param = ".".join(takewhile(_FIELD.fullmatch, location))[:200]
    if first["type"] == "extra_forbidden":
        named = ".".join(location)[:200]
        return RequestError(f"unrecognised field {location[-1][:64]!r}", param=named, code="unknown_parameter")
    if first["type"] == "missing":
        return RequestError(f"the field {param!r} is missing", param=param, code="missing_required_parameter")
    return RequestError(f"{param}: {first['msg']}", param=param, code="invalid_value")


def _telling(errors: list[ErrorDetails]) -> ErrorDetails:
    """Return the first error; of a field that may be a text or a list, the one about the list if it was given one."""
    first = errors[0]
    branch = str(first["loc"][-1])
    if first["type"] != "string_type" or not (branch == "str" or branch.startswith("constrained-str")):
        return first
    about = first["loc"][:-1]
    others = (one for one in errors[1:] if one["loc"][: len(about)] == about and one["type"] != "list_type")
    return next(others, first)


def json_body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI fragment for an endpoint that reads *model* itself; `server.api.contract` holds its schema."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
