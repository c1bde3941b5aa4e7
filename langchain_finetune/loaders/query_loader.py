"""Base of the loaders with a query, whose conditions are also their arguments."""

from typing import Annotated, Any, ClassVar

from langchain_core.runnables import (
    ConfigurableField,
    ConfigurableFieldMultiOption,
    ConfigurableFieldSingleOption,
    RunnableSerializable,
)
from langchain_core.runnables.configurable import RunnableConfigurableFields, make_options_spec
from langchain_core.runnables.utils import ConfigurableFieldSpec, get_unique_config_specs
from pydantic import BaseModel, TypeAdapter, ValidationError

from langchain_finetune.arguments import explain, suggestion
from langchain_finetune.errors import LoadError
from langchain_finetune.loaders.base import Overrides, SessionLoader
from langchain_finetune.loaders.query import RunQuery
from langchain_finetune.sessions import Sessions

Configurable = ConfigurableField | ConfigurableFieldSingleOption | ConfigurableFieldMultiOption


class QueryLoader(SessionLoader):
    """Base of the loaders of LangSmith's runs.

    Attributes:
        query: The query.
    """

    further_arguments: ClassVar[tuple[str, ...]] = tuple(RunQuery.model_fields)

    query: RunQuery = RunQuery()

    @property
    def InputType(self) -> Any:  # noqa: N802 - Runnable's name for it
        """Conditions for one call; the JSON schema lists them."""
        # If it were the query itself, servers would set the defaults of missing conditions.
        return Annotated[dict[str, Any] | BaseModel | None, _LikeQuery]

    def configurable_fields(self, **kwargs: Configurable) -> RunnableSerializable[Any, Any]:
        """Make settings and conditions configurable at call time.

        Args:
            kwargs: LangChain's `ConfigurableField`s by the names of the loader's arguments,
                including the conditions of `RunQuery`.

        Raises:
            ValueError: The loader has no such argument.

        Example:
            ```python
            loader = LangSmithRunChatLoader(project_name="app").configurable_fields(
                project_name=ConfigurableField(id="project")
            )
            sessions = loader.invoke({}, {"configurable": {"project": "other-app"}})
            ```
        """
        settings = type(self).model_fields.keys() | RunQuery.model_fields.keys()
        unknown = sorted(kwargs.keys() - settings)
        if unknown:
            raise ValueError(
                f"{type(self).__name__} has no setting {unknown[0]!r}; "
                f"{suggestion(unknown[0], settings)}"
            )
        return ConfigurableQueryLoader(default=self, fields=kwargs)


class ConfigurableQueryLoader(RunnableConfigurableFields[Overrides, Sessions]):
    """A loader with configurable settings and conditions.

    See `QueryLoader.configurable_fields`.
    """

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return False: a loader has clients and functions."""
        return False

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """Specifications of the configurable fields."""
        loader: Any = self.default
        conditions = RunQuery.model_fields.keys() & self.fields.keys()
        settings = {name: self.fields[name] for name in self.fields.keys() - conditions}
        specs = RunnableConfigurableFields(default=loader, fields=settings).config_specs
        for name in sorted(conditions):
            field, condition = self.fields[name], RunQuery.model_fields[name]
            if not isinstance(field, ConfigurableField):
                specs.append(make_options_spec(field, condition.description))
                continue
            spec = ConfigurableFieldSpec(
                id=field.id,
                name=field.name,
                description=field.description,
                annotation=field.annotation or condition.annotation,
                default=getattr(loader.query, name),
                is_shared=field.is_shared,
            )
            specs.append(spec)
        return get_unique_config_specs(specs)


def take_conditions(query: RunQuery | None, settings: dict[str, Any]) -> RunQuery:
    """Return the query with the conditions among a loader's arguments, which are removed there.

    Raises:
        LoadError: A condition is invalid.
    """
    names = RunQuery.model_fields.keys() & settings.keys()
    return updated(query or RunQuery(), {name: settings.pop(name) for name in names})


def updated(query: RunQuery, changes: dict[str, Any]) -> RunQuery:
    """Return a query with some of its conditions replaced.

    Raises:
        LoadError: A condition is invalid.
    """
    if not changes:
        return query
    try:
        return RunQuery.model_validate({**query.model_dump(exclude_none=True), **changes})
    except ValidationError as error:
        raise LoadError(f"The run query is invalid: {explain(error, RunQuery)}") from error


class _LikeQuery:
    """Annotation that gives a value the JSON schema of a `RunQuery`."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _: Any, handler: Any) -> Any:
        return handler(TypeAdapter(RunQuery | None).core_schema)
