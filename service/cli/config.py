"""`config check | show | schema`: what this installation is told to do."""

from typing import Annotated

import typer
import yaml

from service.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    example,
    installation,
    print_json,
    print_table,
    say,
)

group = typer.Typer(help="Check, show and explain config.yaml.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this group to the command line."""
    app.add_typer(group, name="config")


@group.command(epilog=example("second-reader config check --config /srv/second-reader/config.yaml"))
def check(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Say whether config.yaml is right; name every fault with its line if it is not."""
    installation(config)
    say(f"{config} is right")


@group.command(epilog=example("second-reader config show"))
def show(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Print the effective settings, defaults included. No secret is among them."""
    values = installation(config).settings.model_dump(mode="json")
    if as_json:
        print_json(values)
    else:
        typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), nl=False)


@group.command(epilog=example("second-reader config schema --yaml > config.yaml"))
def schema(
    as_json: JsonOption = False,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print a config.yaml with every default explained.")
    ] = False,
) -> None:
    """List every key with its default and its reason."""
    from service.reference import entries, example_config
    from service.settings import Settings

    if as_yaml:
        typer.echo(example_config(), nl=False)
    elif as_json:
        print_json(Settings.model_json_schema())
    else:
        rows = ((entry.path, entry.default, entry.reason) for entry in entries())
        print_table(("key", "default", "reason"), rows)
