-module(event_pusher_command_SUITE).
-moduledoc "What the script event-pusher asks of a running node, in a VM of its own as the script starts it.".

-compile([export_all, nowarn_export_all]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-define(HT, <<"localhost">>).
-define(SNS, {sns, ?HT}).
-define(COOKIE, "a test's own").
-define(VM_ARGS, "## Name of the node\n-sname ~ts # of a test\n+P 100000\n-setcookie \"~ts\"\n").

all() ->
    [words_are_those_that_the_vm_reads,
     the_table_is_that_of_the_node,
     json_has_all_that_a_program_of_erlang_gets,
     json_takes_any_text,
     what_a_probe_finds_is_told_and_the_status_says_whether_all_is_well,
     a_pool_is_paused_and_goes_on,
     a_drain_tells_what_is_left,
     what_waits_is_dropped_by_its_age,
     a_pool_that_is_not_there_is_named_with_those_that_are,
     looks_come_again_and_again_until_nobody_reads_them,
     the_view_fits_80_columns_and_has_rates,
     a_pool_that_has_started_again_has_no_rates_at_first,
     a_small_terminal_is_told_what_it_lacks,
     the_view_follows_the_size_of_its_terminal,
     a_node_that_does_not_run_is_told,
     a_refused_cookie_is_told,
     a_node_without_the_application_is_told,
     a_vm_args_without_name_or_cookie_is_told].

suite() ->
    [{timetrap, {minutes, 1}}].

%% With a port mapper of their own, on loopback: children find it, too.
init_per_suite(Config) ->
    true = os:putenv("ERL_EPMD_PORT", integer_to_list(rig:free_port())),
    true = os:putenv("ERL_EPMD_ADDRESS", "127.0.0.1"),
    {Peer, Etc} = node(?COOKIE, Config),
    ok = call(Peer, rig, start_application, []),
    [{peer, Peer}, {etc, Etc} | Config].

end_per_suite(Config) ->
    child_node:stop(?config(peer, Config)),
    _ = os:cmd("epmd -kill"),
    true = os:unsetenv("ERL_EPMD_PORT"),
    true = os:unsetenv("ERL_EPMD_ADDRESS").

%% The receiver does not answer, so that events wait.
init_per_testcase(_Case, Config) ->
    {Listener, Url} = rig:silent_server(),
    Sns = sns_rig:opts(#{endpoint => list_to_binary(Url), region => <<"eu-west-1">>,
                         account_id => <<"123456789012">>, access_key_id => <<"AKIDEXAMPLE">>,
                         secret_access_key => <<"hidden">>}),
    ok = call(?config(peer, Config), rig, start_host, [#{mod_event_pusher => #{sns => Sns}}]),
    [{listener, Listener} | Config].

end_per_testcase(_Case, Config) ->
    ok = gen_tcp:close(?config(listener, Config)),
    ok = call(?config(peer, Config), host, stop, []).

%% vm.args

%% Confirms it with the VM itself, for quotes, backslashes and comments.
words_are_those_that_the_vm_reads(Config) ->
    File = filename:join(?config(priv_dir, Config), "words.args"),
    [begin
         ok = file:write_file(File, Text),
         Printed = os:cmd("erl -noinput -args_file '" ++ File ++ "' -eval 'io:format(\"~0p.\", "
                          "[proplists:get_value(a, init:get_arguments())]), halt().'"),
         {ok, Tokens, _} = erl_scan:string(Printed),
         {ok, Expected} = erl_parse:parse_term(Tokens),
         ?assertEqual({Text, ["-a" | Expected]}, {Text, event_pusher_command_node:words(list_to_binary(Text))})
     end || Text <- ["-a b c", " \t-a  'b c'\n d", "-a \"b c\" 'd\"e' \"f'g\"", "-a b\\ c d\\\"e", "-a b\"c d\"e",
                     "-a b#c d", "# -a x\n-a b # c 'd\n e", "-a '#b' \\#c", "-a \"b\\\"c\" 'd\\e'"]].

%% Looking

the_table_is_that_of_the_node(Config) ->
    ok = call(?config(peer, Config), event_pusher, pause, [?SNS]),
    push(2, Config),
    {0, Output} = command(["status", "once", "table"], Config),
    ?assertMatch(["pool" ++ _, "sns:localhost      degraded " ++ _, "  paused", ""],
                 string:split(Output, "\n", all)).

%% Confirms that each key is there, in one line.
json_has_all_that_a_program_of_erlang_gets(Config) ->
    {0, Output} = command(["status", "once", "json"], Config),
    [Line, ""] = string:split(Output, "\n", all),
    #{<<"node">> := Node, <<"time">> := <<_:19/binary, "Z">>, <<"pools">> := [Pool]} = decoded(Line),
    ?assertEqual(call(?config(peer, Config), erlang, node, []), binary_to_atom(Node)),
    [Same] = call(?config(peer, Config), event_pusher, pools, []),
    ?assertEqual(<<"sns:localhost">>, maps:get(<<"name">>, Pool)),
    ?assertEqual(keys(Same), keys(Pool)),
    ?assertMatch(#{<<"times">> := null, <<"status">> := #{<<"paused">> := false, <<"state">> := <<"connecting">>}},
                 Pool).

keys(#{} = Map) ->
    maps:from_list([{if is_atom(Key) -> atom_to_binary(Key); true -> Key end, keys(Value)}
                    || {Key, Value} <- maps:to_list(Map)]);
keys(_Value) ->
    value.

json_takes_any_text(_Config) ->
    [?assertEqual(Text, maps:get(<<"text">>, decoded(event_pusher_command_json:value(#{text => Text}))))
     || Text <- [<<>>, <<"a \"b\" \\ c">>, <<0, 10, 31, 127>>, <<"Дверь ☕ 🍪"/utf8>>]].

decoded(Json) ->
    jiffy:decode(unicode:characters_to_binary(Json), [return_maps]).

%% Confirms it with a receiver that nobody has, and with a pool that has no topic.
what_a_probe_finds_is_told_and_the_status_says_whether_all_is_well(Config) ->
    Peer = ?config(peer, Config),
    Start = fun(More) ->
        ok = call(Peer, host, stop, []),
        Opts = sns_rig:opts(#{endpoint => iolist_to_binary(["http://127.0.0.1:", integer_to_list(rig:free_port())]),
                              region => <<"eu-west-1">>, account_id => <<"123456789012">>,
                              access_key_id => <<"AKIDEXAMPLE">>, secret_access_key => <<"hidden">>}),
        Topics = [presence_updates_topic, pm_messages_topic, muc_messages_topic],
        ok = call(Peer, rig, start_host, [#{mod_event_pusher => #{sns => maps:merge(maps:without(Topics, Opts), More)}}])
    end,
    Start(#{}),
    ?assertEqual({0, "WARNING   no topic is configured, so nothing is sent there\n"},
                 command(["probe", "sns:localhost"], Config)),
    Start(#{pm_messages_topic => "pm"}),
    {3, Output} = command(["probe", "sns:localhost"], Config),
    ?assertEqual("FAILED    Connection refused (os error 111)\n", Output).

%% Confirms it in the node.
a_pool_is_paused_and_goes_on(Config) ->
    {0, "sns:localhost is paused" ++ _} = command(["pause", "sns:localhost"], Config),
    ?assertMatch(#{status := #{paused := true}}, pool(Config)),
    {0, "sns:localhost makes " ++ _} = command(["retry-now", "sns:localhost"], Config),
    {0, "sns:localhost goes on\n"} = command(["resume", "sns:localhost"], Config),
    ?assertMatch(#{status := #{paused := false}}, pool(Config)).

a_drain_tells_what_is_left(Config) ->
    {0, "sns:localhost is drained" ++ _} = command(["drain", "sns:localhost", "5"], Config),
    ok = call(?config(peer, Config), event_pusher, pause, [?SNS]),
    push(3, Config),
    ?assertEqual({3, "event-pusher: sns:localhost: 3 events of those that waited have not ended within 0 s\n"},
                 command(["drain", "sns:localhost", "0"], Config)).

what_waits_is_dropped_by_its_age(Config) ->
    ok = call(?config(peer, Config), event_pusher, pause, [?SNS]),
    push(3, Config),
    ?assertEqual({0, "sns:localhost: 0 events dropped\n"}, command(["drop", "sns:localhost", "3600"], Config)),
    ?assertEqual({0, "sns:localhost: 3 events dropped\n"}, command(["drop", "sns:localhost", "all"], Config)),
    ?assertMatch(#{counts := #{purged := 3}}, pool(Config)).

a_pool_that_is_not_there_is_named_with_those_that_are(Config) ->
    [begin
         {3, Output} = command([Command, "sns:nowhere" | More], Config),
         ?assertMatch({match, _}, re:run(Output, "^event-pusher: .*@localhost has no pool sns:nowhere; "
                                                 "there are: sns:localhost\n$"))
     end || {Command, More} <- [{"pause", []}, {"drop", ["all"]}]],
    ok = call(?config(peer, Config), host, stop, []),
    {3, None} = command(["resume", "sns:localhost"], Config),
    ?assertNotEqual(nomatch, string:find(None, "has no pool sns:localhost; it has none")).

%% The live view

%% Confirms it with lines of JSON, and that the VM ends when its output is closed.
looks_come_again_and_again_until_nobody_reads_them(Config) ->
    Lines = os:cmd(shell(["status", "watch", "1", "json", "none"], Config) ++ " | head -n 2"),
    [#{<<"pools">> := [_]}, #{<<"pools">> := [_]}] = [decoded(Line) || Line <- string:lexemes(Lines, "\n")].

the_view_fits_80_columns_and_has_rates(Config) ->
    #{counts := Counts, levels := Levels, status := Status} = Pool = pool(Config),
    Before = Pool#{counts := Counts#{accepted := 100, delivered := 50, retried := 7, expired := 3}},
    After = Pool#{counts := Counts#{accepted := 5000, delivered := 2050, retried := 8, expired := 13, full := 1},
                  levels := Levels#{waiting := 2936, oldest_ms := 61000},
                  status := Status#{state := refused, cause := binary:copy(<<"cause ">>, 30)},
                  times := #{p50_us => 1500, p99_us => 2000000}},
    Long = After#{name := {http, binary:copy(<<"long.example.">>, 9), 12}},
    Lines = lines(frame("title", {1000, [Before]}, {3000, [After, Long]}, none)),
    ?assertEqual([], [Line || Line <- Lines, string:length(Line) > 79]),
    ?assertEqual(["title",
                  "2 pools: 2 refused; 5872 events waiting",
                  "",
                  "pool               status     waiting oldest  sent/s drop/s retry/s   p50   p99",
                  "sns:localhost      refused       2936     1m    1000    5.5     0.5   1ms    2s",
                  "  cause " ++ string:slice(lists:append(lists:duplicate(30, "cause ")), 6, 70) ++ "~",
                  "  dropped: expired 13 (+10), full 1 (+1)"], lists:sublist(Lines, 7)),
    ?assertMatch("http:long.example~ refused       2936     1m       -      -       -   1ms    2s",
                 lists:nth(8, Lines)).

a_pool_that_has_started_again_has_no_rates_at_first(Config) ->
    #{counts := Counts} = Pool = pool(Config),
    Before = Pool#{counts := Counts#{accepted := 100, delivered := 100}},
    Rates = fun(Earlier) ->
        [_, _, _, _, Row | _] = lines(frame("", Earlier, {3000, [Pool]}, none)),
        lists:sublist(string:lexemes(Row, " "), 5, 3)
    end,
    ?assertEqual(["-", "-", "-"], Rates({1000, [Before]})),
    ?assertEqual(["-", "-", "-"], Rates(none)),
    ?assertEqual(["0", "0", "0"], Rates({1000, [Pool]})).

%% Confirms that nothing scrolls, and that colours are left out where they are not wanted.
a_small_terminal_is_told_what_it_lacks(Config) ->
    Pool = pool(Config),
    Frame = fun(Colours) ->
        Screen = #{lines => 8, columns => 80, colours => Colours},
        lists:flatten(io_lib:format("~ts", [frame("title", none, {0, lists:duplicate(9, Pool)}, Screen)]))
    end,
    "\e[Htitle\e[K\n" ++ _ = Plain = Frame(false),
    ?assertEqual(7, length(string:split(Plain, "\n", all)) - 1),
    ?assertNotEqual(nomatch, string:find(Plain, "\n  and 7 lines more\e[K\n\e[J")),
    ?assertEqual(nomatch, string:find(Plain, "\e[3")),
    ?assertNotEqual(nomatch, string:find(Frame(true), "\e[33mconnecting\e[m")),
    Narrow = unicode:characters_to_list(frame("tïtle", none, {0, [Pool]}, #{lines => 8, columns => 24, colours => true})),
    "\e[Htïtle\e[K\n" ++ _ = Narrow,
    ?assertNotEqual(nomatch, string:find(Narrow, "\nsns:localhost      \e[33mconn\e[m\e[K\n")).

frame(Title, Before, Look, Screen) ->
    event_pusher_command_screen:on(Screen, event_pusher_command_watch:frame(Title, Before, Look)).

%% Confirms it on a terminal that gets smaller, with looks that are far apart.
the_view_follows_the_size_of_its_terminal(Config) ->
    Watch = shell(["status", "watch", "3600", "table", "40,80,colours"], Config),
    Script = filename:join([filename:dirname(code:which(?MODULE)), "..", "..", "test", "command", "terminal.py"]),
    Port = open_port({spawn_executable, os:find_executable("python3")},
                     [{args, [Script, "24", "80", "/bin/sh", "-c", Watch]}, exit_status, binary]),
    Wide = until(Port, "sns:localhost", <<>>),
    ?assertNotEqual(nomatch, string:find(Wide, "retry/s   p50   p99")),
    true = port_command(Port, "5 30\n"),
    Small = until(Port, "lines more", <<>>),
    ?assertNotEqual(nomatch, string:find(Small, "and 2 lines more")),
    ?assertEqual(nomatch, string:find(Small, "waiting oldest")),
    true = port_command(Port, "24 80\n"),
    _ = until(Port, "retry/s   p50   p99", <<>>),
    true = port_close(Port).

until(Port, Wanted, Seen) ->
    case binary:match(Seen, list_to_binary(Wanted)) of
        nomatch ->
            receive
                {Port, {data, More}} -> until(Port, Wanted, <<Seen/binary, More/binary>>);
                {Port, {exit_status, Status}} -> ct:fail({Status, Seen})
            after 30000 -> ct:fail({not_shown, Wanted, Seen})
            end;
        _Found ->
            unicode:characters_to_list(Seen)
    end.

%% Errors

a_node_that_does_not_run_is_told(Config) ->
    Etc = etc("nobody@localhost", ?COOKIE, Config),
    ?assertEqual({3, "event-pusher: nobody@localhost does not run: epmd of localhost does not know it\n"},
                 command(["status", "once", "table"], [{etc, Etc} | Config])),
    {3, Watched} = command(["status", "watch", "1", "table", "none"], [{etc, Etc} | Config]),
    ?assertNotEqual(nomatch, string:find(Watched, "does not run")).

%% Confirms that it shows no cookie.
a_refused_cookie_is_told(Config) ->
    Etc = etc(atom_to_list(call(?config(peer, Config), erlang, node, [])), "wrong one", Config),
    {3, Output} = command(["status", "once", "table"], [{etc, Etc} | Config]),
    ?assertNotEqual(nomatch, string:find(Output, "refuses the connection: it was started with another cookie")),
    ?assertEqual(nomatch, string:find(Output, "wrong one")).

a_node_without_the_application_is_told(Config) ->
    {Args, Etc} = named(?COOKIE, Config),
    {ok, Peer, _Name} = peer:start(#{connection => standard_io, args => Args}),
    {3, Output} = command(["status", "once", "table"], [{etc, Etc} | Config]),
    ?assertNotEqual(nomatch, string:find(Output, "runs without event_pusher, or with a version that does not")),
    peer:stop(Peer).

a_vm_args_without_name_or_cookie_is_told(Config) ->
    [begin
         Etc = filename:join(?config(priv_dir, Config), "lacking"),
         write(filename:join(Etc, "vm.args"), Text),
         ?assertEqual({3, "event-pusher: " ++ Etc ++ "/vm.args has no " ++ Lacks ++ "\n"},
                      command(["status", "once", "table"], [{etc, Etc} | Config]))
     end || {Text, Lacks} <- [{"-setcookie x", "-sname and no -name"}, {"-sname x\n#-setcookie x", "-setcookie"}]].

%% Helpers

%% A node as a release starts it, and the folder of its vm.args.
node(Cookie, Config) ->
    {Args, Etc} = named(Cookie, Config),
    {child_node:start(Args), Etc}.

named(Cookie, Config) ->
    Name = "node" ++ integer_to_list(erlang:unique_integer([positive])) ++ os:getpid() ++ "@localhost",
    Etc = etc(Name, Cookie, Config),
    {["-args_file", filename:join(Etc, "vm.args"), "-kernel", "inet_dist_use_interface", "{127,0,0,1}"], Etc}.

etc(Name, Cookie, Config) ->
    Etc = filename:join(?config(priv_dir, Config), "etc" ++ integer_to_list(erlang:unique_integer([positive]))),
    write(filename:join(Etc, "vm.args"), io_lib:format(?VM_ARGS, [Name, Cookie])),
    Etc.

write(File, Text) ->
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, Text).

call(Peer, Module, Function, Args) ->
    child_node:call(Peer, Module, Function, Args).

push(Count, Config) ->
    [ok = call(?config(peer, Config), event_pusher, push,
               [?SNS, #{destination => <<"arn:aws:sns:eu-west-1:123456789012:pm">>, body => <<"x">>}])
     || _ <- lists:seq(1, Count)].

pool(Config) ->
    [Pool] = call(?config(peer, Config), event_pusher, pools, []),
    Pool.

lines(Text) ->
    string:split(unicode:characters_to_list(Text), "\n", all).

%% Gives the status, and what is written, errors as well.
command(Words, Config) ->
    Port = open_port({spawn_executable, "/bin/sh"}, [{args, ["-c", shell(Words, Config) ++ " 2>&1"]},
                                                     exit_status, binary]),
    output(Port, <<>>).

shell(Words, Config) ->
    Quoted = lists:join($\s, [[$', Word, $'] || Word <- [?config(etc, Config) | Words]]),
    lists:flatten(["erl -noshell -noinput +Bd -kernel logger_level none -setcookie none -pa '",
                   filename:dirname(code:which(event_pusher)), "' -s event_pusher_command main -extra ", Quoted,
                   " </dev/null"]).

output(Port, Seen) ->
    receive
        {Port, {data, More}} -> output(Port, <<Seen/binary, More/binary>>);
        {Port, {exit_status, Status}} -> {Status, unicode:characters_to_list(Seen)}
    after 30000 -> ct:fail({still_running, Seen})
    end.
