"""A training is refused where the disk has no room for it."""

import shutil
from types import SimpleNamespace

import pytest

from langchain_finetune.local import hardware
from langchain_finetune.local.api_error import ApiError


@pytest.mark.parametrize(("free", "fits"), [(210 * 2**20, True), (209 * 2**20, False)])
def test_room_for_ten_times_the_weights(tmp_path, monkeypatch, free, fits):
    (tmp_path / "model.safetensors").write_bytes(b"0" * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    if fits:
        hardware.require_space(tmp_path, tmp_path)
        return
    with pytest.raises(
        ApiError, match=r"0\.2 GB free, but this training may require 0\.2 GB"
    ) as full:
        hardware.require_space(tmp_path, tmp_path)
    assert (full.value.status, full.value.code) == (400, "insufficient_disk_space")


def test_a_base_on_the_hub_has_no_known_size(tmp_path):
    hardware.require_space(tmp_path, "Qwen/Qwen3-0.6B")
