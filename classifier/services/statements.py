"""The writes that every upload needs, by SQL that is put together once.

Django compiles a query anew each time: for an upload's nine that took 5 ms of processor time, and the statements
themselves 0.2. Values still go through the fields, so whatever a field or a database wants is done.
https://docs.djangoproject.com/en/5.2/topics/db/sql/#executing-custom-sql-directly
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import AutoField, Field, Model

if TYPE_CHECKING:
    Column = Field[object, object]
    Value = str | bytes | int | float | None  # what a database's driver takes


def row_insert(row: Model) -> None:
    """Store a new row, which is given its key where the database makes it."""
    made = rows_insert([row])
    if _made_by_database(type(row)):
        row.pk = made
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


def rows_insert(rows: Sequence[Model], *, unique: tuple[str, ...] = (), replaced: tuple[str, ...] = ()) -> object:
    """Store new rows of one model; where one is there with the same `unique` columns, its `replaced` ones are replaced.

    Returns the first one's key.
    """
    model = type(rows[0])
    connection, fields = connections[DEFAULT_DB_ALIAS], _fields(model)
    values = [
        cast("Value", field.get_db_prep_save(field.pre_save(row, True), connection)) for row in rows for field in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(_insert(model, len(rows), unique, replaced), values)
        key: object = cursor.fetchone()[0]
        return key


def row_update(row: Model, values: Mapping[str, object], **found: object) -> bool:
    """Change a row in the database, where its columns still hold what is `found`; whether it did. Not `row` itself."""
    model, where = type(row), {row._meta.pk.name: row.pk, **found}
    prepared = [_prepared(model, name, value) for name, value in [*values.items(), *where.items()]]
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(_update(model, tuple(values), tuple(where)), prepared)
        return bool(cursor.rowcount == 1)


def row_lock(model: type[Model], pk: object, how: str) -> bool:
    """Take a lock on a row until the transaction ends, where the database has them; whether the row is there."""
    connection = connections[DEFAULT_DB_ALIAS]
    how = how if connection.features.has_select_for_update else ""
    with connection.cursor() as cursor:
        key = model._meta.pk
        cursor.execute(f"SELECT 1 FROM {_name(model._meta.db_table)} WHERE {_name(key.column)} = %s {how}",
                       [_prepared(model, key.name, pk)])  # fmt: skip
        return cursor.fetchone() is not None


@functools.cache
def _fields(model: type[Model]) -> tuple[Column, ...]:
    return tuple(cast("Column", field) for field in model._meta.concrete_fields if not isinstance(field, AutoField))


def _field(model: type[Model], name: str) -> Column:
    return cast("Column", model._meta.get_field(name))


def _made_by_database(model: type[Model]) -> bool:
    return isinstance(model._meta.pk, AutoField)


def _prepared(model: type[Model], name: str, value: object) -> Value:
    value = value.pk if isinstance(value, Model) else value
    return cast("Value", _field(model, name).get_db_prep_save(value, connections[DEFAULT_DB_ALIAS]))


def _name(name: str | None) -> str:
    return f'"{name}"'


@functools.cache
def _insert(model: type[Model], count: int, unique: tuple[str, ...], replaced: tuple[str, ...]) -> str:
    columns = [_name(field.column) for field in _fields(model)]
    row = f"({', '.join(['%s'] * len(columns))})"
    sql = f"INSERT INTO {_name(model._meta.db_table)} ({', '.join(columns)}) VALUES {', '.join([row] * count)}"
    if unique:
        new = ", ".join(f"{_name(column)} = excluded.{_name(column)}" for column in replaced)
        sql += f" ON CONFLICT ({', '.join(map(_name, unique))}) DO UPDATE SET {new}"
    return f"{sql} RETURNING {_name(model._meta.pk.column)}"


@functools.cache
def _update(model: type[Model], names: tuple[str, ...], where: tuple[str, ...]) -> str:
    columns = {name: _name(_field(model, name).column) for name in (*names, *where)}
    changes = ", ".join(f"{columns[name]} = %s" for name in names)
    conditions = " AND ".join(f"{columns[name]} = %s" for name in where)
    return f"UPDATE {_name(model._meta.db_table)} SET {changes} WHERE {conditions}"
