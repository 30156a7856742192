"""Settings: where they come from, which wins, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.settings import Settings, SettingsError, load_settings


def write(folder: Path, text: str) -> Path:
    path = folder / "hitproof.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_default_is_valid() -> None:
    assert load_settings(environ={}).model_dump() == Settings().model_dump()


def test_the_environment_wins_over_the_file_and_flags_over_both(tmp_path: Path) -> None:
    config = write(tmp_path, 'port = 1\nhost = "file"\nfeed_poll_s = 1.5\n')
    environ = {"HITPROOF_PORT": "2", "HITPROOF_HOST": "environment", "PATH": "/bin"}
    loaded = load_settings(config, environ=environ, overrides={"port": 3, "host": None})
    assert (loaded.port, loaded.host, loaded.feed_poll_s) == (3, "environment", 1.5)


def test_the_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    config = write(tmp_path, "port = 99\n")
    assert load_settings(environ={"HITPROOF_CONFIG": str(config)}).port == 99


def test_the_file_in_the_data_folder_is_read_where_no_other_is_named(tmp_path: Path) -> None:
    write(tmp_path, "port = 99\n")
    other = tmp_path / "other.toml"
    other.write_text("port = 7\n", encoding="utf-8")
    assert load_settings(environ={}, overrides={"data": tmp_path}).port == 99
    assert load_settings(environ={"HITPROOF_DATA": str(tmp_path)}).port == 99
    assert load_settings(other, environ={}, overrides={"data": tmp_path}).port == 7


def test_the_file_in_a_data_folder_may_not_name_another_folder(tmp_path: Path) -> None:
    write(tmp_path, 'data = "/srv/elsewhere"\n')
    with pytest.raises(SettingsError, match="must not name one"):
        load_settings(environ={}, overrides={"data": tmp_path})


def test_the_process_environment_is_read_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HITPROOF_PORT", "77")
    assert load_settings().port == 77
    assert load_settings(environ={}).port == 8080


def test_an_unknown_name_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'prot' in .*hitproof\.toml"):
        load_settings(write(tmp_path, "prot = 1\n"), environ={})
    with pytest.raises(SettingsError, match="'prot' in the environment"):
        load_settings(environ={"HITPROOF_PROT": "1"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "65536"),
        ("port", "http"),
        ("key_provider", "usb"),
        ("tenant_cache_s", "61"),
        ("concurrency_max", "0"),
        ("feed_poll_s", "nan"),
        ("feed_poll_s", "inf"),
        ("log_format", "xml"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings(environ={f"HITPROOF_{name.upper()}": value})


def test_a_refused_value_is_not_shown_since_it_may_be_a_secret() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={"HITPROOF_PORT": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_secrets_in_the_environment_are_no_settings() -> None:
    loaded = load_settings(environ={"HITPROOF_KEK": "0" * 64, "HITPROOF_SECRET_OPENAI": "key"})
    assert "0" * 64 not in repr(loaded)


def test_the_variable_that_holds_the_key_may_have_our_prefix(tmp_path: Path) -> None:
    config = write(tmp_path, 'key_provider = "env"\nkey_variable = "HITPROOF_MY_KEY"\n')
    loaded = load_settings(config, environ={"HITPROOF_MY_KEY": "0" * 64})
    assert loaded.key_variable == "HITPROOF_MY_KEY"
    by_environment = {"HITPROOF_KEY_VARIABLE": "HITPROOF_OTHER_KEY", "HITPROOF_OTHER_KEY": "0" * 64}
    assert load_settings(environ=by_environment).key_variable == "HITPROOF_OTHER_KEY"


@pytest.mark.parametrize("text", ["port =", "\x00", "[port]\nx = 1\n"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError):
        load_settings(write(tmp_path, text), environ={})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no configuration file at .*missing\.toml"):
        load_settings(tmp_path / "missing.toml", environ={})


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(path, environ={})


def test_the_database_is_in_the_data_folder_unless_a_url_is_given(tmp_path: Path) -> None:
    assert load_settings(environ={}, overrides={"data": tmp_path}).database == f"sqlite:///{tmp_path / 'hitproof.db'}"
    url = "postgresql://user@host/name"
    assert load_settings(environ={}, overrides={"database_url": url}).database == url


def test_settings_do_not_change() -> None:
    with pytest.raises(Exception, match="frozen"):
        load_settings(environ={}).port = 1


def test_witnesses_are_a_list_in_a_file_and_stand_behind_commas_in_a_variable(tmp_path: Path) -> None:
    both = ("https://alice.example alice+0a0b0c0d+BA==", "https://bob.example bob+01020304+BA==")
    by_variable = load_settings(environ={"HITPROOF_LOG_WITNESSES": ", ".join(both)})
    by_file = load_settings(write(tmp_path, f"log_witnesses = {list(both)!r}"), environ={})
    assert by_variable.log_witnesses == by_file.log_witnesses == both
    assert load_settings(environ={"HITPROOF_LOG_WITNESSES": ""}).log_witnesses == ()
