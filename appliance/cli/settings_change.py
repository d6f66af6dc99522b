"""Changing settings: set, unset, add, remove, edit, reload; and telling what became of it."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

from appliance.cli import limits_work
from appliance.cli.errors import UsageError
from appliance.cli.output import Output
from appliance.config import edit as texts
from appliance.config.fields import get_setting
from appliance.config.files import write_atomically
from appliance.config.load import check_text, read_text
from appliance.config.reference import effects
from appliance.errors import ApplianceError, ConfigError
from appliance.places import Places
from appliance.rollout.apply import Outcome, make_applier


def read_words(key: str, words: Sequence[str], *, from_stdin: bool) -> list[str]:
    """The value: from the command line, from stdin, or for a secret by asking.

    A secret in the command line would be seen by everybody on the machine, and stay in the shell's
    history.
    """
    get_setting(key)
    secret = texts.is_secret(key)
    if words and (secret or from_stdin):
        why = (
            "secrets don't belong in command lines"
            if secret
            else "there is one in the command line"
        )
        raise UsageError(
            f"cannot take the value of {key}",
            why=why,
            mend=f"appliance config set {key} --stdin",
        )
    if from_stdin:
        return [sys.stdin.readline().rstrip("\r\n")]
    if words:
        return list(words)
    if secret and sys.stdin.isatty():
        return [_ask_twice(key)]
    raise UsageError(
        f"cannot set {key}",
        why="there is no value",
        mend=f"appliance config set {key} {'--stdin' if secret else 'VALUE'}",
    )


def set_value(
    places: Places,
    output: Output,
    key: str,
    words: Sequence[str],
    *,
    roll_back: bool,
    yes: bool = False,
) -> None:
    def change(text: str) -> str:
        return texts.set_value(text, key, words, name=str(places.config_file))

    change_text(places, output, change, roll_back=roll_back, yes=yes)


def unset(places: Places, output: Output, key: str, *, roll_back: bool, yes: bool = False) -> None:
    def change(text: str) -> str:
        return texts.unset(text, key, name=str(places.config_file))

    change_text(places, output, change, roll_back=roll_back, yes=yes)


def add(places: Places, output: Output, key: str, items: Sequence[str], *, roll_back: bool) -> None:
    def change(text: str) -> str:
        return texts.add(text, key, items, name=str(places.config_file))

    change_text(places, output, change, roll_back=roll_back)


def remove(
    places: Places, output: Output, key: str, items: Sequence[str], *, roll_back: bool
) -> None:
    def change(text: str) -> str:
        return texts.remove(text, key, items, name=str(places.config_file))

    change_text(places, output, change, roll_back=roll_back)


def reload(places: Places, output: Output, *, force: bool, roll_back: bool) -> None:
    _report(output, make_applier(places).reload(everything=force, roll_back=roll_back))


def render(places: Places, output: Output) -> None:
    make_applier(places).render()
    files = sorted(str(path) for path in places.rendered.iterdir() if path.suffix != ".yaml")
    output.done({"written": files}, "\n".join(["written:", *(f"  {file}" for file in files)]))


def edit(
    places: Places, output: Output, *, discard: bool, roll_back: bool, yes: bool = False
) -> None:
    """Let the user edit a copy; what is wrong stays there as a draft, and nothing else changes."""
    draft = places.settings / "config.draft.yaml"
    old = read_text(places.config_file)
    if discard or not draft.exists():
        write_atomically(draft, old, mode=0o600)
    else:
        output.say(f"going on with the draft {draft} (--discard begins anew)")
    try:
        done = subprocess.run([*_editor(), str(draft)], check=False)
    except OSError as error:
        raise ApplianceError(
            "cannot open an editor", why=str(error), mend="EDITOR=nano appliance config edit"
        ) from error
    if done.returncode:
        raise ApplianceError(
            "cannot take over what was edited", why=f"the editor ended with {done.returncode}"
        )
    new = read_text(draft)
    try:
        check_text(new, name=str(draft))
    except ConfigError as error:
        error.mend = "nothing was changed; go on with: sudo appliance config edit"
        raise
    change_text(places, output, lambda _: new, roll_back=roll_back, yes=yes)
    draft.unlink(missing_ok=True)


def change_text(
    places: Places,
    output: Output,
    change: Callable[[str], str],
    *,
    roll_back: bool = True,
    yes: bool = False,
) -> None:
    """Change the file and make it take effect, after asking where that stops what runs."""
    if not yes:
        limits_work.ask_before_lowering(places, change(read_text(places.config_file)))
    _report(output, make_applier(places).change(change, roll_back=roll_back))


def _report(output: Output, outcome: Outcome) -> None:
    said = {
        "changes": [{"key": one.key, "old": one.old, "new": one.new} for one in outcome.changes],
        "effects": effects(outcome.reload),
        "notes": outcome.notes,
        "in_force": not outcome.stopped,
        "healed": outcome.healed,
    }
    if outcome.healed:
        output.say(f"note: {outcome.healed}")
    lines = [f"{change.key}: {change.old} → {change.new}" for change in outcome.changes]
    if outcome.stopped:
        lines.append("the appliance is stopped; it will have this when it is started")
    elif outcome.reload:
        lines += [f"  {effect}" for effect in effects(outcome.reload)]
        lines += [f"  note: {note}" for note in outcome.notes]
        lines.append("done; the appliance answers")
    elif not outcome.changes:
        lines.append("nothing to change: this is in force already")
    output.done(said, "\n".join(lines))


def _ask_twice(key: str) -> str:
    first = getpass.getpass(f"{key}: ", stream=sys.stderr)
    if first != getpass.getpass("once more: ", stream=sys.stderr):
        raise ApplianceError(f"cannot set {key}", why="the two inputs differ", mend="try again")
    return first


def _editor() -> list[str]:
    for variable in ("VISUAL", "EDITOR"):
        words = shlex.split(os.environ.get(variable, ""))
        if words:
            return words
    for program in ("sensible-editor", "nano", "vi"):
        if shutil.which(program):
            return [program]
    raise UsageError(
        "cannot open an editor", why="none was found", mend="EDITOR=… appliance config edit"
    )
