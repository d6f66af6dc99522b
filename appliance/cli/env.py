"""`appliance env …`: the packages of notebooks, and further environments as kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from appliance.cli import completion
from appliance.cli.errors import UsageError, require_root
from appliance.cli.listing import Commands
from appliance.cli.options import Json, Quiet, Yes
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(
    no_args_is_help=True,
    help="Python packages of notebooks, kernels, extensions.",
    rich_markup_mode=None,
)
kernel_app = typer.Typer(
    no_args_is_help=True, help="Kernels of other languages.", rich_markup_mode=None
)
extension_app = typer.Typer(
    no_args_is_help=True,
    help="Switch extensions of JupyterLab and of servers on and off, for everybody.",
    rich_markup_mode=None,
)
app.add_typer(kernel_app, name="kernel", cls=Commands)
app.add_typer(extension_app, name="extension", cls=Commands)


Packages = Annotated[
    list[str] | None,
    typer.Argument(help="As PyPI names them, such as pandas or 'pandas>=2'.", metavar="PACKAGE..."),
]
Env = Annotated[
    str,
    typer.Option(
        "--env",
        help="A kernel's environment instead of everybody's.",
        metavar="NAME",
        autocompletion=completion.environment_names,
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.environment_names)]
RequirementsFile = Annotated[
    Path | None,
    typer.Option("--requirement", "-r", help="A file of requirements.", metavar="FILE"),
]
CondaFile = Annotated[
    Path | None, typer.Option("--conda", help="conda's environment.yml.", metavar="FILE")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Install nothing if a line of a file can't be followed.")
]
Wheels = Annotated[
    Path | None,
    typer.Option(
        "--wheels", help="Take packages from this folder, none from the network.", metavar="DIR"
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Do all but put it in force; say what would change.")
]
Build = Annotated[
    bool,
    typer.Option(
        "--build", help="Build what isn't ready-made, as nobody in a closed-off unit (takes time)."
    ),
]


@app.command()
def install(
    packages: Packages = None,
    *,
    requirement: RequirementsFile = None,
    conda: CondaFile = None,
    strict: Strict = False,
    env: Env = "",
    wheels: Wheels = None,
    build: Build = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Install packages for everybody's notebooks, or into one kernel's environment."""
    from appliance.cli import env_work

    if not packages and not requirement and not conda:
        raise UsageError(
            "cannot install", why="no package is named", mend="appliance env install --help"
        )
    require_root(Places.current())
    work = env_work.Work(Places.current(), Output(json, quiet), wheels, dry_run=dry_run)
    work.install(env, env_work.Wanted(packages or [], requirement, conda, strict), build=build)


@app.command()
def remove(
    packages: Annotated[list[str], typer.Argument(metavar="PACKAGE...")],
    *,
    env: Env = "",
    dry_run: DryRun = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Remove packages, and what came along with them and nothing else needs."""
    from appliance.cli import env_work

    require_root(Places.current())
    work = env_work.Work(Places.current(), Output(json, quiet), dry_run=dry_run)
    work.remove(env, packages)


@app.command()
def upgrade(
    packages: Packages = None,
    *,
    env: Env = "",
    wheels: Wheels = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Install newer versions of these packages, or of all that was asked for."""
    from appliance.cli import env_work

    require_root(Places.current())
    work = env_work.Work(Places.current(), Output(json, quiet), wheels, dry_run=dry_run)
    work.upgrade(env, packages or [])


@app.command()
def rollback(
    number: Annotated[
        int, typer.Argument(help="As `appliance env history` counts.", metavar="[NUMBER]", min=0)
    ] = 0,
    *,
    env: Env = "",
    dry_run: DryRun = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Go back to the packages that were in force before, or to a number of the history."""
    from appliance.cli import env_work

    require_root(Places.current())
    work = env_work.Work(Places.current(), Output(json, quiet), dry_run=dry_run)
    work.rollback(env, number)


@app.command()
def repair(
    *, env: Env = "", wheels: Wheels = None, quiet: Quiet = False, json: Json = False
) -> None:
    """Build again what is asked for, where it isn't in force or its Python has changed."""
    from appliance.cli import env_work

    require_root(Places.current())
    work = env_work.Work(Places.current(), Output(json, quiet), wheels)
    work.repair(env)


@app.command()
def history(*, env: Env = "", json: Json = False) -> None:
    """List what was in force and can be gone back to."""
    from appliance.cli import env_work

    require_root(Places.current())
    env_work.Work(Places.current(), Output(json)).history(env)


@app.command("list")
def list_(
    *,
    env: Env = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Also what came along and what the appliance needs.")
    ] = False,
    json: Json = False,
) -> None:
    """List the packages that were asked for, and the environments."""
    from appliance.cli import env_work

    require_root(Places.current())
    env_work.Work(Places.current(), Output(json)).list_packages(env, everything=everything)


@app.command()
def freeze(*, env: Env = "", json: Json = False) -> None:
    """Print what was asked for and came along, with versions, as a file of requirements."""
    from appliance.cli import env_work

    require_root(Places.current())
    env_work.Work(Places.current(), Output(json)).freeze(env)


@app.command()
def create(
    name: Name,
    packages: Packages = None,
    *,
    title: Annotated[
        str, typer.Option("--title", help="What people see in JupyterLab.", metavar="TEXT")
    ] = "",
    python: Annotated[
        str,
        typer.Option("--python", help="The system's Python, by its whole path.", metavar="PATH"),
    ] = "",
    requirement: RequirementsFile = None,
    conda: CondaFile = None,
    strict: Strict = False,
    wheels: Wheels = None,
    build: Build = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make an environment of its own that everybody can choose as a kernel."""
    from appliance.cli import env_work

    require_root(Places.current())
    work = env_work.Work(Places.current(), Output(json, quiet), wheels, dry_run=dry_run)
    wanted = env_work.Wanted(packages or [], requirement, conda, strict)
    work.create(name, wanted, title=title, python=python, build=build)


@app.command()
def delete(name: Name, *, yes: Yes = False, quiet: Quiet = False, json: Json = False) -> None:
    """Delete a kernel's environment; kernels that run go on."""
    from appliance.cli import env_work

    require_root(Places.current())
    env_work.Work(Places.current(), Output(json, quiet)).delete(name, yes=yes)


@app.command()
def extensions(*, json: Json = False) -> None:
    """List the extensions of JupyterLab and of servers, and whether they are on."""
    from appliance.cli import env_extensions

    require_root(Places.current())
    env_extensions.show(Places.current(), Output(json))


@extension_app.command("on")
def extension_on(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Switch an extension on, from the next start of each server."""
    from appliance.cli import env_extensions

    require_root(Places.current())
    env_extensions.switch(Places.current(), Output(json, quiet), name, on=True)


@extension_app.command("off")
def extension_off(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Switch an extension off, from the next start of each server."""
    from appliance.cli import env_extensions

    require_root(Places.current())
    env_extensions.switch(Places.current(), Output(json, quiet), name, on=False)


@kernel_app.command("list")
def kernel_list(*, json: Json = False) -> None:
    """List the kernels that everybody sees."""
    from appliance.cli import env_kernels

    require_root(Places.current())
    env_kernels.show(Places.current(), Output(json))


@kernel_app.command("add")
def kernel_add(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            help="The kernel's program, after --, with {connection_file} in its place; bash is "
            "known without.",
            metavar="[-- COMMAND...]",
        ),
    ] = None,
    *,
    title: Annotated[
        str, typer.Option("--title", help="What people see in JupyterLab.", metavar="TEXT")
    ] = "",
    language: Annotated[
        str, typer.Option("--language", help="The language of its cells.", metavar="NAME")
    ] = "",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Add a kernel of another language, whose program is installed already."""
    from appliance.cli import env_kernels

    require_root(Places.current())
    env_kernels.add(
        Places.current(), Output(json, quiet), name, command or [], title=title, language=language
    )


@kernel_app.command("remove")
def kernel_remove(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Take a kernel away that was added; its program stays."""
    from appliance.cli import env_kernels

    require_root(Places.current())
    env_kernels.remove(Places.current(), Output(json, quiet), name)
