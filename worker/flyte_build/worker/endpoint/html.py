"""Pages for people, as text: everything that is not ours is escaped, and there is no script at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from typing import TYPE_CHECKING

from flyte_build.worker.endpoint.html_facts import name_of, run_facts, steps_table, table, versions
from flyte_build.worker.runs.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flyte_build.builder.engine import StepEnded
    from flyte_build.worker.builds.values import Build
    from flyte_build.worker.endpoint.tasks import Deployed
    from flyte_build.worker.runs.values import Action, Transition

_REFRESH_SECONDS = 2
_LONGEST_REASON = 160
STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c62828; --good: #2e7d32; --busy: #1565c0 }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --good: #a5d6a7; --busy: #90caf9 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.3rem; overflow-wrap: anywhere } h2 { font-size: 1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere }
.runs td, .runs th { overflow-wrap: break-word } .runs td:nth-child(n+3):nth-child(-n+5) { white-space: nowrap }
th { overflow-wrap: normal } nav { font-size: .85rem }
pre { padding: 1rem; border: 1px solid var(--line); border-radius: .4rem; overflow-x: auto; white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: .85rem }
ol { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; list-style: none; padding: 0 }
.SUCCEEDED { color: var(--good) } .FAILED, .ABORTED, .TIMED_OUT { color: var(--bad) }
.QUEUED, .WAITING_FOR_RESOURCES, .INITIALIZING, .RUNNING { color: var(--busy) }
"""


def run_path(action: Action) -> str:
    """Where the page of a run is; the path is the one that the SDK prints."""
    return f"/v2/domain/{action.domain}/project/{action.project}/runs/{action.run}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the page of a run says beside its phases: `inputs` as they serialize, `steps` of a build."""

    build: Build | None = None
    inputs: bytes = b""
    steps: tuple[StepEnded, ...] = ()
    log: str = ""


def run_page(action: Action, transitions: tuple[Transition, ...], told: Told) -> str:
    """A run: phases, why it failed, its task and image, what went in and came out, the end of its log."""
    phase = Phase(action.phase)
    name = name_of(action, told.build.target if told.build is not None else "")
    steps = "".join(f'<li class="{one.phase.name}">{_clock(one.at)} {_phase(one.phase)}</li>' for one in transitions)
    reason = action.error or action.abort_reason
    parts = [
        f'<h1>{escape(name)}: <span class="{phase.name}">{_phase(phase)}</span></h1>',
        f"<ol>{steps}</ol>",
        f"<h2>Reason</h2><pre>{escape(reason)}</pre>" if reason else "",
        _build_table(told.build) if told.build is not None else "",
        steps_table(told.steps),
        table("Task", (("run", action.run), *run_facts(action, told.inputs))),
        f'<h2>Log (<a href="{escape(run_path(action))}/log">all of it</a>)</h2>',
        f"<pre>{escape(told.log)}</pre>" if told.log else "<p>Nothing was written yet.</p>",
    ]
    return _page(f"{_phase(phase)}: {name}", "".join(parts), refresh=not phase.terminal)


def index_page(actions: tuple[Action, ...], targets: Mapping[str, str]) -> str:
    """The newest runs; `targets` are those of their builds, by id."""
    rows = "".join(_row(action, targets.get(action.build_id or "", "")) for action in actions)
    head = f"<tr>{''.join(f'<th>{one}</th>' for one in ('what', 'project', 'phase', 'asked', 'took', ''))}</tr>"
    table = f"<table class='runs'>{head}{rows}</table>" if rows else "<p>Nothing ran yet.</p>"
    return _page("flyte-build", f"<h1>flyte-build</h1>{table}", refresh=False)


def task_page(project: str, domain: str, name: str, found: tuple[Deployed, ...]) -> str:
    """A deployed task and its versions."""
    where = f"<p>{escape(project)}/{escape(domain)}</p>"
    return _page(name, f"<h1>task {escape(name)}</h1>{where}{versions(found)}", refresh=False)


def login_page(problem: str) -> str:
    """The form for a token; `problem` says why the last one was not taken."""
    said = f"<p class='FAILED'>{escape(problem)}</p>" if problem else ""
    form = (
        "<form method='post' action='/login'><p><label>Token <input type='password' name='token' required"
        " autocomplete='off' autofocus></label> <button>Log in</button></p></form>"
    )
    hint = "<p>It is the token that programs send as <code>Authorization: Bearer</code>.</p>"
    return _page("log in", f"<h1>Log in</h1>{said}{form}{hint}", refresh=False)


def missing_page(what: str) -> str:
    """There is no such thing."""
    return _page("not found", f"<h1>There is no {escape(what)} here</h1>", refresh=False)


def _row(action: Action, target: str) -> str:
    phase = Phase(action.phase)
    link = f'<a href="{escape(run_path(action))}">{escape(name_of(action, target))}</a>'
    where = escape(f"{action.project}/{action.domain}")
    took = f"{action.ended_at - action.created_at:.1f} s" if action.ended_at else ""
    why = (action.error or action.abort_reason).partition("\n")[0]
    return (
        f'<tr><td>{link}</td><td>{where}</td><td class="{phase.name}">{_phase(phase)}</td>'
        f"<td>{_clock(action.created_at)}</td><td>{took}</td><td>{escape(_cut(why))}</td></tr>"
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 1]}…"


def _build_table(build: Build) -> str:
    seconds = f"{build.ended_at - build.started_at:.1f} s" if build.ended_at and build.started_at else ""
    rows = (
        ("build", build.id),
        ("target", build.target),
        ("image", build.reference),
        ("spec digest", build.spec_digest),
        ("status", build.status or build.state),
        ("failing step", build.step),
        ("time", seconds),
        ("attempts", str(build.attempts)),
    )
    return table("Image", rows)


def _page(title: str, body: str, *, refresh: bool) -> str:
    again = f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">' if refresh else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>{again}'
        f'<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/style.css"></head>'
        f"<body><nav><a href='/'>all runs</a></nav><main>{body}</main></body></html>\n"
    )


def _phase(phase: Phase) -> str:
    return phase.name.lower().replace("_", " ")


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
