-module(event_pusher_command_node).
-moduledoc "The way to the running node of a release: hidden, without a port, and gone after the command.".

%% Cookies are read here, in the VM: an argument of it would be seen by others.

-export([connect/1, call/4, words/1]).

%% What the server's own scripts start it with.
-define(FILES, ["vm.args", "vm.dist.args"]).
%% How many names there are for such VMs: each one that a node has heard of stays in its memory.
-define(NAMES, 1000).
-define(LOOK_MS, 2000).

-spec connect(Etc :: file:filename()) -> {ok, node()} | {error, Reason :: iodata()}.
connect(Etc) ->
    Words = lists:append([words(Etc, File) || File <- ?FILES]),
    case {name(Words), value("-setcookie", Words)} of
        {none, _} -> {error, [Etc, "/vm.args has no -sname and no -name"]};
        {_, none} -> {error, [Etc, "/vm.args has no -setcookie"]};
        {{Domain, Name}, Cookie} -> connect(Domain, Name, list_to_atom(Cookie))
    end.

%% The name of this VM has the host of the node, as a host without a domain can have no long name
%% of its own.
connect(Domain, Name, Cookie) ->
    Own = io_lib:format("event_pusher_~b", [list_to_integer(os:getpid()) rem ?NAMES]),
    {Short, Host} = lists:splitwith(fun(Char) -> Char =/= $@ end, Name),
    Started = net_kernel:start(list_to_atom(lists:flatten([Own, Host])),
                               #{name_domain => Domain, dist_listen => false, hidden => true}),
    case Started of
        {ok, _} ->
            [_, OwnHost] = string:split(atom_to_list(node()), "@"),
            Node = list_to_atom(Short ++ "@" ++ OwnHost),
            persistent_term:put(?MODULE, Cookie),
            case reach(Node) of
                ok -> {ok, Node};
                {error, Reason} -> {error, Reason}
            end;
        {error, _Details} ->
            {error, ["Erlang's distribution does not start here for a node that is called ", Name]}
    end.

%% The cookie of a node is forgotten when the connection to it ends.
reach(Node) ->
    true = erlang:set_cookie(Node, persistent_term:get(?MODULE)),
    case net_kernel:connect_node(Node) of
        true -> ok;
        _ -> {error, why_not(Node)}
    end.

why_not(Node) ->
    [Name, Host] = string:split(atom_to_list(Node), "@"),
    PortMapper = net_kernel:epmd_module(),
    case PortMapper:port_please(Name, Host, ?LOOK_MS) of
        {port, Port, _Version} ->
            io_lib:format("~ts runs (port ~b) and refuses the connection: it was started with another cookie "
                          "than vm.args has, or another -proto_dist", [Node, Port]);
        _NoPort ->
            io_lib:format("~ts does not run: epmd of ~ts does not know it", [Node, Host])
    end.

%% Calls a function of event_pusher in the node.
-spec call(node(), Function :: atom(), [term()], Timeout :: pos_integer()) ->
    {ok, term()} | {error, Reason :: iodata()}.
call(Node, Function, Args, Timeout) ->
    case reach(Node) of
        ok -> called(Node, Function, Args, Timeout);
        {error, Reason} -> {error, Reason}
    end.

called(Node, Function, Args, Timeout) ->
    try
        {ok, erpc:call(Node, event_pusher, Function, Args, Timeout)}
    catch
        error:{exception, undef, [{event_pusher, Function, _, _} | _]} ->
            {error, [atom_to_binary(Node), " runs without event_pusher, or with a version that does not know "
                     "this command: install it, and restart the node"]};
        error:{erpc, timeout} ->
            {error, io_lib:format("~ts has not answered within ~b s", [Node, Timeout div 1000])};
        error:{erpc, noconnection} ->
            {error, io_lib:format("~ts has ended the connection", [Node])};
        Class:_Reason ->
            {error, io_lib:format("the call of event_pusher:~ts/~b in ~ts crashed (~ts)",
                                  [Function, length(Args), Node, Class])}
    end.

%% What vm.args says

words(Etc, File) ->
    case file:read_file(filename:join(Etc, File)) of
        {ok, Text} -> words(Text);
        {error, _Reason} -> []
    end.

%% Arguments as the VM reads them: a comment ends a word as well, and in quotes a backslash is one.
-spec words(binary()) -> [string()].
words(Text) ->
    words(binary_to_list(Text), between, []).

words([], between, Words) -> lists:reverse(Words);
words([], Word, Words) -> lists:reverse([lists:reverse(Word) | Words]);
words([$# | Rest], Word, Words) ->
    words(lists:dropwhile(fun(Char) -> Char =/= $\n end, Rest), Word, Words);
words([Blank | Rest], between, Words) when Blank =< $\s -> words(Rest, between, Words);
words([Blank | Rest], Word, Words) when Blank =< $\s -> words(Rest, between, [lists:reverse(Word) | Words]);
words(Text, between, Words) -> words(Text, [], Words);
words([$\\, Char | Rest], Word, Words) -> words(Rest, [Char | Word], Words);
words([Quote | Rest], Word, Words) when Quote =:= $"; Quote =:= $' -> quoted(Quote, Rest, Word, Words);
words([Char | Rest], Word, Words) -> words(Rest, [Char | Word], Words).

quoted(Quote, [Quote | Rest], Word, Words) -> words(Rest, Word, Words);
quoted(Quote, [Char | Rest], Word, Words) -> quoted(Quote, Rest, [Char | Word], Words);
quoted(_Quote, [], Word, Words) -> words([], Word, Words).

name(Words) ->
    case {value("-sname", Words), value("-name", Words)} of
        {none, none} -> none;
        {none, Name} -> {longnames, Name};
        {Name, _} -> {shortnames, Name}
    end.

%% The first one counts for the VM.
value(Flag, [Flag, Value | _]) -> Value;
value(Flag, [_ | Words]) -> value(Flag, Words);
value(_Flag, []) -> none.
