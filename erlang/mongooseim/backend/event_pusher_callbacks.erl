-module(event_pusher_callbacks).
-moduledoc "Whether a module that an option names can do what it will be called for.".

-export([complaints/3, has/2]).
-export_type([callback/0]).

-type callback() :: {atom(), arity()}.

%% Nothing for a module that exports all of the callbacks, or any of them if that is enough.
-spec complaints(Option :: atom(), module(), {all | any, [callback()]}) -> [binary()].
complaints(Option, Module, Wanted) ->
    case code:ensure_loaded(Module) of
        {module, Module} ->
            lacking(Option, Module, Wanted);
        {error, Reason} ->
            [text("~ts: must be the name of a module that can be loaded, got ~ts: ~tp",
                  [Option, Module, Reason])]
    end.

lacking(Option, Module, {Enough, Callbacks}) ->
    Lacking = [Callback || Callback <- Callbacks, not has(Module, Callback)],
    case {Enough, Lacking} of
        {_, []} ->
            [];
        {any, Callbacks} ->
            [text("~ts: must be a module with one of ~ts, got ~ts, which has none",
                  [Option, names(Callbacks), Module])];
        {any, _} ->
            [];
        {all, _} ->
            [text("~ts: must be a module with ~ts, got ~ts, which lacks ~ts",
                  [Option, names(Callbacks), Module, names(Lacking)])]
    end.

%% Whether a module has it that was loaded.
-spec has(module(), callback()) -> boolean().
has(Module, {Name, Arity}) ->
    erlang:function_exported(Module, Name, Arity).

names(Callbacks) ->
    lists:join(", ", [io_lib:format("~ts/~b", [Name, Arity]) || {Name, Arity} <- Callbacks]).

text(Format, Args) ->
    unicode:characters_to_binary(io_lib:format(Format, Args)).
