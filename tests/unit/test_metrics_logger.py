"""A job's figures reach the real libraries that people log experiments with."""

import pytest
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.runnables import RunnableLambda

from langchain_finetune import LossCurve, MetricsLogger
from langchain_finetune.finetune.callbacks import PROGRESS_EVENT, tensorboard_log

LOSSES = {1: 0.75, 2: 0.5, 3: 0.25}


def train(log):
    """Tell of a job, as FineTune does, to a logger."""

    def job(_, config):
        for step, loss in LOSSES.items():
            figures = {"step": step, "total_steps": 3, "train_loss": loss, "phase": "x"}
            news = {"job_id": "j", "status": "running", "message": "", "data": figures}
            dispatch_custom_event(PROGRESS_EVENT, news, config=config)
        news = {"job_id": "j", "status": "succeeded", "message": "done", "data": {}}
        dispatch_custom_event(PROGRESS_EVENT, news, config=config)
        dispatch_custom_event("other", {"step": 9, "train_loss": 9}, config=config)

    RunnableLambda(job).invoke(None, {"callbacks": [MetricsLogger(log)]})


def test_tensorboard_reads_them_back(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        train(tensorboard_log(writer))
    read = EventAccumulator(str(tmp_path)).Reload()
    assert {each.step: each.value for each in read.Scalars("train_loss")} == LOSSES
    assert read.Tags()["scalars"] == ["train_loss"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_mlflow_reads_them_back(tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(tmp_path.as_uri())
    mlflow.set_experiment("app")
    with mlflow.start_run() as run:
        train(mlflow.log_metrics)
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train_loss")
    assert {each.step: each.value for each in history} == LOSSES


def test_wandb_takes_them(tmp_path, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(project="p", mode="offline", dir=str(tmp_path)) as run:
        train(run.log)
        run.log({}, step=4)  # A step is written when the next one comes.
        summary = dict(run.summary)
    assert (summary["train_loss"], summary["_step"]) == (0.25, 3)


def test_a_log_that_fails_is_seen():
    def log(metrics, *, step):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        train(log)


def test_the_curve_is_a_picture(tmp_path):
    metrics = [{"step": step, "train_loss": loss} for step, loss in LOSSES.items()]
    curve = LossCurve([*metrics, {"step": 3, "valid_loss": 0.3}])
    curve.save(tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert curve._repr_png_().startswith(b"\x89PNG")
    curve.save(tmp_path / "loss.svg")
    assert "validation" in (tmp_path / "loss.svg").read_text()
    assert LossCurve([])._repr_png_().startswith(b"\x89PNG")
