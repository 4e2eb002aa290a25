"""A real PostgreSQL or MariaDB on loopback for tests, with the table of push registrations.

    python database_service.py --engine pgsql | mysql

It speaks with its parent as `erlang_port` says. First, when clients can connect:

    {ready, #{engine, host, port, username, password, database, folder}}.

then one answer per command, in order:

    sql STATEMENT       -> [Row] | Number       as the administrator: the rows, or how many it touched
    down | up | restart -> ok                   down cuts clients off; what is stored stays
    reset               -> ok                   up, and the table is empty and as it was at the start

The user owns the database. MongooseIM calls MariaDB mysql, too.
"""

import argparse

from database_server import DATABASE, SERVERS, USERNAME
from erlang_port import parent, serve_commands
from erlang_term import Atom, atoms

COMMANDS = set("sql down up restart reset".split())


class Service:
    """Arguments are the words of commands, the results what they are answered with."""

    def __init__(self, server):
        self.server = server
        server.create()

    def sql(self, statement):
        return self.server.sql(statement)

    def down(self):
        self.server.stop()

    def up(self):
        self.server.start()

    def restart(self):
        self.down()
        self.up()

    def reset(self):
        self.server.reset()


def command(service, words):
    name, *arguments = words
    if name not in COMMANDS:
        raise ValueError(f"unknown command: {name}")
    answer = getattr(service, name)(*arguments)
    return Atom("ok") if answer is None else answer


def arguments():
    parser = argparse.ArgumentParser(description="PostgreSQL or MariaDB on loopback, for an Erlang port or a shell")
    parser.add_argument("--engine", choices=SERVERS, required=True)
    return parser.parse_args()


def main():
    options, report = arguments(), parent()
    server = SERVERS[options.engine]()
    try:
        service = Service(server)
        place = atoms(engine=Atom(server.engine), host="127.0.0.1", port=server.port, folder=str(server.folder))
        report((Atom("ready"), place | atoms(username=USERNAME, password=server.password, database=DATABASE)))
        serve_commands(report, lambda words: command(service, words))
    finally:
        server.remove()


if __name__ == "__main__":
    main()
