"""Text that Dockerfiles, shells and JSON all have a meaning for reaches the image as it was written."""

from __future__ import annotations

import json

import pytest
from tests.builder.building import Workshop

from flyte_build.builder.spec import Copy

pytestmark = pytest.mark.real

ODD_COMMANDS = {
    "dollars": "printf %s '$HOME ${HOME} $$' > /out/dollars",
    "expanded": 'printf %s "$MARK" > /out/expanded',
    "backslashes": r"printf %s '\ \\ \n \t' > /out/backslashes",
    "ends in a backslash": "printf %s 'a\\\\' > '/out/ends in a backslash'; true \\",
    "quotes": """printf %s "a'b\\"c" > /out/quotes""",
    "unicode": "printf %s 'né ☃ 𝄞 \u2028' > /out/unicode",
    "heredoc": "cat > /out/heredoc <<EOF\nFROM scratch\n# not a comment\n  RUN false\nEOF",
    "heredoc quoted": "cat > '/out/heredoc quoted' <<'EOF'\n$HOME\n\n\tCOPY --from=x\nEOF\n",
    "hash lines": "# a comment\nprintf %s '#x' > '/out/hash lines' # another\n#",
    "lines": "printf %s 'a\n\n # b\n\\\nc' > /out/lines",
    "blanks": "   printf %s ' a  b ' > /out/blanks   ",
    "instruction": "true\nUSER nobody\n".replace("USER", "printf USER > /out/instruction #"),
    "long": f"printf %s '{'#' * 60_000} {chr(92) * 40_000}' > /out/long",
}
EXPECTED = {
    "dollars": "$HOME ${HOME} $$",
    "expanded": "a b",
    "backslashes": r"\ \\ \n \t",
    "ends in a backslash": "a\\\\",
    "quotes": "a'b\"c",
    "unicode": "né ☃ 𝄞 \u2028",
    "heredoc": "FROM scratch\n# not a comment\n  RUN false\n",
    "heredoc quoted": "$HOME\n\n\tCOPY --from=x\n",
    "hash lines": "#x",
    "lines": "a\n\n # b\n\\\nc",
    "blanks": " a  b ",
    "instruction": "USER",
    "long": f"{'#' * 60_000} {chr(92) * 40_000}",
}
DUMP = "import json, os; print(json.dumps({n: open('/out/' + n).read() for n in os.listdir('/out')}))"


def test_commands_run_as_they_were_written(workshop: Workshop) -> None:
    spec = workshop.spec().with_env({"MARK": "a b"}).with_commands("mkdir /out", *ODD_COMMANDS.values())
    built = workshop.build(spec)
    assert json.loads(workshop.run(built, "python3", "-c", DUMP)) == EXPECTED
    user = workshop.config(built)["config"]["User"]
    assert user == "root"


VALUES = {
    "PLAIN": ("a", "a"),
    "EMPTY": ("", ""),
    "SPACES": ("  a  b ", "  a  b "),
    "QUOTES": ("""a"b'c`d""", """a"b'c`d"""),
    "BACKSLASHES": ("a\\b\\\\c\\", "a\\b\\\\c\\"),
    "ESCAPED_N": ("\\n\\t", "\\n\\t"),
    "DOLLAR": ("\\$HOME", "$HOME"),
    "EXPANDED": ("$BEFORE/x:${BEFORE}", "be fore/x:be fore"),
    "DEFAULTED": ("${UNSET:-other}", "other"),
    "HASH": ("# a", "# a"),
    "EQUALS": ("a=b c=d", "a=b c=d"),
    "UNICODE": ("né ☃ 𝄞", "né ☃ 𝄞"),
    "TAB": ("a\tb", "a\tb"),
    "HEREDOC": ("<<EOF", "<<EOF"),
    "LINES": ('a\nUSER x\nRUN ["false"]\n\n# b', 'a\nUSER x\nRUN ["false"]\n\n# b'),
    "LINES_OF_MARKS": ('"\n\\\n$\n\\$\n<<EOF\n', '"\n\\\n$\n$\n<<EOF\n'),
    "LINES_EXPANDED": ("$BEFORE\n${BEFORE}", "be fore\nbe fore"),
    "JSON": ('["a", "b"]', '["a", "b"]'),
}


def test_environment_values_arrive_as_documented(workshop: Workshop) -> None:
    spec = (
        workshop.spec().with_env({"BEFORE": "be fore"}).with_env({name: value for name, (value, _) in VALUES.items()})
    )
    built = workshop.build(spec)
    environment = dict(pair.partition("=")[::2] for pair in workshop.config(built)["config"]["Env"])
    assert {name: environment[name] for name in VALUES} == {name: meant for name, (_, meant) in VALUES.items()}


NAMES: tuple[str, ...] = (
    "plain.txt",
    "with space.txt",
    " leading and trailing ",
    "star*.txt",
    "question?.txt",
    "[brackets].txt",
    "[!a-z]",
    "back\\slash",
    "dollar$HOME",
    "${HOME}",
    'double"quote',
    "single'quote",
    "#hash",
    "né☃.txt",
    "<<EOF",
    "-dash",
    "--from=x",
    "tab\there",
    "new\nline",
    "http:",
    "~",
    "%s",
)


def is_plain(name: str) -> bool:
    """What `resolve` takes for a file whose target may be a new name."""
    return name == name.strip() and not set(name) & set("*?[\\")


@pytest.mark.parametrize("form", ["in a folder", "into a folder", "to a new name", "into what turns out a folder"])
def test_files_are_copied_whatever_their_names(workshop: Workshop, form: str) -> None:
    folder = workshop.root / "odd [*] $x"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        (folder / name).write_text(str(number), encoding="utf-8")
        # What a pattern would match besides.
        (workshop.root / "starry.txt").write_text("no", encoding="utf-8")
    spec, names = workshop.spec(), tuple(NAMES)
    if form == "in a folder":
        spec = spec.with_copy(folder.name, to="/out", contents=True)
    else:
        names = names if form == "into a folder" else tuple(name for name in names if is_plain(name))
        spec = spec.with_workdir("/out")
        targets = {"into a folder": "/out/", "into what turns out a folder": "/out"}
        for number, name in enumerate(names):
            spec = spec.with_copy(f"{folder.name}/{name}", to=targets.get(form, f"/out/{number}"))
    found = json.loads(workshop.run(workshop.build(spec), "python3", "-c", DUMP))
    renamed = form == "to a new name"
    assert found == {str(n) if renamed else name: str(NAMES.index(name)) for n, name in enumerate(names)}


@pytest.mark.parametrize(
    "place",
    ["/a b", "/ leading and trailing ", "/back\\slash", "/quo\"te's", "/né☃", "/#x", "/<<EOF", "/[a]*?", "/--x=y"],
)
def test_paths_mean_what_they_say_in_workdir_and_copy(workshop: Workshop, place: str) -> None:
    (workshop.root / "file").write_text("x", encoding="utf-8")
    built = workshop.build(
        workshop.spec().with_layer(Copy(source="file", to=f"{place}/")).with_workdir(place).with_workdir("in ner")
    )
    assert workshop.config(built)["config"]["WorkingDir"] == f"{place}/in ner"
    assert workshop.run(built, "cat", f"{place}/file") == "x"
