"""The commands: what a person or a script types, and what is printed.

commands.py and making.py have the arguments, help texts and exit codes; each command's work is in a module of its
own, imported when it is used, so that `--help` and `check` do not wait for a web server to be loaded. patterns.py,
remedies.py and starter.py are pure. Knows nothing of HTTP or OAuth that is not asked of the modules that own it.

    0  fine        1  a live failure        2  the configuration, an argument or an input file is wrong
"""
