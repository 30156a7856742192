"""The documentation says what the code does: every table that could drift is compared with its source."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from crypto import manifest
from server.api import admin_schemas, schemas
from server.app import ROUTERS
from server.cli import app as command_line
from server.errors import _TABLE
from server.log.metrics import LogTelemetry
from server.reuse.answers import Account, nearest_to_json
from server.reuse.decision import Explanation
from server.reuse.guards import facts
from server.reuse.outcomes import Hit, Miss
from server.reuse.payload import EntryPayload
from server.runner.protocol import provenance_object
from server.settings import ENVIRONMENT_PREFIX, Settings
from server.store import tables
from server.telemetry import Telemetry
from tenants.identifiers import EntryId, LookupId
from tenants.quotas import Quota
from tenants.scopes import ROLES, Scope

ROOT = Path(__file__).parents[2]
PACKAGES = ("crypto", "privacy", "tenants", "server", "migrations")
TAG = re.compile(r"hitproof[/-][a-z][a-z0-9-]*/v[0-9]+")
#: A placeholder in the description of what a tag looks like.
NO_TAGS = frozenset({"hitproof/name/v1"})
#: Pages that must be there for the index of docs/README.md to be complete.
KINDS = ("tutorial", "how-to", "reference", "explanation")
PROSE_ROOT = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")


@cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pages() -> list[Path]:
    found = [ROOT / name for name in PROSE_ROOT if (ROOT / name).exists()]
    return found + sorted((ROOT / "docs").rglob("*.md"))


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def rows_of(name: str, first: str = r"`[^`]+`") -> list[list[str]]:
    """Return the cells of every table row on a page whose first cell matches *first*."""
    found = []
    for line in text_of(name).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if line.startswith("|") and re.fullmatch(first, cells[0]):
            found.append(cells)
    return found


# Links and names


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page if not path else (page.parent / path).resolve()
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors_of(file), f"{page.name}: {target} has no such heading"


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w/])tests/[\w./*-]*\w", text):
        assert "*" in path or (ROOT / path).exists(), f"{page.name}: {path}"
    for name in re.findall(r"(?<![\w/.])test_[a-z0-9_]+(?![\w./])", text):
        assert name in test_names(), f"{page.name}: there is no test {name}"


@cache
def test_names() -> frozenset[str]:
    found = set()
    for path in (ROOT / "tests").rglob("*.py"):
        found.add(path.stem)
        found |= set(re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")))
    return frozenset(found)


test_names.__test__ = False  # type: ignore[attr-defined]  # a helper, in spite of its name


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_source_file_that_a_page_names_exists(page: Path) -> None:
    for path in re.findall(r"`((?:crypto|privacy|tenants|server|migrations|docs)/[\w./-]+\.\w+)`", page.read_text()):
        assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_the_index_lists_every_page() -> None:
    for kind in KINDS:
        for page in sorted((ROOT / "docs" / kind).glob("*.md")):
            assert f"({kind}/{page.name})" in text_of("docs/README.md"), f"docs/README.md lacks {kind}/{page.name}"


# Formats


def tags_in_code() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in sources():
        for tag in TAG.findall(path.read_text(encoding="utf-8")):
            if tag not in NO_TAGS:
                found.setdefault(tag, set()).add(path.relative_to(ROOT).as_posix())
    return found


def test_every_tag_of_the_code_stands_in_the_table_and_no_other() -> None:
    documented = {cells[0].strip("`") for cells in rows_of("docs/formats.md", rf"`{TAG.pattern}`")}
    found = tags_in_code()
    # A comment may name the version that would come next, where the present one is documented.
    present = {tag for tag in found if _previous(tag) not in documented}
    assert documented == present, documented ^ present


def _previous(tag: str) -> str:
    name, _, version = tag.rpartition("/v")
    return f"{name}/v{int(version) - 1}"


def test_the_table_names_the_file_where_each_tag_is_used() -> None:
    found = tags_in_code()
    for cells in rows_of("docs/formats.md", rf"`{TAG.pattern}`"):
        named = set(re.findall(r"`([\w/]+\.py)`", cells[-1]))
        assert named, cells
        assert named <= found[cells[0].strip("`")], f"{cells[0]}: {named}"


def fields_in(section: str) -> set[str]:
    """Return the names in the first column of the tables of one section of docs/formats.md."""
    body = sections_of("docs/formats.md", "##")[section]
    cells = [line.split("|")[1] for line in body.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_field_of_what_is_stored_is_described_and_no_other() -> None:
    assert fields_in("Entry payload v1") == {"version", *EntryPayload.__dataclass_fields__}
    kept = {"v", "flags", "question", "negations", "stems", "order", *facts.SETS}
    assert fields_in("Facts v1") == kept
    assert f"version of the facts, {facts.FACTS_VERSION} " in text_of("docs/formats.md")
    for letter in facts.FLAGS:
        assert f"`{letter}` " in sections_of("docs/formats.md", "##")["Facts v1"]
    assert fields_in("Change feed") == {column.name for column in tables.feed.columns}
    assert fields_in("Model manifest v1") == manifest._REQUIRED | manifest._OPTIONAL
    provenance = provenance_object("", prompt_token_ids=None, output_token_ids=None, parameters={})
    assert set(provenance) <= fields_in("Runner protocol v1")


def test_quota_defaults_are_the_documented_ones() -> None:
    documented = {cells[0].strip("`"): cells[1] for cells in rows_of("docs/explanation/tenancy.md", r"`[a-z_]+`")}
    for name, value in Quota().to_json().items():
        assert documented.get(name) == f"{value:,}", f"{name}: {value:,}"


def test_roles_carry_the_documented_scopes() -> None:
    documented = {cells[0].strip("`"): cells[1] for cells in rows_of("docs/explanation/tenancy.md")}
    for role, scopes in ROLES.items():
        expected = ", ".join(f"`{scope.value}`" for scope in Scope if scope in scopes)
        assert documented.get(role) == expected, f"{role}: {expected}"


# Settings


def settings_rows() -> list[str]:
    return [settings_row(name) for name in Settings.model_fields]


def settings_row(name: str) -> str:
    field = Settings.model_fields[name]
    bounds = []
    for limit in field.metadata:
        for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤")):
            if hasattr(limit, attribute):
                bounds.append(f"{sign} {getattr(limit, attribute):,}")
    allowed = getattr(field.annotation, "__args__", ())
    if allowed and all(isinstance(value, str) for value in allowed):
        bounds = [", ".join(f"`{value}`" for value in allowed)]
    shown = "–" if field.default in (None, "") else f"`{field.default}`"
    variable = ENVIRONMENT_PREFIX + name.upper()
    return f"| `{name}` | `{variable}` | {shown} | {' and '.join(bounds) or '–'} | {field.description} |"


def test_every_setting_is_documented_with_its_default_range_and_meaning() -> None:
    page = text_of("docs/reference/settings.md").splitlines()
    for name in Settings.model_fields:
        assert settings_row(name) in page, f"docs/reference/settings.md lacks this row:\n{settings_row(name)}"


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = {cells[0].strip("`") for cells in rows_of("docs/reference/settings.md", r"`[a-z_]+`")}
    assert documented == set(Settings.model_fields)


# Command line


def commands() -> Iterator[tuple[str, click.Command]]:
    def walk(path: str, command: Any) -> Iterator[tuple[str, click.Command]]:
        if hasattr(command, "commands"):
            for name, child in sorted(command.commands.items()):
                yield from walk(f"{path} {name}", child)
        else:
            yield path, command

    yield from walk("hitproof", typer.main.get_command(command_line))


COMMANDS = dict(commands())


def sections_of(name: str, level: str) -> dict[str, str]:
    parts = re.split(rf"^{level} (.+)$", text_of(name), flags=re.MULTILINE)
    return {title.strip().strip("`"): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_every_command_is_documented_with_every_flag(path: str) -> None:
    section = sections_of("docs/reference/cli.md", "###").get(path)
    assert section is not None, f"docs/reference/cli.md has no section ### `{path}`"
    for parameter in COMMANDS[path].params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        shown = parameter.opts[0] if parameter.param_type_name == "option" else (parameter.name or "").upper()
        common = shown in ("--data", "--config", "--json")
        assert common or f"`{shown}" in section, f"{path}: {shown} is not documented"


def test_no_command_or_flag_is_documented_that_does_not_exist() -> None:
    for path, section in sections_of("docs/reference/cli.md", "###").items():
        assert path in COMMANDS, path
        flags = {
            option for parameter in COMMANDS[path].params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", section.split("\n## ")[0]):
            assert flag in flags, f"{path}: {flag}"


# HTTP


@cache
def operations() -> frozenset[str]:
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    paths: dict[str, Any] = app.openapi()["paths"]
    return frozenset(f"{method.upper()} {path}" for path, methods in paths.items() for method in methods)


def test_every_endpoint_is_documented_and_no_other() -> None:
    documented = set(sections_of("docs/reference/api.md", "###"))
    assert {title for title in documented if re.match(r"[A-Z]+ /", title)} == operations()


BODIES: tuple[type[BaseModel], ...] = tuple(
    model
    for module in (schemas, admin_schemas)
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == module.__name__
    and model.model_fields
)  # fmt: skip


@pytest.mark.parametrize("model", BODIES, ids=lambda model: str(model.__name__))
def test_every_field_of_a_request_is_documented(model: type[BaseModel]) -> None:
    page = text_of("docs/reference/api.md")
    for name in model.model_fields:
        assert f"`{name}`" in page, f"docs/reference/api.md does not mention `{name}` of {model.__name__}"


def test_every_field_and_header_of_an_answer_is_documented() -> None:
    page = text_of("docs/reference/api.md")
    explanation = Explanation(9500, 1, EntryId(1), 9600, 1, (), 1, False)
    for outcome in (Hit("private", EntryId(1), "same_meaning"), Miss("below_threshold", EntryId(1))):
        account = Account(outcome, LookupId("lk_0"), None, 1, explanation, would_hit=True)
        names = set(account.to_json()) | set(nearest_to_json(explanation, None)) | set(account.headers())
        for name in sorted(names):
            assert f"`{name}`" in page, name


def codes_in_code() -> set[str]:
    """Collect the codes of the error table and every `code="…"` that the server writes."""
    found = {code for _, _, _, code in _TABLE}
    for path in sorted((ROOT / "server").rglob("*.py")):
        # The runner is a server of its own, with errors of its own.
        if "runner" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                found |= {
                    default.value
                    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                    if argument.arg == "code" and isinstance(default, ast.Constant) and isinstance(default.value, str)
                }
            if isinstance(node, ast.Call):
                found |= {
                    word.value.value
                    for word in node.keywords
                    if word.arg == "code" and isinstance(word.value, ast.Constant) and isinstance(word.value.value, str)
                }
                if getattr(node.func, "id", "") == "Shown" and len(node.args) > 2:
                    found |= {node.args[2].value} if isinstance(node.args[2], ast.Constant) else set()
    return found


def test_every_error_code_is_documented_and_no_other() -> None:
    documented = {cells[0].strip("`") for cells in rows_of("docs/reference/errors.md", r"`[a-z_]+`")}
    assert codes_in_code() <= documented, codes_in_code() - documented
    written = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "server").rglob("*.py")))
    for code in documented:
        assert f'"{code}"' in written, f"no error has the code {code}"


def test_documented_statuses_are_those_of_the_table() -> None:
    documented = {cells[0].strip("`"): cells[1] for cells in rows_of("docs/reference/errors.md", r"`[a-z_]+`")}
    for _, status, _, code in _TABLE:
        assert str(status) in re.findall(r"\d{3}", documented[code]), f"{code}: {status}"


# Metrics


def metric_rows() -> list[str]:
    found = []
    for metric in (*vars(Telemetry()).values(), *vars(LogTelemetry(CollectorRegistry())).values()):
        if not hasattr(metric, "_labelnames"):
            continue
        name = metric._name + ("_total" if metric._type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "–"
        found.append(f"| `{name}` | {metric._type} | {labels} | {metric._documentation} |")
    return found


def test_every_metric_is_documented_as_it_describes_itself_and_no_other() -> None:
    page = text_of("docs/reference/metrics.md").splitlines()
    for row in metric_rows():
        assert row in page, f"docs/reference/metrics.md lacks this row:\n{row}"
    assert len(rows_of("docs/reference/metrics.md", r"`hitproof_\w+`")) == len(metric_rows())


# Dependencies


def test_every_dependency_is_explained_with_its_pin_and_no_other() -> None:
    wanted: set[str] = set()
    for name in ("pyproject.toml", "crypto/pyproject.toml"):
        project = tomllib.loads(text_of(name))["project"]
        wanted |= set(project["dependencies"])
        for extra in project.get("optional-dependencies", {}).values():
            wanted |= set(extra)
    documented = {cells[0].strip("`") for cells in rows_of("docs/dependencies.md")}
    assert documented == wanted, documented ^ wanted
    for cells in rows_of("docs/dependencies.md"):
        assert len(cells[1]) > 10, f"{cells[0]} is not explained"


def test_a_default_that_changed_would_be_noticed() -> None:
    row = settings_row("port")
    assert row == "| `port` | `HITPROOF_PORT` | `8080` | ≥ 0 and ≤ 65,535 | port of the gateway; 0 takes a free one |"
    assert PydanticUndefined not in {field.default for field in Settings.model_fields.values()}
