"""Archives written, gone on from, compacted, recovered and converted in any order, beside a plain dictionary."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from des_platform.archive import DesReader, DesWriter, MemorySource
from des_platform.archive.recovery import recover
from des_platform.archive.rewriting import compact, convert
from des_platform.archive.v2.builder import V2Builder
from des_platform.archive.verification import verify
from des_platform_tests.archive.corpus import MemorySink, catalogue_offset, everything, noise

NAMES = st.sampled_from(["a", "b", "c", "dd", "é", "e/f", "\n", "long" * 30])
PAYLOADS = st.one_of(
    st.just(b""),
    st.integers(1, 300).map(lambda size: noise(size, size)),
    st.integers(1, 300).map(lambda size: b"abcdefgh" * size),
)
META = st.one_of(st.none(), st.dictionaries(st.sampled_from(["k", "n", "size"]), st.integers(-3, 3)))
EXTERNAL = st.tuples(st.just("external"), st.integers(0, 1000), META)
FILES = st.dictionaries(NAMES, st.one_of(st.tuples(st.just("inside"), PAYLOADS, META), EXTERNAL), max_size=5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("go on"), FILES, st.sets(NAMES, max_size=4)),
        st.sampled_from(["compact", "recover", "recover cut", "convert"]).map(lambda step: (step, {}, set())),
    ),
    max_size=6,
)


def _add(archive: Any, files: dict[str, Any], model: dict[str, Any]) -> None:
    for name, (kind, data, meta) in files.items():
        described = {key: value for key, value in (meta or {}).items() if key != "size"}
        if kind == "external":
            archive.add_external(
                name, data, {**described, "size": data, "is_external": True, "external_key": f"k/{name}"}
            )
            model[name] = f"k/{name}", {**described, "size": data, "is_external": True, "external_key": f"k/{name}"}
        else:
            archive.add(name, data, meta)
            model[name] = data, {**described, "size": len(data)}


def _rewritten(step: str, data: bytes) -> bytes:
    sink, source = MemorySink(), MemorySource(data)
    if step == "compact":
        compact(source, sink)
    elif step == "convert":
        convert(source, sink, format_version=2)
    else:
        recover(MemorySource(data[: catalogue_offset(data) + 1]) if step == "recover cut" else source, sink)
    return sink.data


@given(first=FILES, steps=STEPS, level=st.sampled_from([None, 3]), columns=st.sampled_from([None, {"n": "long"}]))
@settings(max_examples=120, deadline=None)
def test_an_archive_holds_what_a_dictionary_would(
    first: dict[str, Any], steps: list[Any], level: int | None, columns: dict[str, str] | None
) -> None:
    model: dict[str, Any] = {}
    sink = MemorySink()
    builder = V2Builder(sink, compression_level=level, columns=columns)
    _add(builder, first, model)
    builder.finish()
    sink.commit()
    data = sink.data
    for step, files, deleted in steps:
        if step == "go on":
            sink = MemorySink()
            builder = V2Builder(sink, base=MemorySource(data), compression_level=level)
            for name in sorted(deleted & set(model)):
                builder.delete(name)
                del model[name]
            _add(builder, {name: file for name, file in files.items() if name not in model}, model)
            assert len(builder) == len(model)
            builder.finish()
            sink.commit()
            data = sink.data
        else:
            data = _rewritten(step, data)
        assert everything(data) == model
        assert DesReader(MemorySource(data)).list_files() == sorted(model, key=str.encode)
        assert verify(MemorySource(data)).problems == []
    with DesWriter(MemorySink(), base=MemorySource(data)) as archive:
        assert len(archive) == len(model)
