"""The API's description as one HTML page: no script, no network, made from the OpenAPI document."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_STYLE: Final = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1 small{font-weight:normal;opacity:.7}
details{border:1px solid #8884;border-radius:.4rem;margin:.4rem 0;padding:.4rem .8rem}
summary{cursor:pointer}
summary b{display:inline-block;min-width:4.5rem}
code,pre{font:.9em ui-monospace,monospace}
pre{overflow-x:auto;background:#8881;padding:.6rem;border-radius:.4rem}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;border-top:1px solid #8884;padding:.2rem .6rem .2rem 0}
"""


def page(document: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI document."""
    about = document["info"]
    title = f"{escape(about['title'])} <small>{escape(about['version'])}</small>"
    operations = "".join(f"<h2>{escape(tag)}</h2>{''.join(sections)}" for tag, sections in _by_tag(document).items())
    schemas = "".join(
        f"<details><summary><code>{escape(name)}</code></summary><pre>{_json(schema)}</pre></details>"
        for name, schema in sorted(document["components"]["schemas"].items())
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(about["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{escape(about['description'])}</p>"
        '<p>For programs: <a href="/openapi.json">openapi.json</a></p>'
        f"{operations}<h2>Bodies</h2>{schemas}</html>"
    )


def _by_tag(document: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            found.setdefault(operation["tags"][0], []).append(_section(method, path, operation))
    return found


def _section(method: str, path: str, operation: Mapping[str, Any]) -> str:
    return (
        f"<details><summary><b>{escape(method.upper())}</b> <code>{escape(path)}</code> "
        f"{escape(operation['description'].partition(chr(10))[0])}</summary>"
        f"<p>{escape(operation['description'])}</p><table>{''.join(_rows(operation))}</table></details>"
    )


def _rows(operation: Mapping[str, Any]) -> Iterator[str]:
    for scheme in operation.get("security", []):
        yield _row("scope", ", ".join(scope for scopes in scheme.values() for scope in scopes), "")
    for parameter in operation.get("parameters", []):
        needed = "" if parameter["required"] else " (optional)"
        yield _row(parameter["in"], parameter["name"] + needed, _json(parameter["schema"]))
    if body := operation.get("requestBody"):
        yield _row("body", "application/json", _json(next(iter(body["content"].values()))["schema"]))
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        schema = next(iter(content.values())).get("schema", {}) if content else {}
        yield _row(status, response["description"], _json(schema) if schema and status == "200" else "")


def _row(*cells: str) -> str:
    kind, name, schema = cells
    return f"<tr><th>{escape(kind)}<td>{escape(name)}<td><code>{schema}</code>"


def _json(value: object) -> str:
    return escape(json.dumps(value, indent=1, ensure_ascii=False).replace("#/components/schemas/", ""))
