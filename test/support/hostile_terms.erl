-module(hostile_terms).
-moduledoc "Terms that nobody should give to the native library, and what may come of it.".

%% Everything follows from a seed and the number of a call, so each call can be made once more.

-export([start/1, stop/1, run/4]).
-export_type([scene/0, tally/0]).

-type scene() :: #{live := event_pusher_nif:pool(), stopped := event_pusher_nif:pool(),
                   odd := tuple(), refused := inet:port_number(), held := [term()],
                   valid := #{atom() => term()}}.
%% How many calls of each function had an answer, and how many were a bad argument.
-type tally() :: #{{Function :: atom(), answer | badarg} => pos_integer()}.

-define(MESSAGE, #{destination => <<"arn:aws:sns:eu-west-1:123456789012:topic">>,
                   body => {json, [{<<"text">>, <<"ä"/utf8>>}, {<<"n">>, {number, <<"-1">>}},
                                   {<<"b">>, true}, {<<"f">>, 1.5}, {<<"i">>, 1 bsl 63}]},
                   attributes => [{<<"a">>, {string, <<"b">>}}, {<<"c">>, {number, <<"1">>}},
                                  {<<"d">>, {binary, <<255>>}}],
                   group => <<"alice">>}).

%% Takes the URL of a receiver that never answers. The runtime has to run.
-spec start(Url :: binary()) -> scene().
start(Url) ->
    Backends = backends(Url),
    [Settings | _] = All = [settings(Backend) || Backend <- Backends],
    %% It is never full, so that what is pushed is always looked at.
    {ok, Live} = event_pusher_nif:start_pool(Settings#{on_full := drop_old}),
    {ok, Stopped} = event_pusher_nif:start_pool(Settings),
    _ = event_pusher_nif:stop_pool(Stopped, 0),
    {Refused, Socket} = refused_port(),
    {ok, File} = file:open("/dev/null", [read, raw, binary]),
    Table = ets:new(?MODULE, []),
    #{live => Live, stopped => Stopped, refused => Refused, held => [Socket, File, Table],
      odd => list_to_tuple(odd() ++ foreign(Stopped, File, Table)),
      valid => #{settings => All, tls => pool_rig:tls(), message => ?MESSAGE}}.

-spec stop(scene()) -> ok.
stop(#{live := Live, held := [Socket, File, Table]}) ->
    _ = event_pusher_nif:stop_pool(Live, 0),
    true = ets:delete(Table),
    ok = file:close(File),
    socket:close(Socket).

%% Makes the calls of these numbers. Raises what may not come of one, with its number.
-spec run(scene(), Seed :: integer(), Numbers :: [pos_integer()],
          Progress :: fun((pos_integer()) -> _)) -> tally().
run(Scene, Seed, Numbers, Progress) ->
    lists:foldl(fun(Number, Tally) ->
                    _ = Progress(Number),
                    _ = rand:seed(exsss, {Seed, Number, 1}),
                    {Function, Args} = call(rand:uniform(100), Scene),
                    Key = {Function, result(Function, Args, {Seed, Number})},
                    maps:update_with(Key, fun(Count) -> Count + 1 end, 1, Tally)
                end, #{}, Numbers).

result(Function, Args, Which) ->
    try apply(event_pusher_nif, Function, Args) of
        Answer ->
            case is_answer(Function, Answer) of
                true -> answer;
                false -> error({no_answer, Which, Function, shown(Args), shown(Answer)})
            end
    catch
        error:badarg -> badarg;
        Class:Reason -> error({crash, Which, Function, shown(Args), {Class, shown(Reason)}})
    end.

shown(Term) ->
    lists:flatten(io_lib:format("~0tP", [Term, 60])).

%% What is documented in event_pusher_nif

is_answer(start_runtime, Answer) -> Answer =:= {error, already_running};
is_answer(check_pool, ok) -> true;
is_answer(check_pool, {error, Complaints}) -> are_texts(Complaints);
is_answer(start_pool, {ok, Pool}) -> event_pusher_nif:stop_pool(Pool, 0) =:= ok;
is_answer(start_pool, {error, Complaints}) -> are_texts(Complaints);
is_answer(close_pool, Answer) -> Answer =:= ok;
is_answer(told, Answer) -> Answer =:= ok;
is_answer(push, Answer) -> lists:member(Answer, [ok, {error, full}, {error, closed}]);
is_answer(stats, #{counts := _, levels := _, connection := _}) -> true;
is_answer(report, #{counts := _, levels := _, connection := _, recent := _}) -> true;
is_answer(stop_pool, Answer) -> Answer =:= ok;
is_answer(try_tls, {error, {options, Complaints}}) -> are_texts(Complaints);
is_answer(try_tls, {error, {connection, Text}}) -> are_texts([Text]);
is_answer(_Function, _Answer) -> false.

are_texts([_ | _] = Texts) ->
    lists:all(fun(Text) -> is_list(unicode:characters_to_list(Text)) end, Texts);
are_texts(_Other) ->
    false.

%% Calls; the number is one of a hundred

call(Which, #{live := Live, odd := Odd, valid := #{message := Message}}) when Which =< 35 ->
    {push, [Live, mutated(Message, Odd)]};
call(Which, #{odd := Odd, valid := #{message := Message}}) when Which =< 40 ->
    {push, [term(Odd), Message]};
call(Which, #{odd := Odd, valid := #{settings := All}}) when Which =< 60 ->
    {check_pool, [mutated(one_of(All), Odd)]};
call(Which, #{odd := Odd, valid := #{settings := All}}) when Which =< 70 ->
    {start_pool, [unconnected(mutated(one_of(All), Odd))]};
call(Which, #{odd := Odd, stopped := Stopped}) when Which =< 75 ->
    {stop_pool, one_of([[Stopped, rand:uniform(1 bsl 64) - 1], [Stopped, term(Odd)], [term(Odd), 0],
                        [term(Odd), term(Odd)]])};
call(Which, #{odd := Odd, refused := Refused, valid := #{tls := Tls}}) when Which =< 80 ->
    {try_tls, [no_name(one_of([<<"127.0.0.1">>, term(Odd)])), port(term(Odd), Refused),
               one_of([Tls, mutated(Tls, Odd)]), one_of([1, term(Odd)])]};
call(Which, #{odd := Odd}) when Which =< 85 ->
    {start_runtime, [term(Odd)]};
call(_Which, #{odd := Odd, live := Live}) ->
    case one_of([stats, report, told, close_pool]) of
        close_pool -> {close_pool, [term(Odd)]};
        Function -> {Function, [one_of([Live, term(Odd)])]}
    end.

%% No name server is asked, and nobody is connected to who may not answer.
no_name(<<"127.0.0.1">>) -> <<"127.0.0.1">>;
no_name(Text) when is_binary(Text) -> <<" ", Text/binary>>;
no_name(Other) -> Other.

%% A pool of RabbitMQ connects at once.
unconnected(#{backend := {rabbit, #{host := Host, port := Port} = Backend}} = Settings)
  when is_binary(Host), is_integer(Port) ->
    Settings#{backend := {rabbit, Backend#{host := <<"127.0.0.1">>, port := port(Port, 1)}}};
unconnected(Settings) ->
    Settings.

port(Port, Refused) when is_integer(Port), Port >= 0, Port < 65536 -> Refused;
port(Other, Refused) -> one_of([Other, Refused]).

%% Nearly valid terms: one place of them is another one

mutated(Term, Odd) ->
    case rand:uniform(6) of
        1 -> term(Odd);
        _ -> inside(Term, Odd)
    end.

inside(Map, Odd) when map_size(Map) > 0 ->
    Key = one_of(maps:keys(Map)),
    case rand:uniform(10) of
        1 -> maps:remove(Key, Map);
        2 -> Map#{term(Odd) => term(Odd)};
        _ -> Map#{Key := mutated(maps:get(Key, Map), Odd)}
    end;
inside(Tuple, Odd) when tuple_size(Tuple) > 0 ->
    Place = rand:uniform(tuple_size(Tuple)),
    case rand:uniform(10) of
        1 -> erlang:delete_element(Place, Tuple);
        2 -> erlang:append_element(Tuple, term(Odd));
        _ -> setelement(Place, Tuple, mutated(element(Place, Tuple), Odd))
    end;
inside([_ | _] = List, Odd) ->
    {Before, [Element | After]} = lists:split(rand:uniform(length(List)) - 1, List),
    case rand:uniform(10) of
        1 -> Before ++ After;
        2 -> Before ++ [Element, Element | After];
        3 -> Before ++ [Element | term(Odd)];
        _ -> Before ++ [mutated(Element, Odd) | After]
    end;
inside(Text, Odd) when is_binary(Text), Text =/= <<>> ->
    Place = rand:uniform(byte_size(Text)) - 1,
    <<Before:Place/binary, Byte, After/binary>> = Text,
    one_of([<<Before/binary, (rand:uniform(256) - 1), After/binary>>, <<Before/binary, Byte:7>>,
            <<After/binary, Before/binary>>, <<Text/binary, Text/binary>>, term(Odd)]);
inside(_Other, Odd) ->
    term(Odd).

%% Any terms

term(Odd) ->
    term(rand:uniform(3), Odd).

term(0, Odd) ->
    leaf(rand:uniform(8), Odd);
term(Depth, Odd) ->
    Parts = fun() -> [term(Depth - 1, Odd) || _ <- lists:seq(1, rand:uniform(4) - 1)] end,
    case rand:uniform(12) of
        1 -> Parts();
        2 -> list_to_tuple(Parts());
        3 -> maps:from_list([{Part, term(Depth - 1, Odd)} || Part <- Parts()]);
        4 -> [term(Depth - 1, Odd) | term(Depth - 1, Odd)];
        5 -> {one_of([json, string, number, binary, sns, http, rabbit, name]),
              term(Depth - 1, Odd)};
        _ -> leaf(rand:uniform(8), Odd)
    end.

leaf(1, _Odd) -> (1 bsl rand:uniform(70)) + rand:uniform(3) - 2;
leaf(2, _Odd) -> -(1 bsl rand:uniform(70)) + rand:uniform(3) - 2;
leaf(3, _Odd) -> (rand:uniform() - 0.5) * math:pow(10, rand:uniform(600) - 300);
leaf(4, _Odd) -> rand:bytes(rand:uniform(40));
leaf(5, _Odd) -> unicode:characters_to_binary([rand:uniform(16#d000)
                                               || _ <- lists:seq(1, rand:uniform(20))]);
leaf(_, Odd) -> element(rand:uniform(tuple_size(Odd)), Odd).

one_of(List) ->
    lists:nth(rand:uniform(length(List)), List).

%% Terms that are the same in each run

odd() ->
    Deep = fun(Wrap) -> lists:foldl(fun(_, Term) -> Wrap(Term) end, [], lists:seq(1, 10000)) end,
    Big = binary:copy(<<"big ">>, 262144),
    [Deep(fun(Term) -> [Term] end), Deep(fun(Term) -> [a | Term] end),
     Deep(fun(Term) -> {Term} end), Deep(fun(Term) -> #{a => Term} end),
     Deep(fun(Term) -> {json, [{<<"a">>, Term}]} end), {json, [{<<"a">>, 1} | b]},
     [a | b], [{<<"a">>, {string, <<"b">>}} | c], lists:seq(1, 10000),
     list_to_tuple(lists:seq(1, 10000)), maps:from_list([{N, N} || N <- lists:seq(1, 1000)]),
     #{#{} => [], [] => {}, {} => <<>>, 1.0 => 1, 1 => 1.0, <<1:1>> => self()},
     1 bsl 100000, -(1 bsl 100000), 1 bsl 64, (1 bsl 64) - 1, 1 bsl 63, 0, -1, 65536, 4294967296,
     -0.0, 1.7976931348623157e308, 5.0e-324, [], {}, #{}, <<>>, <<5:3>>, <<0>>, <<"a", 0, "b">>,
     <<255, 254>>, <<16#ed, 16#a0, 16#80>>, Big, binary:part(Big, 3, 1000000), <<1:1, Big/binary>>,
     binary:part(<<"a part of a text that is longer than 64 bytes, so that it is shared, too">>, 2, 60),
     binary:copy(<<"a">>, 300), <<"/dev/zero">>, <<"/">>, <<"/dev/stdin">>, <<"none">>,
     <<"https://user:word@127.0.0.1:1/?a#b">>, <<"http://[::1%25lo]:99999/">>, <<"é"/utf8>>,
     '', 'é', list_to_atom([16#20ac]), list_to_atom(lists:duplicate(255, $a)),
     list_to_atom(lists:duplicate(255, 16#1f600)), none, infinity, default, disabled, peer, true,
     false, null, undefined, sns, http, rabbit, nil, ok,
     fun erlang:halt/0, fun lists:map/2, fun() -> Big end, make_ref(), self(), spawn(fun() -> ok end)].

%% What belongs to something else, here or on another node
foreign(Stopped, {file_descriptor, prim_file, #{handle := Handle}} = File, Table) ->
    External = fun(Text) -> binary_to_term(base64:decode(Text)) end,
    [Stopped, File, Handle, Table, ets:whereis(code), atomics:new(1, []), counters:new(1, []),
     element(2, re:compile("a")), crypto:hash_init(sha256), hd(erlang:ports()),
     %% A pid, a reference and a fun of a node that is not there.
     External("g1h3CWdvbmVAaG9zdAAAAGQAAAAAAAAAAQ=="),
     External("g1oAA3cJZ29uZUBob3N0AAAAAQAAAAEAAAACAAAAAw=="),
     External("g3F3BGdvbmV3A2Z1bmEB")].

%% Valid settings

settings(Backend) ->
    (pool_rig:settings(Backend))#{limit => <<"limit">>, retry_max_age_ms => 100}.

backends(Url) ->
    [{sns, (pool_rig:sns(Url))#{publish_batch := true}},
     {http, (pool_rig:http(Url))#{tls := pool_rig:tls(), http2 := true}},
     {rabbit, pool_rig:rabbit(1)}].

%% Taken, but nobody listens there.
refused_port() ->
    {ok, Socket} = socket:open(inet, stream),
    ok = socket:bind(Socket, #{family => inet, addr => {127, 0, 0, 1}, port => 0}),
    {ok, #{port := Port}} = socket:sockname(Socket),
    {Port, Socket}.
