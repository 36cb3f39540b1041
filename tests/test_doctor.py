"""The doctor: what is there, what is missing with the line that mends it, clashes, and the run folder."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from latentgen import doctor
from latentgen.doctor import examine, report_text


def problems(found: dict[str, Any]) -> str:
    return "\n".join(f"{entry['problem']} -> {entry['fix']}" for entry in found["problems"])


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Pretend that modules are not installed."""
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        return None if name in modules else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def test_it_tells_versions_devices_threads_and_the_folder(tmp_path: Path) -> None:
    import torch

    found = examine(tmp_path / "runs" / "new")
    assert found["packages"]["torch"] == torch.__version__
    assert found["devices"] and found["devices"][-1].startswith("cpu")
    assert found["threads"]["torch"] == torch.get_num_threads()
    assert found["run"]["writable"] and found["run"]["free_bytes"] > 0
    assert not (tmp_path / "runs").exists()
    assert json.loads(json.dumps(found)) == found


def test_the_text_holds_what_the_dictionary_holds(tmp_path: Path) -> None:
    found = examine(tmp_path)
    text = report_text(found)
    for name, version in found["packages"].items():
        assert name in text and (version or "not installed") in text
    assert str(tmp_path) in text and "GiB free" in text
    assert all(entry["fix"] in text for entry in found["problems"])
    assert report_text({**found, "problems": []}).endswith("nothing to mend")


def test_a_missing_extra_comes_with_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "rdkit")
    found = examine(tmp_path)
    assert found["extras"]["molecules"] == ["rdkit"]
    assert "[molecules]  missing rdkit" in report_text(found)
    assert "the extra [molecules] is not complete: rdkit" in problems(found)
    assert 'pip install "latentgen[molecules]"' in problems(found)


def test_an_extra_of_a_data_type_that_is_not_there_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "modalities.graphs")
    assert "graphs" not in examine(tmp_path)["extras"]


def test_a_missing_requirement_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "torchdiffeq")
    assert "torchdiffeq is not installed -> pip install latentgen" in problems(examine(tmp_path))


def test_another_owner_of_an_import_name_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = {"modalities": ["latentgen", "modalities-of-others"], "latentgen": ["latentgen"]}
    monkeypatch.setattr(doctor, "packages_distributions", lambda: owners)
    text = problems(examine(tmp_path))
    assert "the import name 'modalities' also belongs to modalities-of-others" in text
    assert "pip uninstall modalities-of-others" in text


def test_a_folder_in_the_way_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modalities").mkdir()
    (tmp_path / "modalities" / "__init__.py").touch()
    shadow = importlib.util.spec_from_file_location("modalities", tmp_path / "modalities/__init__.py")
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: shadow if name == "modalities" else real(name)
    )
    text = problems(examine(tmp_path))
    assert f"import modalities finds {tmp_path / 'modalities'} instead of" in text


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions that bind")
def test_a_folder_without_permission_is_a_problem(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "cannot be written -> give --run" in problems(examine(tmp_path / "runs"))
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_place_of_the_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    found = examine(tmp_path / "runs" / "new")
    assert not found["run"]["writable"]
    assert "cannot be written" in problems(found)


def test_a_full_disk_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ENOUGH", 10**18)
    assert "GiB left -> make room" in problems(examine(tmp_path))


def test_many_threads_on_a_machine_without_accelerator_come_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_threads", lambda: {"cores": 8, "torch": 8})
    monkeypatch.setattr(doctor, "_devices", lambda: ["cpu"])
    assert "give --threads 1" in problems(examine(tmp_path))
    monkeypatch.setattr(doctor, "_devices", lambda: ["cuda:0 H100", "cpu"])
    assert "threads" not in problems(examine(tmp_path))
