"""The battery: what a trusted proxy of this kind has to withstand, over raw sockets; INDEX.md has every line of it."""
