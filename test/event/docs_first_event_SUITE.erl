-module(docs_first_event_SUITE).
-moduledoc "The first event of the manual, with its own receivers and configurations: by itself, and with Docker Compose.".

-behaviour(ct_suite).

-export([all/0, suite/0, init_per_testcase/2, end_per_testcase/2]).
-export([the_receiver_of_the_manual_prints_what_it_says/1,
         the_receiver_of_the_compose_example_prints_what_its_page_says/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(WAIT, 30000).

all() ->
    [Case || {Case, 1} <- ?MODULE:module_info(exports), Case =/= module_info].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_testcase(_Case, Config) ->
    {ok, _} = application:ensure_all_started(event_pusher),
    [{port, integer_to_binary(rig:free_port())} | Config].

end_per_testcase(_Case, _Config) ->
    _ = lists:keymember(host, 1, application:which_applications()) andalso host:stop(),
    application:stop(event_pusher).

%% Confirms the code, the options and the line; only the port is another one.
the_receiver_of_the_manual_prints_what_it_says(Config) ->
    Page = page("README.md"),
    General = "[general]\nhosts = [\"localhost\"]\ndefault_server_domain = \"localhost\"\n",
    Line = first_event(block("python", Page), [General, block("toml", Page)], Config),
    ?assertNotEqual(nomatch, string:find(Page, ["\n       ", Line, "\n"])).

%% Confirms it for the files that the container mounts; only host and port are others, and modules of the
%% server that it has for clients are left out.
the_receiver_of_the_compose_example_prints_what_its_page_says(Config) ->
    Posting = binary:replace(page("compose/mongooseim.toml"), <<"receiver:8000">>, <<"127.0.0.1:8000">>),
    Toml = re:replace(Posting, "^\\[modules\\.mod_(disco|presence|roster)\\]$", "", [multiline, global]),
    Line = first_event(page("compose/receiver.py"), Toml, Config),
    ?assertNotEqual(nomatch, string:find(page("compose/README.md"), ["  | ", Line, "\n"])).

page(Name) ->
    Docs = filename:join([filename:dirname(code:which(?MODULE)), "..", "..", "docs"]),
    {ok, Page} = file:read_file(filename:join(Docs, Name)),
    Page.

block(Language, Page) ->
    {match, [Indented]} = re:run(Page, ["```", Language, "\n(.*?) *```"],
                                 [dotall, {capture, all_but_first, binary}]),
    re:replace(Indented, "^   ", "", [multiline, global, {return, binary}]).

%% What the receiver prints when Alice has written to Bob.
first_event(Receiver, Toml, Config) ->
    Free = ?config(port, Config),
    File = fun(Name, Text) ->
        Path = filename:join(?config(priv_dir, Config), Name),
        ok = file:write_file(Path, binary:replace(iolist_to_binary(Text), <<"8000">>, Free, [global])),
        Path
    end,
    Port = open_port({spawn_executable, os:find_executable("setpriv")},
                     [{args, ["--pdeathsig", "TERM", os:find_executable("python3"), File("receiver.py", Receiver)]},
                      {line, 200}]),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    try
        ok = listens(binary_to_integer(Free), 1000),
        ok = host:start(File("mongooseim.toml", Toml)),
        host:send_message(<<"alice@localhost/phone">>, <<"bob@localhost/laptop">>,
                          rig:message(<<"chat">>, <<"Hello">>)),
        receive {Port, {data, {eol, Text}}} -> Text after ?WAIT -> ct:fail(nothing_printed) end
    after
        os:cmd("kill " ++ integer_to_list(Pid))
    end.

%% It says nothing when it has started.
listens(Port, Left) when Left > 0 ->
    case gen_tcp:connect({127, 0, 0, 1}, Port, []) of
        {ok, Socket} -> gen_tcp:close(Socket);
        {error, econnrefused} -> receive after 20 -> listens(Port, Left - 1) end
    end.
