"""`appliance https …`: encrypted connections."""

from __future__ import annotations

from typing import Annotated

import typer

from appliance.cli.errors import require_root
from appliance.cli.options import Json, Quiet
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(
    no_args_is_help=True,
    help="Encrypted connections: certificates from Let's Encrypt, of your own, or signed here.",
    rich_markup_mode=None,
)

Port = Annotated[
    int,
    typer.Option("--port", min=0, max=65535, help="Port for HTTPS; 0: as it is.", metavar="PORT"),
]


@app.command()
def letsencrypt(
    *,
    domain: Annotated[
        list[str],
        typer.Option(
            "--domain", "-d", help="A name that people type; again for more.", metavar="NAME"
        ),
    ] = [],  # noqa: B006 - typer makes a new one
    email: Annotated[
        str, typer.Option("--email", help="Whom Let's Encrypt may write to.", metavar="ADDRESS")
    ] = "",
    directory: Annotated[
        str, typer.Option("--directory", help="Another ACME server's directory.", metavar="URL")
    ] = "",
    directory_ca: Annotated[
        str,
        typer.Option(
            "--directory-ca", help="The authority of that server, as PEM.", metavar="FILE"
        ),
    ] = "",
    skip_preflight: Annotated[
        bool,
        typer.Option("--skip-preflight", help="Don't look whether the names lead here."),
    ] = False,
    port: Port = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Get a certificate from Let's Encrypt, after looking for what would go wrong, and use it.

    It is renewed by itself. Without --domain and --email those of before are used.
    """
    from appliance.cli import https_work

    require_root(Places.current())
    https_work.letsencrypt(
        Places.current(),
        Output(json, quiet),
        https_work.Asked(domain, email, directory, directory_ca),
        port=port,
        preflight=not skip_preflight,
    )


@app.command()
def files(
    *,
    certificate: Annotated[
        str,
        typer.Option(
            "--certificate", help="The certificate and those above it, as PEM.", metavar="FILE"
        ),
    ] = "",
    key: Annotated[
        str, typer.Option("--key", help="Its key, as PEM without a password.", metavar="FILE")
    ] = "",
    name: Annotated[
        list[str],
        typer.Option(
            "--name", help="A name that people type; else those in the certificate.", metavar="NAME"
        ),
    ] = [],  # noqa: B006 - typer makes a new one
    port: Port = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Use a certificate that you bring, after checking key, chain, names and dates.

    Without files those of before are looked at again.
    """
    from appliance.cli import https_work

    require_root(Places.current())
    https_work.files(Places.current(), Output(json, quiet), (certificate, key), name, port=port)


@app.command("own-ca")
def own_ca(
    *,
    name: Annotated[
        list[str],
        typer.Option(
            "--name",
            help="A name or address that people type; else this machine's.",
            metavar="NAME",
        ),
    ] = [],  # noqa: B006 - typer makes a new one
    new: Annotated[
        bool, typer.Option("--new", help="Make a new authority, which all must install again.")
    ] = False,
    port: Port = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Sign a certificate with an authority of the appliance's own, for networks of your own."""
    from appliance.cli import https_work

    require_root(Places.current())
    https_work.own_ca(Places.current(), Output(json, quiet), name, port=port, new=new)


@app.command()
def ca(*, json: Json = False) -> None:
    """Print the certificate of the appliance's own authority, which browsers must trust."""
    from appliance.cli import https_work

    require_root(Places.current())
    https_work.show_authority(Places.current(), Output(json))


@app.command()
def off(*, quiet: Quiet = False, json: Json = False) -> None:
    """Go back to plain HTTP; certificates are kept."""
    from appliance.cli import https_work

    require_root(Places.current())
    https_work.off(Places.current(), Output(json, quiet))


@app.command()
def status(*, json: Json = False) -> None:
    """Say which certificate is in use and how it is. Exits with 1 if something is wrong."""
    from appliance.cli import https_work

    require_root(Places.current())
    raise typer.Exit(https_work.status(Places.current(), Output(json)))


@app.command()
def renew(*, quiet: Quiet = False, json: Json = False) -> None:
    """Get a new certificate now; open connections go on."""
    from appliance.cli import https_work

    require_root(Places.current())
    https_work.renew(Places.current(), Output(json, quiet))


@app.command()
def behind(
    server: Annotated[str, typer.Argument(help="nginx, apache or caddy.", metavar="SERVER")],
    *,
    name: Annotated[
        str, typer.Option("--name", help="The name that people type.", metavar="NAME")
    ] = "hub.example.org",
    address: Annotated[
        str,
        typer.Option(
            "--address",
            help="That server's address, if it is on another machine.",
            metavar="ADDRESS",
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Print what another web server in front needs, and what to set here. Changes nothing."""
    from appliance.cli import https_work

    https_work.behind(Places.current(), Output(json), server, name=name, address=address)
