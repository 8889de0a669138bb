"""The import hook: it acts before anybody binds a name, once a module, and never gets in the way."""

import importlib
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from snac_plugin import autoload
from snac_plugin.errors import InstallationError
from snac_plugin.plugin import import_hook, registry


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package whose `user` binds a function of its `maker` by name, as stable-audio-tools' modules do."""
    name = f"package_{tmp_path.name}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("from .user import make\n")
    (tmp_path / name / "maker.py").write_text("def make():\n    return 'original'\n")
    (tmp_path / name / "user.py").write_text("from .maker import make\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(import_hook.finder, "actions", dict(import_hook.finder.actions))
    return name


def replace(module: ModuleType) -> None:
    module.make = lambda: "replaced"  # type: ignore[attr-defined]


def test_an_action_comes_before_anybody_binds_the_module_s_names(package: str) -> None:
    import_hook.after_import(f"{package}.maker", replace)
    assert importlib.import_module(package).make() == "replaced"


def test_an_action_on_an_imported_module_is_done_at_once(package: str) -> None:
    maker = importlib.import_module(f"{package}.maker")
    import_hook.after_import(f"{package}.maker", replace)
    assert maker.make() == "replaced"


def test_a_quiet_module_prints_nothing_and_is_whole(package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """stable-audio-tools prints that flash_attn is missing, in every command."""
    (tmp_path / package / "maker.py").write_text("print('a notice')\ndef make():\n    print('said')\n    return 'original'\n")
    import_hook.import_quietly(f"{package}.maker")
    assert importlib.import_module(package).make() == "original"
    assert capsys.readouterr().out == "said\n"


def test_loading_a_model_in_python_prints_no_notices() -> None:
    """The commands hid them, `snac_plugin.load_model` did not."""
    ran = subprocess.run([sys.executable, "-c", "import snac_plugin; snac_plugin.load_model"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr


def test_a_reloaded_module_is_acted_on_again(package: str) -> None:
    import_hook.after_import(f"{package}.maker", replace)
    maker = importlib.import_module(f"{package}.maker")
    assert importlib.reload(maker).make() == "replaced"


def test_actions_come_in_order_and_may_add_others(package: str) -> None:
    seen: list[str] = []

    def add(module: ModuleType) -> None:
        seen.append("first")
        import_hook.after_import(f"{package}.maker", lambda module: seen.append("added"))

    import_hook.after_import(f"{package}.maker", add)
    import_hook.after_import(f"{package}.maker", lambda module: seen.append("second"))
    importlib.import_module(f"{package}.maker")
    assert seen == ["first", "added", "second"], "an action that was added meanwhile was done twice or never"


def test_a_watched_module_keeps_its_loader_and_its_source(package: str) -> None:
    import inspect

    import_hook.after_import(f"{package}.maker", lambda module: None)
    maker = importlib.import_module(f"{package}.maker")
    assert type(maker.__spec__.loader).__name__ == "SourceFileLoader"
    assert "original" in inspect.getsource(maker.make)


def test_a_watched_module_that_does_not_exist_is_missing_as_ever(package: str) -> None:
    import_hook.after_import(f"{package}.nothing", replace)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{package}.nothing")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_package_of_this_name.at_all")


def test_a_loader_that_serves_many_modules_acts_on_each_watched_one_once(package: str) -> None:
    class Shared:
        def create_module(self, spec: object) -> None:
            return None

        def exec_module(self, module: ModuleType) -> None:
            return None

    loader, seen = Shared(), []
    for name in ("first", "second"):
        import_hook.after_import(name, lambda module: seen.append(module.__name__))
        import_hook.finder._watch(loader)
    for name in ("first", "second", "unwatched"):
        loader.exec_module(ModuleType(name))
    assert seen == ["first", "second"]


def test_a_failing_module_does_not_reach_the_action(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "maker.py").write_text("raise OSError('broken')")
    import_hook.after_import(f"{package}.maker", lambda module: pytest.fail("the action saw a half-made module"))
    with pytest.raises(OSError, match="broken"):
        importlib.import_module(f"{package}.maker")


def test_a_broken_plugin_says_why_and_stops_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Its users would otherwise only see an unknown model_type."""
    monkeypatch.setitem(sys.modules, "snac_plugin.plugin.registry", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        autoload._register(ModuleType("stable_audio_tools.models.factory"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "not registered" in caplog.text
    assert "snac_plugin.plugin.registry" in caplog.text


def test_another_version_of_stable_audio_tools_is_a_warning_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise InstallationError("stable-audio-tools", "version 0.0.20", "version 0.0.19")

    monkeypatch.setattr(registry, "register", refuse)
    with pytest.warns(UserWarning, match=r"not registered.*0\.0\.20.*0\.0\.19"):
        autoload._register(ModuleType("stable_audio_tools.models.factory"))


def test_installing_twice_watches_once() -> None:
    autoload.install()
    before = list(import_hook.finder.actions[autoload.FIRST_MODULE])
    autoload.install()
    assert import_hook.finder.actions[autoload.FIRST_MODULE] == before
    assert sum(finder is import_hook.finder for finder in sys.meta_path) == 1
