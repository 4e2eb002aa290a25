-module(mongoose_config).
-moduledoc "The options of the running server: one map in a persistent term.".

-export([get_opt/1, get_opt/2, lookup_opt/1]).
-export([set_opts/1, set_opt/2, unset_opt/1, erase_opts/0]).

-type key() :: atom() | {atom(), host_domains:host_type()}.
-type path() :: key() | [term(), ...].
-type opts() :: #{key() => term()}.

-export_type([key/0, path/0, opts/0]).

-spec get_opt(path()) -> term().
get_opt(Path) ->
    lists:foldl(fun maps:get/2, opts(), steps(Path)).

-spec get_opt(path(), Default :: term()) -> term().
get_opt(Path, Default) ->
    case lookup_opt(Path) of
        {ok, Value} -> Value;
        {error, not_found} -> Default
    end.

-spec lookup_opt(path()) -> {ok, term()} | {error, not_found}.
lookup_opt(Path) ->
    try
        {ok, get_opt(Path)}
    catch
        error:{badkey, _} -> {error, not_found}
    end.

-spec set_opts(opts()) -> ok.
set_opts(Opts) ->
    persistent_term:put(?MODULE, Opts).

-spec set_opt(path(), term()) -> ok.
set_opt(Path, Value) ->
    set_opts(put_in(steps(Path), Value, opts())).

-spec unset_opt(path()) -> ok.
unset_opt(Path) ->
    set_opts(remove_in(steps(Path), opts())).

-spec erase_opts() -> ok.
erase_opts() ->
    _ = persistent_term:erase(?MODULE),
    ok.

opts() ->
    persistent_term:get(?MODULE, #{}).

steps(Path) when is_list(Path) -> Path;
steps(Key) -> [Key].

put_in([Key], Value, Map) ->
    Map#{Key => Value};
put_in([Key | Rest], Value, Map) ->
    Map#{Key => put_in(Rest, Value, maps:get(Key, Map))}.

remove_in([Key], Map) ->
    maps:remove(Key, Map);
remove_in([Key | Rest], Map) ->
    Map#{Key := remove_in(Rest, maps:get(Key, Map))}.
