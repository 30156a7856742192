"""The command line: `hitproof`. Each command lives in a module of its own and imports what it runs only when it runs."""

from __future__ import annotations

import sys

import typer

from crypto.errors import Error
from server.cli import (
    audit,
    cache,
    database,
    diagnosis,
    keys,
    log,
    model_files,
    models,
    policies,
    pool,
    privacy,
    quickstart,
    runner,
    serve,
    share,
    tenancy,
    trust,
)

app = typer.Typer(
    name="hitproof",
    help="A cache for language-model inference whose every hit carries its proof.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("quickstart")(quickstart.quickstart)
app.command("serve")(serve.serve)
app.command("runner")(runner.runner)
app.command("doctor")(diagnosis.doctor)
app.add_typer(database.app, name="db")
app.add_typer(tenancy.organisations, name="org")
app.add_typer(tenancy.tenants, name="tenant")
app.add_typer(tenancy.keys, name="key")
app.add_typer(keys.app, name="kek")
app.add_typer(models.upstreams, name="upstream")
app.add_typer(models.models, name="model")
models.models.command("files")(model_files.write_files)
models.models.command("import-signature")(model_files.import_signature)
app.add_typer(policies.app, name="policy")
app.add_typer(cache.app, name="cache")
app.add_typer(share.app, name="share")
app.add_typer(log.app, name="log")
app.add_typer(audit.app, name="audit")
app.add_typer(trust.app, name="trust")
app.add_typer(privacy.app, name="privacy")
app.add_typer(pool.app, name="pool")


def main() -> None:
    """Run the command line; an error of ours, or of a file, is one line and exit code 1, wrong usage is 2."""
    try:
        app()
    except Error as error:
        print(f"hitproof: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        if error.filename is None:
            raise
        print(f"hitproof: {error.filename}: {error.strerror}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
