-module(docs_first_event_SUITE).
-moduledoc "The first event of the manual, with its own receiver and its own configuration.".

-behaviour(ct_suite).

-export([all/0, suite/0]).
-export([the_receiver_of_the_manual_prints_what_it_says/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(WAIT, 30000).

all() ->
    [the_receiver_of_the_manual_prints_what_it_says].

suite() ->
    [{timetrap, {minutes, 1}}].

%% Confirms the code, the options and the line; only the port is another one.
the_receiver_of_the_manual_prints_what_it_says(Config) ->
    Docs = filename:join([filename:dirname(code:which(?MODULE)), "..", "..", "docs"]),
    {ok, Page} = file:read_file(filename:join(Docs, "README.md")),
    Free = integer_to_binary(rig:free_port()),
    Block = fun(Language) ->
        {match, [Indented]} = re:run(Page, ["```", Language, "\n(.*?) *```"],
                                     [dotall, {capture, all_but_first, binary}]),
        binary:replace(re:replace(Indented, "^   ", "", [multiline, global, {return, binary}]), <<"8000">>, Free)
    end,
    Path = fun(Name) -> filename:join(?config(priv_dir, Config), Name) end,
    ok = file:write_file(Path("receiver.py"), Block("python")),
    General = "[general]\nhosts = [\"example.com\"]\ndefault_server_domain = \"example.com\"\n",
    ok = file:write_file(Path("mongooseim.toml"), [General, Block("toml")]),
    Python = os:find_executable("python3"),
    Port = open_port({spawn_executable, os:find_executable("setpriv")},
                     [{args, ["--pdeathsig", "TERM", Python, Path("receiver.py")]}, {line, 200}]),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    {ok, _} = application:ensure_all_started(event_pusher),
    try
        ok = listens(binary_to_integer(Free), 1000),
        ok = host:start(Path("mongooseim.toml")),
        host:send_message(<<"alice@example.com/phone">>, <<"bob@example.com/laptop">>,
                          rig:message(<<"chat">>, <<"Hi, Bob!">>)),
        Line = receive {Port, {data, {eol, Text}}} -> Text after ?WAIT -> ct:fail(nothing_printed) end,
        ?assertMatch({_, _}, binary:match(Page, iolist_to_binary(["\n       ", Line, "\n"])))
    after
        _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
        application:stop(event_pusher),
        os:cmd("kill " ++ integer_to_list(Pid))
    end.

%% It says nothing when it has started.
listens(Port, Left) when Left > 0 ->
    case gen_tcp:connect({127, 0, 0, 1}, Port, []) of
        {ok, Socket} -> gen_tcp:close(Socket);
        {error, econnrefused} -> receive after 20 -> listens(Port, Left - 1) end
    end.
