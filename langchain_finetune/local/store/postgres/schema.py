"""The tables of the run store in PostgreSQL, and migrations from earlier versions.

They mean what those of `store/schema.py` mean: times are microseconds since 1970, and columns of
JSON hold it as it was sent. Texts compare by their code points, as in SQLite.
"""

from langchain_finetune.local.store.postgres.functions import functions_script

NAME = "langchain_finetune"
"""The schema that holds all tables and functions, so that a database may hold others."""

KEYS: dict[str, tuple[str, ...]] = {
    # Those of an owner are deleted before they are put again.
    "attachments": (),
    "dataset_tags": ("dataset_id", "tag"),
    "example_versions": (),
    "feedback_configs": ("key",),
    "secrets": ("name",),
}
"""What tells rows of a table apart, where it is not `id`; nothing where no row is ever replaced."""

# The columns of an index are small: PostgreSQL refuses rows whose entry has more than 2.7 kB, and
# names in runs may have any length.
_TABLES = """
CREATE TABLE projects (
    id TEXT COLLATE "C" PRIMARY KEY, name TEXT COLLATE "C" UNIQUE NOT NULL,
    start_time BIGINT NOT NULL, description TEXT, extra TEXT, reference_dataset_id TEXT,
    end_time BIGINT
);
CREATE TABLE runs (
    id TEXT COLLATE "C" PRIMARY KEY, project_id TEXT COLLATE "C", trace_id TEXT COLLATE "C",
    parent_run_id TEXT COLLATE "C", dotted_order TEXT COLLATE "C", name TEXT COLLATE "C",
    run_type TEXT COLLATE "C", start_time BIGINT, end_time BIGINT, error TEXT COLLATE "C",
    tags TEXT, reference_example_id TEXT COLLATE "C", posted BOOLEAN NOT NULL,
    status TEXT COLLATE "C", metadata TEXT, thread_id TEXT COLLATE "C", first_token_time BIGINT,
    prompt_tokens BIGINT, completion_tokens BIGINT, total_tokens BIGINT, model TEXT COLLATE "C",
    extra TEXT, events TEXT, serialized TEXT, inputs TEXT, outputs TEXT
);
CREATE INDEX runs_of_project ON runs (project_id, start_time, id) INCLUDE (
    end_time, first_token_time, prompt_tokens, completion_tokens, total_tokens, parent_run_id,
    status, posted
);
CREATE INDEX runs_by_time ON runs (start_time, id);
CREATE INDEX runs_of_trace ON runs (trace_id, start_time, id) INCLUDE (end_time);
CREATE INDEX runs_by_parent ON runs (parent_run_id);
CREATE INDEX runs_by_thread ON runs USING hash (thread_id);
CREATE INDEX threads_by_project ON runs (project_id, start_time)
    WHERE thread_id IS NOT NULL AND parent_run_id IS NULL;
CREATE INDEX runs_by_model ON runs USING hash (model) WHERE model IS NOT NULL;
CREATE INDEX runs_by_example ON runs (reference_example_id)
    WHERE reference_example_id IS NOT NULL;
CREATE TABLE feedback (
    id TEXT COLLATE "C" PRIMARY KEY, run_id TEXT COLLATE "C", trace_id TEXT COLLATE "C",
    key TEXT COLLATE "C" NOT NULL, score DOUBLE PRECISION, value TEXT COLLATE "C",
    comment TEXT COLLATE "C", source TEXT COLLATE "C", created_at BIGINT NOT NULL,
    modified_at BIGINT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX feedback_by_run ON feedback (run_id);
CREATE INDEX feedback_by_trace ON feedback (trace_id);
CREATE TABLE queues (
    id TEXT COLLATE "C" PRIMARY KEY, name TEXT COLLATE "C" NOT NULL, description TEXT,
    created_at BIGINT NOT NULL, updated_at BIGINT, rubric_instructions TEXT, rubric_items TEXT
);
CREATE TABLE queued_runs (
    queue_id TEXT COLLATE "C" NOT NULL, run_id TEXT COLLATE "C" NOT NULL,
    added_at BIGINT NOT NULL, reviewed_at BIGINT, rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (queue_id, run_id)
);
CREATE INDEX queued_by_run ON queued_runs (run_id);
CREATE TABLE datasets (
    id TEXT COLLATE "C" PRIMARY KEY, name TEXT COLLATE "C" UNIQUE NOT NULL,
    data_type TEXT COLLATE "C" NOT NULL, created_at BIGINT NOT NULL, modified_at BIGINT NOT NULL,
    metadata TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE comparisons (
    id TEXT COLLATE "C" PRIMARY KEY, dataset_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE example_versions (
    version BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT COLLATE "C" NOT NULL,
    dataset_id TEXT COLLATE "C" NOT NULL, place BIGINT NOT NULL, valid_from BIGINT NOT NULL,
    valid_to BIGINT, created_at BIGINT NOT NULL, source_run_id TEXT COLLATE "C",
    metadata TEXT NOT NULL, inputs TEXT NOT NULL, outputs TEXT
);
CREATE INDEX examples_by_dataset ON example_versions (dataset_id, place, valid_from);
CREATE INDEX examples_now ON example_versions (dataset_id) WHERE valid_to IS NULL;
CREATE INDEX examples_by_id ON example_versions (id, valid_from);
CREATE INDEX examples_by_source ON example_versions (source_run_id);
CREATE TABLE dataset_tags (
    dataset_id TEXT COLLATE "C" NOT NULL, tag TEXT COLLATE "C" NOT NULL, version BIGINT NOT NULL,
    PRIMARY KEY (dataset_id, tag)
);
CREATE TABLE blobs (
    id TEXT COLLATE "C" PRIMARY KEY, mime_type TEXT NOT NULL, data BYTEA NOT NULL
);
CREATE TABLE attachments (
    owner TEXT COLLATE "C" NOT NULL, name TEXT COLLATE "C" NOT NULL,
    blob_id TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX attachments_of_owner ON attachments (owner, md5(name));
CREATE INDEX attachments_by_blob ON attachments (blob_id);
CREATE TABLE feedback_configs (
    key TEXT COLLATE "C" PRIMARY KEY, modified_at BIGINT NOT NULL, body TEXT NOT NULL
);
CREATE TABLE feedback_tokens (
    id TEXT COLLATE "C" PRIMARY KEY, run_id TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL, expires_at BIGINT NOT NULL
);
CREATE INDEX tokens_by_run ON feedback_tokens (run_id);
CREATE TABLE secrets (name TEXT COLLATE "C" PRIMARY KEY, value BYTEA NOT NULL);

CREATE FUNCTION lcft_attachment_deleted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM blobs WHERE id = OLD.blob_id
        AND NOT EXISTS (SELECT 1 FROM attachments WHERE blob_id = OLD.blob_id);
    RETURN NULL;
END $$;
CREATE TRIGGER blob_without_owner AFTER DELETE ON attachments
    FOR EACH ROW EXECUTE FUNCTION lcft_attachment_deleted();
CREATE FUNCTION lcft_run_deleted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM attachments WHERE owner = OLD.id;
    DELETE FROM feedback WHERE run_id = OLD.id;
    DELETE FROM queued_runs WHERE run_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER run_deleted AFTER DELETE ON runs
    FOR EACH ROW EXECUTE FUNCTION lcft_run_deleted();
CREATE FUNCTION lcft_example_version_deleted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM attachments WHERE owner = OLD.version::text;
    RETURN NULL;
END $$;
CREATE TRIGGER example_version_deleted AFTER DELETE ON example_versions
    FOR EACH ROW EXECUTE FUNCTION lcft_example_version_deleted();
CREATE FUNCTION lcft_dataset_deleted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM example_versions WHERE dataset_id = OLD.id;
    DELETE FROM comparisons WHERE dataset_id = OLD.id;
    DELETE FROM dataset_tags WHERE dataset_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER dataset_deleted AFTER DELETE ON datasets
    FOR EACH ROW EXECUTE FUNCTION lcft_dataset_deleted();
"""


def _first() -> str:
    return functions_script() + _TABLES


MIGRATIONS = (_first,)
"""What makes a store of each version one of the next, as statements; only ever appended to."""
