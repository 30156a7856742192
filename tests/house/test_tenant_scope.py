"""A tenant's rows are reached with that tenant and in no other way: a lint over the source, shown to catch what it must."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

import server.store
from server.store.scoped import TenantRepository
from server.store.tables import metadata

ROOT = Path(__file__).parents[2]
STORE = ROOT / "server" / "store"
TENANT_TABLES = {name for name, table in metadata.tables.items() if "tenant_id" in table.c}
#: What code outside the store may know of SQLAlchemy: the connection it hands on, and what can go wrong.
OUTSIDE_MAY_IMPORT = {"sqlalchemy": {"Connection", "Engine"}, "sqlalchemy.exc": None}
TABLES = {"server.store.tables", "server.store.log_tables", "server.store.pool_tables"}
STATEMENTS = {"select", "insert", "update", "delete"}
RAW = {"text", "exec_driver_sql"}

#: Where a tenant's table is read or written across tenants, or before the tenant is known, and why that is right.
PLATFORM_LEVEL = {
    ("audit_jobs", "has_old_jobs"): "exports of all tenants end with their day; nothing of them is returned",
    ("audit_jobs", "forget_old_jobs"): "exports of all tenants end with their day",
    ("audit_jobs", "load_files"): "names of files alone: those that no tenant's export has are removed",
    ("maintenance", "_FEED_AFTER"): "indexes of all tenants follow one feed",
    ("maintenance", "get_feed_head"): "the feed's position is nobody's",
    ("maintenance", "add_notice"): "written by platform code for the tenant it names",
    ("maintenance", "trim_feed"): "old feed rows go whosever they are",
    ("maintenance", "sweep_expired"): "expired rows go whosever they are; entries through their tenant's repository",
    ("maintenance", "append_audit"): "one audit chain over all tenants and the platform",
    ("maintenance", "verify_audit_chain"): "one audit chain over all tenants and the platform",
    ("maintenance", "list_audit"): "the platform sees all; a tenant's own rows are picked by its admin's tenant",
    ("platform", "_KEY_WITH_TENANT"): "the one read before the tenant is known: it tells which it is",
    ("platform", "PlatformRepository.add_platform_key"): "a platform key has no tenant",
    ("platform", "PlatformRepository.list_platform_keys"): "a platform key has no tenant",
    ("platform", "PlatformRepository.revoke_platform_key"): "a platform key has no tenant",
    ("embedding_queue", "_NEXT"): "one worker for all tenants; it goes on through each tenant's repositories",
    ("data_keys", "list_wrapping_keys"): "which key-encryption keys are needed, by anybody",
    ("data_keys", "rewrap_data_keys"): "a key-encryption key wraps every tenant's data keys; written per tenant",
    ("lookups", "_add_up"): "an upsert, which binds the tenant itself",
    ("log", "_APPEND"): "the outbox takes leaves of every tenant and of none; the writer names whose",
    ("log", "_NEXT"): "one log over all tenants",
    ("log", "_ASSIGN"): "one log over all tenants",
    ("log", "LogRepository.assign"): "one log over all tenants",
    ("log", "LogRepository.put_into_batch"): "counts the hits of a batch, which has one tenant",
    ("log", "_PUT_INTO_BATCH"): "names the tenant with the hit",
    ("log", "LogRepository.load_unsequenced"): "one log over all tenants",
    ("log", "LogRepository.count_unsequenced"): "one log over all tenants",
    ("log", "LogRepository.head"): "the size of the one log",
    ("log", "LogRepository.get_through_seq"): "the size of the one log",
    ("log", "LogRepository.load_leaves"): "hashes of the one log, which anybody may read",
    ("log", "LogRepository.load_sequenced"): "fsck holds every leaf against its body",
    ("log", "LogRepository.load_statement_digests"): "fsck holds every receipt against its leaf",
    ("log", "LogRepository.get_leaf"): "one log over all tenants; numbers come from rows that are a tenant's",
    ("log", "LogRepository.load_own"): "leaves that are nobody's",
    ("log", "LogRepository.load_unbatched"): "the sequencer batches every tenant's hits, each tenant's apart",
    ("shares", "_WAITING"): "publishing goes through the labels of all tenants; each row names its own",
    ("shares", "find_of_item"): "the pool's item names whose consent it rests on, for code that runs beside requests",
    ("shares", "list_orphans"): "what rests on entries that are gone leaves the pool, whoever shared them",
    ("shares", "count_published"): "how many entries organisations published; nothing of them is returned",
    ("retention", "ProofRetention.list_hit_on_by_anybody"): "the pool's receipts answer all; only they come back",
    ("pool", "_LOGGED"): "releases are nobody's, and so are their leaves",
    ("ledger", "_LOGGED"): "a spending is an organisation's, and its leaf belongs to no tenant",
}
#: Repositories that hold no tenant; each of their statements on a tenant's table stands in `PLATFORM_LEVEL`.
PLATFORM_REPOSITORIES = {"PlatformRepository", "LogRepository"}


def find_outside(source: str) -> list[str]:
    """Violations of code outside the store."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [f"{node.lineno}: import {alias.name}" for alias in node.names if _top(alias.name) == "sqlalchemy"]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found += [f"{node.lineno}: imports {name}" for name in _forbidden_names(node)]
        elif isinstance(node, ast.Attribute) and node.attr in ("exec_driver_sql", "driver_connection"):
            found.append(f"{node.lineno}: .{node.attr}")
    return found


def _forbidden_names(node: ast.ImportFrom) -> list[str]:
    module = node.module or ""
    names = [alias.name for alias in node.names]
    if module in TABLES or (module == "server.store" and {"tables", "log_tables", "pool_tables"} & set(names)):
        return [module]
    if _top(module) != "sqlalchemy":
        return []
    allowed = OUTSIDE_MAY_IMPORT.get(module, set())
    return [] if allowed is None else [f"{module}.{name}" for name in names if name not in allowed]


def find_inside(source: str, module: str, used: set[tuple[str, str]] | None = None) -> list[str]:
    """Violations of a module of the store; places of `PLATFORM_LEVEL` that were needed are added to *used*."""
    found = []
    for place, node, whole in _places(ast.parse(source)):
        problem = _problem(node, whole)
        if problem is None:
            continue
        if (module, place) in PLATFORM_LEVEL:
            if used is not None:
                used.add((module, place))
            continue
        found.append(f"{module}.{place}, line {node.lineno}: {problem}")
    return found + _find_loose_repositories(source, module)


def _places(tree: ast.Module) -> Iterator[tuple[str, ast.Call, list[ast.AST]]]:
    """Yield every call with the name of the constant, function or method it stands in, and the statement around it."""
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            for member in statement.body:
                name = getattr(member, "name", "")
                yield from ((f"{statement.name}.{name}", node, whole) for node, whole in _calls(member))
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from ((statement.name, node, whole) for node, whole in _calls(statement))
        else:
            targets = [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
            name = next((target.id for target in targets if isinstance(target, ast.Name)), "")
            yield from ((name, node, whole) for node, whole in _calls(statement))


def _calls(node: ast.AST) -> Iterator[tuple[ast.Call, list[ast.AST]]]:
    """Yield calls with the whole statement they stand in: a join may name its table far from the `select`."""
    for statement in (found for found in ast.walk(node) if isinstance(found, ast.stmt)):
        own = list(_own(statement))
        yield from ((found, own) for found in own if isinstance(found, ast.Call))


def _own(statement: ast.AST) -> Iterator[ast.AST]:
    """Yield what stands in *statement* itself, without the statements in its body."""
    for child in ast.iter_child_nodes(statement):
        if not isinstance(child, ast.stmt):
            yield child
            yield from _own(child)


def _problem(call: ast.Call, whole: list[ast.AST]) -> str | None:
    name = _name(call.func).lstrip("_")
    if name in STATEMENTS:
        tables = sorted(TENANT_TABLES & {node.id for node in whole if isinstance(node, ast.Name)})
        return f"{name}() on {', '.join(tables)} without a tenant; use scoped_{name}" if tables else None
    if name in RAW:
        written = call.args[0] if call.args else None
        if not (isinstance(written, ast.Constant) and isinstance(written.value, str)):
            return f"{name}() of something that is not written there"
        tables = sorted(table for table in TENANT_TABLES if re.search(rf"\b{table}\b", written.value))
        return f"{name}() names {', '.join(tables)}" if tables else None
    return None


def _find_loose_repositories(source: str, module: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef) or node.name == "TenantRepository":
            continue
        is_scoped = any(_name(base) == "TenantRepository" for base in node.bases)
        members = {member.name for member in node.body if isinstance(member, ast.FunctionDef)}
        if is_scoped and "__init__" in members:
            found.append(f"{module}.{node.name}: makes itself; leave that to TenantRepository")
        if is_scoped or node.name in PLATFORM_REPOSITORIES:
            continue
        scoped = [name for name in _names_in(node) if name.startswith("scoped_") or name in TENANT_TABLES]
        if scoped:
            found.append(f"{module}.{node.name}: uses {scoped[0]} and is no TenantRepository")
    return found


def _names_in(node: ast.AST) -> Iterator[str]:
    return (found.id for found in ast.walk(node) if isinstance(found, ast.Name))


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _top(module: str) -> str:
    return module.partition(".")[0]


def outside_paths() -> list[Path]:
    paths = [path for package in ("crypto", "privacy", "tenants", "server") for path in (ROOT / package).rglob("*.py")]
    return sorted(path for path in paths if STORE not in path.parents)


def store_paths() -> list[Path]:
    # scoped.py is where the scope is made.
    return sorted(path for path in STORE.glob("*.py") if path.stem != "scoped")


def test_the_tables_of_tenants_are_known() -> None:
    assert {"entries", "entry_tags", "lookups", "usage", "policies", "api_keys", "data_keys", "feed"} <= TENANT_TABLES


def test_no_code_outside_the_store_writes_sql() -> None:
    paths = outside_paths()
    assert len(paths) > 50
    found = [
        f"{path.relative_to(ROOT)}:{problem}" for path in paths for problem in find_outside(path.read_text("utf-8"))
    ]
    assert found == []


def test_the_store_reaches_a_tenants_table_only_with_a_tenant() -> None:
    used: set[tuple[str, str]] = set()
    found = [problem for path in store_paths() for problem in find_inside(path.read_text("utf-8"), path.stem, used)]
    assert found == []
    assert set(PLATFORM_LEVEL) - used == set(), "no longer needed: take it out of the list"


@pytest.mark.parametrize(
    "source",
    [
        "from sqlalchemy import select",
        "from sqlalchemy import Connection, text",
        "from sqlalchemy.orm import Session",
        "from sqlalchemy.dialects.postgresql import insert",
        "import sqlalchemy",
        "import sqlalchemy as sa",
        "def f():\n    from sqlalchemy import delete",
        "from server.store.tables import meta",
        "from server.store.log_tables import hits",
        "from server.store.pool_tables import shares",
        "from server.store import tables",
        "def f(connection):\n    connection.exec_driver_sql('SELECT 1')",
        "def f(connection):\n    connection.connection.driver_connection.execute('SELECT 1')",
    ],
)
def test_sql_outside_the_store_would_be_caught(source: str) -> None:
    assert find_outside(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "def f(c): c.execute(select(entries.c.id))",
        "X = select(models).join(entries)",
        "X: Final = delete(lookups)",
        "def f(c): c.execute(sqlalchemy.update(usage).values(requests=0))",
        "from sqlalchemy import select as _select\ndef f(c): c.execute(_select(policies))",
        "def f(c):\n    try:\n        assert c.execute(select(entries))\n    except ValueError: pass",
        "class Loose:\n    def f(self): return insert(data_keys)",
        "class Loose:\n    def f(self): return scoped_select(entries)",
        "class Loose(TenantRepository):\n    def __init__(self, connection): pass",
        "def f(c): c.execute(text('SELECT * FROM entries'))",
        "def f(c, sql): c.execute(text(sql))",
        "def f(c, t): c.exec_driver_sql(f'DELETE FROM {t}')",
        "def get_feed_head(c): c.execute(select(entries))",
    ],
)
def test_a_way_around_the_tenant_would_be_caught(source: str) -> None:
    assert find_inside(source, "seeded") != []


@pytest.mark.parametrize(
    "source",
    [
        "X = scoped_select(entries, entries.c.id)",
        "X = select(models.c.alias)",
        "class R(TenantRepository):\n    def f(self): return scoped_delete(lookups)",
        "def f(c): c.execute(text('SELECT 1'))",
        "def f(c):\n    for row in c.execute(select(models)):\n        g(entries)",
    ],
)
def test_what_is_right_is_not_caught(source: str) -> None:
    assert find_inside(source, "seeded") == []


def repositories() -> list[type[TenantRepository]]:
    for module in pkgutil.iter_modules(server.store.__path__):
        importlib.import_module(f"server.store.{module.name}")
    return sorted(TenantRepository.__subclasses__(), key=lambda found: found.__name__)


def test_every_repository_of_tenants_is_made_with_a_tenant_and_only_so() -> None:
    found = repositories()
    assert len(found) >= 5
    for repository in found:
        assert list(inspect.signature(repository).parameters) == ["connection", "tenant"], repository
        with pytest.raises(TypeError):
            repository(object())  # type: ignore[call-arg, arg-type]
        for nobody in ("", None):
            with pytest.raises(ValueError, match="tenant"):
                repository(object(), nobody)  # type: ignore[arg-type]


def test_a_scoped_statement_does_not_run_without_a_tenant(tmp_path: Path) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    from server.store.database import Database, sqlite_url
    from server.store.migrate import upgrade
    from server.store.scoped import Prepared, scoped_delete, scoped_insert, scoped_select, scoped_update
    from server.store.tables import entries

    database = Database(sqlite_url(tmp_path / "store.db"))
    upgrade(database.engine)

    def run(connection: Connection) -> None:
        for statement in (
            scoped_select(entries),
            scoped_delete(entries),
            scoped_update(entries).values(model="x"),
            scoped_insert(entries).values(id=1),
        ):
            with pytest.raises(SQLAlchemyError, match="scoped_tenant"):
                connection.execute(statement)
        with pytest.raises(KeyError, match="scoped_tenant"):
            Prepared(scoped_delete(entries)).run(connection, {})

    database.read_now(run)
    database.close()
