"""The writer of lines: whole or not at all, whoever else writes the same file."""

import pytest

from langchain_finetune.convert.jsonl import JsonlWriter


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    path = tmp_path / "new" / "lines.jsonl"
    with JsonlWriter(path) as one:
        one.write(b"1\n")
        with JsonlWriter(path) as other:
            other.write(b"2\n")
        assert path.read_bytes() == b"2\n"
        one.write(b"1\n")
    assert path.read_bytes() == b"1\n1\n"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"old\n")
    with pytest.raises(TypeError), JsonlWriter(path) as writer:
        writer.write("no bytes")
    assert path.read_bytes() == b"old\n"
    assert list(tmp_path.iterdir()) == [path]
