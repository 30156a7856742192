"""`hitproof model files|import-signature`: what an auditor and a publisher of a model bring together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.cli.context import ACTOR, ConfigOption, DataOption, JsonOption, opened, print_result, settings_from


def write_files(
    folder: Annotated[Path, typer.Argument(help="An empty or a new folder.")],
    as_json: JsonOption = False,
) -> None:
    """Write the files of the built-in demo model to a folder: what `hitproof-verify --model-dir` reads."""
    from server.runner.demo.engine import load_demo_files
    from server.runner.errors import ModelFolderError

    files = load_demo_files()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ModelFolderError(f"{folder} is not empty; name a new folder")
    for name, data in files.items():
        (folder / name).write_bytes(data)
    print_result(
        [{"file": str(folder / name), "size_bytes": len(data)} for name, data in files.items()], as_json=as_json
    )


def import_signature(
    model_version: Annotated[str, typer.Argument(help="The version, sha256:…")],
    file: Annotated[Path, typer.Argument(help="The publisher's signature, as model-signing wrote it.")],
    publisher_key: Annotated[Path, typer.Option(help="The publisher's public key in PEM, from the publisher.")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a publisher's OpenSSF model signature and keep it for the bundles of auditors."""
    from crypto.model_signing import SIGNATURE_BYTES_MAX
    from server.publishing import import_model_signature

    with file.open("rb") as opened_file:
        signature = opened_file.read(SIGNATURE_BYTES_MAX + 1)
    public_key = publisher_key.read_text(encoding="utf-8", errors="replace")
    with opened(settings_from(data, config)) as store:
        found = store.database.write_now(
            lambda c: import_model_signature(
                c, model_version, signature, public_key, actor=ACTOR, now_ms=store.clock.now_ms()
            )
        )
        print_result(
            {"model_version": model_version, "signed": found.name, "files": len(found.digests)}, as_json=as_json
        )
