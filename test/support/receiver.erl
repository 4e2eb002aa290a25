-module(receiver).
-moduledoc "A receiver for tests: a program behind a port, each arrival a message here.".
-behaviour(gen_server).

-export([start/2, start_program/2, stop/1]).
-export([info/1, command/2]).
-export([await_message/2, await_messages/3, flush/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% What the maps hold is up to the program; the modules that start one have types for them.
-type info() :: map().
-type message() :: map().
-type waiter() :: #{from := gen_server:from(), wanted := pos_integer(), timer := reference()}.
-type state() :: #{port := port(),
                   info := info(),
                   line := iodata(),
                   asked := queue:queue(gen_server:from()),
                   arrived := queue:queue(message()),
                   waiters := [waiter()]}.

%% A broker takes seconds to start, and more where others are at work.
-define(READY_WITHIN, 120000).
-define(ANSWER_WITHIN, 120000).
-define(EXIT_WITHIN, 10000).

%% Takes the name of a program in test/receivers and its options. Not linked, so that one started
%% in init_per_suite outlives the process which runs that.
-spec start(Script :: string(), Options :: [{Flag :: string(), Value :: string()}]) ->
    {ok, pid()} | {error, term()}.
start(Script, Options) ->
    gen_server:start(?MODULE, {script, Script, arguments(Options)}, [{timeout, infinity}]).

%% The same of a program that is no Python, and speaks as one of those does.
-spec start_program(file:filename(), Options :: [{Flag :: string(), Value :: string()}]) ->
    {ok, pid()} | {error, term()}.
start_program(Program, Options) ->
    gen_server:start(?MODULE, {program, [Program | arguments(Options)]}, [{timeout, infinity}]).

arguments(Options) ->
    lists:append([[Flag, Value] || {Flag, Value} <- Options]).

-spec stop(pid()) -> ok.
stop(Receiver) ->
    gen_server:stop(Receiver).

-spec info(pid()) -> info().
info(Receiver) ->
    gen_server:call(Receiver, info).

%% Returns what the program answers; a command that fails is an error of its caller.
-spec command(pid(), [Word :: unicode:chardata() | integer() | boolean()]) -> term().
command(Receiver, Words) ->
    Line = lists:join($\s, [quoted(Word) || Word <- Words]),
    Command = unicode:characters_to_binary(Line),
    case gen_server:call(Receiver, {command, Command}, ?ANSWER_WITHIN) of
        {error, Reason} -> error({receiver, Reason});
        {_, Answer} -> Answer
    end.

%% As a shell reads it.
quoted(Word) when is_integer(Word) -> integer_to_binary(Word);
quoted(Word) when is_boolean(Word) -> atom_to_binary(Word);
quoted(Word) -> [$', string:replace(Word, "'", "'\\''", all), $'].

-spec await_message(pid(), timeout()) -> {ok, message()} | timeout.
await_message(Receiver, Timeout) ->
    case await_messages(Receiver, 1, Timeout) of
        [Message] -> {ok, Message};
        [] -> timeout
    end.

%% In order of arrival; fewer than wanted after the timeout.
-spec await_messages(pid(), Wanted :: pos_integer(), timeout()) -> [message()].
await_messages(Receiver, Wanted, Timeout) ->
    gen_server:call(Receiver, {await, Wanted, Timeout}, infinity).

%% What arrived and nobody has awaited.
-spec flush(pid()) -> [message()].
flush(Receiver) ->
    gen_server:call(Receiver, flush).

%% gen_server callbacks

-spec init({script, string(), Arguments :: [string()]} | {program, [string()]}) ->
    {ok, state()} | {stop, term()}.
init({script, Script, Arguments}) ->
    init({program, [python(), "-B", find("test/receivers/" ++ Script) | Arguments]});
init({program, [Name | _] = Program}) ->
    process_flag(trap_exit, true),
    %% The end of its input tells the program that the VM has ended, and the signal interrupts what
    %% keeps it from reading.
    Args = ["--pdeathsig", "TERM" | Program],
    Settings = [{args, Args}, {line, 65536}, binary, exit_status],
    try open_port({spawn_executable, os:find_executable("setpriv")}, Settings) of
        Port -> await_ready(#{port => Port, info => #{}, line => [], asked => queue:new(),
                              arrived => queue:new(), waiters => []})
    catch
        error:Reason -> {stop, {cannot_run, Name, Reason}}
    end.

-spec handle_call(term(), gen_server:from(), state()) ->
    {reply, term(), state()} | {noreply, state()}.
handle_call(info, _From, #{info := Info} = State) ->
    {reply, Info, State};
handle_call({command, Command}, From, #{port := Port, asked := Asked} = State) ->
    port_command(Port, [Command, $\n]),
    {noreply, State#{asked := queue:in(From, Asked)}};
handle_call({await, Wanted, Timeout}, From, #{waiters := Waiters} = State) ->
    Waiter = #{from => From, wanted => Wanted, timer => start_timer(Timeout)},
    {noreply, serve_waiters(State#{waiters := Waiters ++ [Waiter]})};
handle_call(flush, _From, #{arrived := Arrived} = State) ->
    {reply, queue:to_list(Arrived), State#{arrived := queue:new()}}.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_, State) ->
    {noreply, State}.

-spec handle_info(term(), state()) -> {noreply, state()} | {stop, term(), state()}.
handle_info({Port, {data, {noeol, Part}}}, #{port := Port, line := Line} = State) ->
    {noreply, State#{line := [Line, Part]}};
handle_info({Port, {data, {eol, Part}}}, #{port := Port, line := Line} = State) ->
    {noreply, handle_term(parse([Line, Part]), State#{line := []})};
handle_info({Port, {exit_status, Status}}, #{port := Port} = State) ->
    {stop, {receiver_exited, Status}, State};
handle_info({timeout, Timer, await}, #{waiters := Waiters} = State) ->
    case lists:partition(fun(#{timer := Other}) -> Other =:= Timer end, Waiters) of
        {[Waiter], Others} -> {noreply, serve_waiters(answer(Waiter, State#{waiters := Others}))};
        {[], _} -> {noreply, State}
    end;
handle_info(_, State) ->
    {noreply, State}.

%% Returns when the program has ended, so that nothing is left running.
-spec terminate(term(), state()) -> ok.
terminate({receiver_exited, _}, _State) ->
    ok;
terminate(_Reason, #{port := Port}) ->
    port_command(Port, "quit\n"),
    receive
        {Port, {exit_status, _}} -> ok
    after ?EXIT_WITHIN ->
        logger:error(#{what => receiver_does_not_quit, port_info => erlang:port_info(Port)})
    end.

%% What the program says

await_ready(#{port := Port} = State) ->
    receive
        {Port, {data, {eol, Line}}} ->
            {ready, Info} = parse(Line),
            {ok, State#{info := Info}};
        {Port, {exit_status, Status}} ->
            {stop, {receiver_exited, Status}}
    after ?READY_WITHIN ->
        {stop, receiver_not_ready}
    end.

parse(Line) ->
    {ok, Tokens, _} = erl_scan:string(binary_to_list(iolist_to_binary(Line))),
    {ok, Term} = erl_parse:parse_term(Tokens),
    Term.

handle_term({message, Message}, #{arrived := Arrived} = State) ->
    serve_waiters(State#{arrived := queue:in(Message, Arrived)});
handle_term(Answer, #{asked := Asked} = State) ->
    {{value, From}, Rest} = queue:out(Asked),
    gen_server:reply(From, Answer),
    State#{asked := Rest}.

%% Who waits for messages

%% First come, first served.
serve_waiters(#{waiters := [#{wanted := Wanted} = Waiter | Others], arrived := Arrived} = State) ->
    case queue:len(Arrived) >= Wanted of
        true -> serve_waiters(answer(Waiter, State#{waiters := Others}));
        false -> State
    end;
serve_waiters(State) ->
    State.

answer(#{from := From, wanted := Wanted, timer := Timer}, #{arrived := Arrived} = State) ->
    _ = erlang:cancel_timer(Timer),
    {Messages, Rest} = queue:split(min(Wanted, queue:len(Arrived)), Arrived),
    gen_server:reply(From, queue:to_list(Messages)),
    State#{arrived := Rest}.

start_timer(infinity) ->
    make_ref();
start_timer(Timeout) ->
    erlang:start_timer(Timeout, self(), await).

%% Where things are

python() ->
    case os:getenv("EVENT_PUSHER_PYTHON") of
        false -> find("_build/venv/bin/python");
        Python -> Python
    end.

%% The file in the closest folder above this module's source or the current folder that has it.
find(File) ->
    {ok, Current} = file:get_cwd(),
    Source = proplists:get_value(source, module_info(compile)),
    find(File, [filename:dirname(Source), Current]).

find(File, []) ->
    exit({not_found, File});
find(File, [Folder | Others]) ->
    Path = filename:join(Folder, File),
    case {filelib:is_regular(Path), filename:dirname(Folder)} of
        {true, _} -> Path;
        {false, Folder} -> find(File, Others);
        {false, Above} -> find(File, [Above | Others])
    end.
