"""How the commands are listed, and what a typo is told. Owns that; knows no command."""

from __future__ import annotations

import difflib

import click


class InOrder(click.Group):
    """Commands in the order in which one uses them; a typo is told what was probably meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            meant = difflib.get_close_matches(name, self.commands, n=1, cutoff=0.5)
            hint = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(self.commands)}"
            ctx.fail(f"there is no command {name!r}; {hint}")
        return super().resolve_command(ctx, args)
