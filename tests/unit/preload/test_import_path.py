"""Whoever could write what root imports is found, however it is hidden."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.preload import import_path
from appliance.preload.import_path import Stamp, check

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")
SOMEBODY = 54321


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_path, "_SYSTEM_FOLDERS", ())


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment of one package, with the interpreter beside it."""
    made = tmp_path / "environments/user-1"
    package = made / "lib/python3.11/site-packages/numpy/core"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (made / "bin").mkdir()
    (made / "bin/python").symlink_to(sys.executable)
    (made / "pyvenv.cfg").write_text("home = /usr/bin\n")
    for name in ("etc/jupyter/jupyter_server_config.d", "share/jupyter/kernels/python3"):
        (made / name).mkdir(parents=True)
    for path in (made, *made.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    for path in (tmp_path / "environments", made):
        path.chmod(0o755)
    return made


def packages(environment: Path) -> Path:
    return environment / "lib/python3.11/site-packages"


def problems(environment: Path) -> list[str]:
    # All above the test's own folder is the test machine's business.
    return check(
        [str(packages(environment))],
        prefix=str(environment),
        owner=os.geteuid(),
        top=str(environment.parent.parent),
    )


def test_what_is_roots_alone_is_fine(environment: Path) -> None:
    assert problems(environment) == []


@pytest.mark.parametrize(
    "path",
    [
        "lib",
        "lib/python3.11/site-packages",
        "lib/python3.11/site-packages/numpy",
        "lib/python3.11/site-packages/numpy/core/__init__.py",
        "pyvenv.cfg",
        "bin",
        "etc/jupyter",
        "etc/jupyter/jupyter_server_config.d",
        "share/jupyter/kernels/python3",
        "..",
    ],
)
@pytest.mark.parametrize(("bits", "who"), [(0o020, "its group"), (0o002, "everybody")])
def test_what_others_may_write_is_named(environment: Path, path: str, bits: int, who: str) -> None:
    found = Path(os.path.normpath(environment / path))
    found.chmod(found.stat().st_mode | bits)
    (problem,) = problems(environment)
    assert problem.startswith(f"{found} can be changed by {who} (mode ")
    assert problem.endswith("; mend it by chmod " + ("g-w" if bits == 0o020 else "o-w"))


def test_a_sticky_folder_for_everybody_is_refused(environment: Path) -> None:
    (environment / "lib").chmod(0o1777)
    assert f"{environment}/lib can be changed by everybody (mode 1777" in problems(environment)[0]


@AS_ROOT
@pytest.mark.parametrize("path", ["numpy/core/__init__.py", "numpy/core", "."])
def test_what_belongs_to_somebody_else_is_named(environment: Path, path: str) -> None:
    found = packages(environment) / path
    os.chown(found, SOMEBODY, 0)
    (problem,) = problems(environment)
    assert problem == f"{found} belongs to user id {SOMEBODY}; mend it by chown -h root"


@AS_ROOT
def test_a_link_of_somebody_else_is_named(environment: Path) -> None:
    link = packages(environment) / "evil"
    link.symlink_to("numpy")
    os.chown(link, SOMEBODY, 0, follow_symlinks=False)
    assert f"{link} belongs to user id" in problems(environment)[0]


@pytest.mark.parametrize("relative", [False, True])
def test_a_link_to_a_users_folder_is_followed(
    environment: Path, tmp_path: Path, relative: bool
) -> None:
    home = tmp_path / "home/ada"
    (home / "numpy").mkdir(parents=True)
    home.chmod(0o777)
    target = os.path.relpath(home / "numpy", packages(environment)) if relative else home / "numpy"
    (packages(environment) / "pandas").symlink_to(target)
    (problem,) = problems(environment)
    assert problem.startswith(f"{home} can be changed by everybody")


def test_a_file_behind_links_behind_links_is_found(environment: Path, tmp_path: Path) -> None:
    deep = tmp_path / "deep/down"
    deep.mkdir(parents=True)
    (deep / "module.py").write_text("")
    (deep / "module.py").chmod(0o666)
    (tmp_path / "two").symlink_to(deep)
    (tmp_path / "one").symlink_to("two")
    (packages(environment) / "module").symlink_to(tmp_path / "one")
    (problem,) = problems(environment)
    assert problem.startswith(f"{deep}/module.py can be changed by everybody")


def test_links_in_a_circle_end(environment: Path) -> None:
    (packages(environment) / "a").symlink_to("b")
    (packages(environment) / "b").symlink_to("a")
    (packages(environment) / "up").symlink_to("..")
    assert all("too many links" in problem for problem in problems(environment))
    assert len(problems(environment)) == 2


def test_the_environment_itself_may_be_a_link_and_its_folder_counts(
    environment: Path, tmp_path: Path
) -> None:
    links = tmp_path / "links"
    links.mkdir(mode=0o755)
    link = links / "user"
    link.symlink_to(environment)
    assert problems(link)[1:] == []
    links.chmod(0o777)
    assert problems(link)[0].startswith(f"{links} can be changed by everybody")


def test_a_path_that_a_pth_file_adds_is_looked_at(environment: Path, tmp_path: Path) -> None:
    home = tmp_path / "home/ada/code"
    home.mkdir(parents=True)
    home.chmod(0o775)
    (packages(environment) / "code.pth").write_text(f"# mine\nimport sys; sys.x = 1\n{home}\n")
    (problem,) = problems(environment)
    assert problem.startswith(f"{home} can be changed by its group")


@pytest.mark.parametrize("home", ["/home", "/run/user"])
def test_homes_are_refused_although_a_daemon_does_not_see_them(
    environment: Path, home: str
) -> None:
    place = f"{home}/20000/code"
    (packages(environment) / "code.pth").write_text(f"{place}\n")
    # On the way there may be more that isn't root's.
    told = f"{place} leads into {home}, where users write; mend it by taking it out"
    assert told in problems(environment)
    (packages(environment) / "code.pth").unlink()
    link = packages(environment) / "code"
    link.symlink_to(place)
    assert any(problem.startswith(f"{link} leads into ") for problem in problems(environment))


def test_what_is_not_there_counts_by_who_could_make_it(environment: Path, tmp_path: Path) -> None:
    (packages(environment) / "gone.pth").write_text(f"{tmp_path}/open/later\n/no/such/folder\n")
    (packages(environment) / "dangling").symlink_to(tmp_path / "open/other")
    assert problems(environment) == []
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (problem,) = problems(environment)
    assert problem.startswith(f"{tmp_path}/open can be changed by everybody")


@pytest.mark.parametrize("path", ["", "/", "//", "/usr/.."])
def test_the_whole_machine_is_no_import_path(path: str) -> None:
    assert "is on the import path" in check([path], owner=os.geteuid())[0]


def test_a_temporary_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    found = check([str(tmp_path / "x")], prefix=sys.prefix)
    assert any(str(tmp_path).startswith(problem.split()[0]) for problem in found)


def test_there_are_never_too_many_to_read(environment: Path) -> None:
    for number in range(50):
        path = packages(environment) / f"{number}.py"
        path.write_text("")
        path.chmod(0o666)
    found = problems(environment)
    assert len(found) == 11
    assert found[-1] == "and 40 more"


def test_an_access_list_that_lets_somebody_write_is_seen(environment: Path) -> None:
    # acl(5): owner, one more user, group, mask, others; as setfacl -m u:54321:rwx makes it.
    entries = [(1, 7, -1), (2, 7, SOMEBODY), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
    listed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(packages(environment), "system.posix_acl_access", listed)
    except OSError as err:
        pytest.skip(f"this file system has no access lists: {err.strerror}")
    assert "can be changed by its group" in problems(environment)[0]


def test_zip_files_and_missing_entries_are_no_problem(environment: Path) -> None:
    archive = environment / "lib/python311.zip"
    top = str(environment.parent.parent)
    paths = [str(archive), str(packages(environment))]
    assert check(paths, prefix=str(environment), owner=os.geteuid(), top=top) == []
    archive.write_bytes(b"")
    archive.chmod(0o666)
    assert check(paths, prefix=str(environment), owner=os.geteuid(), top=top) != []


def stamp(environment: Path) -> Stamp:
    link = environment.parent.parent / "user"
    if not link.is_symlink():
        link.symlink_to(environment)
    return Stamp.of([str(packages(environment))], prefix=str(environment), link=str(link))


def test_nothing_changed_is_no_change(environment: Path) -> None:
    assert not stamp(environment).has_changed()


@pytest.mark.parametrize(
    "path",
    [
        "lib/python3.11/site-packages/pandas-2.3.0.dist-info",
        "lib/python3.11/site-packages/x.pth",
        "etc/jupyter/jupyter_server_config.d/x.json",
        "share/jupyter/kernels/other",
    ],
)
def test_what_comes_and_goes_with_a_package_is_noticed(environment: Path, path: str) -> None:
    before = stamp(environment)
    (environment / path).mkdir()
    assert before.has_changed()
    between = stamp(environment)
    (environment / path).rmdir()
    assert between.has_changed()


def test_a_setting_that_is_edited_in_place_is_noticed(environment: Path) -> None:
    file = environment / "etc/jupyter/jupyter_server_config.json"
    file.write_text("{}")
    os.utime(file, (1, 1))
    before = stamp(environment)
    file.write_text('{"ServerApp": {}}')
    assert before.has_changed()


def test_a_link_that_leads_to_another_installation_is_noticed(environment: Path) -> None:
    before = stamp(environment)
    link, new = environment.parent.parent / "user", environment.parent.parent / "new"
    new.symlink_to(environment)
    new.replace(link)
    assert before.has_changed()


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_an_upgrade_by_pip_or_uv_is_noticed(
    environment: Path, tmp_path: Path, installer: str
) -> None:
    if installer == "uv":
        if shutil.which("uv") is None and not Path(sys.executable).with_name("uv").exists():
            pytest.skip("needs uv")
        program = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        command = [program, "pip", "install", "-q", "--offline", "--target"]
    else:
        command = [sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target"]
        if subprocess.run([*command[:3], "--version"], capture_output=True, check=False).returncode:
            pytest.skip("needs pip")

    def install(version: str) -> None:
        wheel = _wheel(tmp_path, version)
        more = ["--no-deps"] + (["--no-index"] if installer == "pip" else [])
        subprocess.run([*command, str(packages(environment)), *more, wheel], check=True)

    for version in ("1.0", "1.1"):
        before = stamp(environment)
        install(version)
        assert before.has_changed()


def _wheel(folder: Path, version: str) -> str:
    import zipfile

    path = folder / f"thing-{version}-py3-none-any.whl"
    info = f"thing-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("thing/__init__.py", f"version = {version!r}\n")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: thing\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return str(path)


def test_the_script_names_what_is_wrong_and_runs_nothing(environment: Path) -> None:
    (packages(environment) / "x.pth").write_text("import os; os.mkdir(os.environ['TRAP'])\n")
    trap = environment / "trap"
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", import_path.__file__, str(environment), "-c", "1"],
        capture_output=True, text=True, check=False, env={"TRAP": str(trap)},
    )  # fmt: skip
    # The folder of tests is below /tmp, which everybody may write to.
    assert done.returncode == 78
    assert "<3>others than root could change what it would run as root: /" in done.stderr
    assert "; mend it by " in done.stderr
    assert not trap.exists()


def test_the_script_becomes_the_environments_python() -> None:
    folders = [str(folder) for folder in Path(sys.prefix).glob("lib/*/site-packages")]
    if check(folders, prefix=sys.prefix):
        pytest.skip("this environment is not root's alone")
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", import_path.__file__, sys.prefix, "-I", "-c",
         "import sys; print(sys.prefix, sys.flags.isolated)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [os.path.realpath(sys.prefix), "1"]
