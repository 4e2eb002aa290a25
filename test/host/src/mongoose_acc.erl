-module(mongoose_acc).
-moduledoc "What travels with a stanza: its sender, its recipient and what modules noted.".

-export([new/1, host_type/1, lserver/1, timestamp/1, ref/1]).
-export([element/1, from_jid/1, to_jid/1, packet/1]).
-export([stanza_name/1, stanza_type/1, stanza_ref/1, update_stanza/2]).
-export([get/2, get/3, get/4, set/3, set/4, append/4]).
-export([set_permanent/2, set_permanent/3, set_permanent/4]).
-export([get_permanent_keys/1, get_permanent_fields/1]).
-export([delete/2, delete/3, delete_many/3, strip/1, strip/2]).

-include("exml.hrl").

-type namespace() :: term().
-type key() :: term().
-type location() :: #{mfa => mfa(), file => string(), line => pos_integer()}.
-type stanza() :: #{element := exml:element(),
                    from_jid := jid:jid(),
                    to_jid := jid:jid(),
                    name := binary(),
                    type := binary() | undefined,
                    ref := reference()}.
-type t() :: #{mongoose_acc := true,
               ref := reference(),
               timestamp := integer(),
               origin_pid := pid(),
               origin_location := location(),
               origin := term(),
               stanza := stanza() | undefined,
               lserver := jid:lserver(),
               host_type := binary() | undefined,
               statem_acc := term(),
               non_strippable := [{namespace(), key()}],
               {namespace(), key()} => term()}.
-type stanza_params() :: #{element := exml:element(),
                           from_jid => jid:jid(),
                           to_jid => jid:jid(),
                           atom() => term()}.
-type strip_params() :: #{lserver := jid:lserver(),
                          element := exml:element(),
                          host_type => binary() | undefined,
                          from_jid => jid:jid(),
                          to_jid => jid:jid()}.
-type params() :: #{location := location(),
                    lserver := jid:lserver(),
                    element => exml:element(),
                    host_type => binary() | undefined,
                    from_jid => jid:jid(),
                    to_jid => jid:jid(),
                    statem_acc => term(),
                    origin => term()}.

-export_type([t/0]).

-define(NEW_STATEM_ACC, #{}).

-spec new(params()) -> t().
new(Params = #{location := Location, lserver := LServer}) ->
    #{mongoose_acc => true,
      ref => make_ref(),
      timestamp => erlang:system_time(microsecond),
      origin_pid => self(),
      origin_location => Location,
      origin => maps:get(origin, Params, undefined),
      stanza => stanza(Params),
      lserver => LServer,
      host_type => maps:get(host_type, Params, undefined),
      statem_acc => maps:get(statem_acc, Params, ?NEW_STATEM_ACC),
      non_strippable => []}.

-spec host_type(t()) -> binary() | undefined.
host_type(#{host_type := HostType}) -> HostType.

-spec lserver(t()) -> jid:lserver().
lserver(#{lserver := LServer}) -> LServer.

-spec timestamp(t()) -> integer().
timestamp(#{timestamp := Timestamp}) -> Timestamp.

-spec ref(t()) -> reference().
ref(#{ref := Ref}) -> Ref.

%% The stanza

-spec element(t()) -> exml:element() | undefined.
element(Acc) -> stanza_field(element, Acc).

-spec from_jid(t()) -> jid:jid() | undefined.
from_jid(Acc) -> stanza_field(from_jid, Acc).

-spec to_jid(t()) -> jid:jid() | undefined.
to_jid(Acc) -> stanza_field(to_jid, Acc).

-spec stanza_name(t()) -> binary() | undefined.
stanza_name(Acc) -> stanza_field(name, Acc).

-spec stanza_type(t()) -> binary() | undefined.
stanza_type(Acc) -> stanza_field(type, Acc).

-spec stanza_ref(t()) -> reference() | undefined.
stanza_ref(Acc) -> stanza_field(ref, Acc).

-spec packet(t()) -> {From :: jid:jid(), To :: jid:jid(), exml:element()} | undefined.
packet(#{stanza := undefined}) -> undefined;
packet(#{stanza := #{from_jid := From, to_jid := To, element := Element}}) -> {From, To, Element}.

-spec update_stanza(stanza_params(), t()) -> t().
update_stanza(Params, Acc) ->
    Acc#{stanza := stanza(Params)}.

stanza_field(_Field, #{stanza := undefined}) -> undefined;
stanza_field(Field, #{stanza := Stanza}) -> maps:get(Field, Stanza).

stanza(Params = #{element := Element = #xmlel{name = Name}}) ->
    #{element => Element,
      from_jid => address(from_jid, <<"from">>, Params),
      to_jid => address(to_jid, <<"to">>, Params),
      name => Name,
      type => exml_query:attr(Element, <<"type">>),
      ref => make_ref()};
stanza(#{}) ->
    undefined.

address(Key, _Attr, Params) when is_map_key(Key, Params) ->
    maps:get(Key, Params);
address(_Key, Attr, #{element := Element}) ->
    Jid = jid:from_binary(exml_query:attr(Element, Attr)),
    true = Jid =/= error,
    Jid.

%% What modules noted

-spec get(namespace(), t()) -> [{key(), term()}].
get(NS, Acc) ->
    [{Key, Value} || {{N, Key}, Value} <- maps:to_list(Acc), N =:= NS].

-spec get(namespace(), key(), t()) -> term().
get(NS, Key, Acc) ->
    maps:get({NS, Key}, Acc).

-spec get(namespace(), key(), Default :: term(), t()) -> term().
get(NS, Key, Default, Acc) ->
    maps:get({NS, Key}, Acc, Default).

-spec set(namespace(), [{key(), term()}], t()) -> t().
set(NS, KVs, Acc) ->
    lists:foldl(fun({Key, Value}, A) -> set(NS, Key, Value, A) end, Acc, KVs).

-spec set(namespace(), key(), term(), t()) -> t().
set(NS, Key, Value, Acc = #{non_strippable := Permanent}) ->
    Acc#{{NS, Key} => Value, non_strippable := lists:delete({NS, Key}, Permanent)}.

-spec append(namespace(), key(), term(), t()) -> t().
append(NS, Key, Values, Acc) when is_list(Values) ->
    set(NS, Key, get(NS, Key, [], Acc) ++ Values, Acc);
append(NS, Key, Value, Acc) ->
    set(NS, Key, [Value | get(NS, Key, [], Acc)], Acc).

-spec set_permanent([{namespace(), key(), term()}], t()) -> t().
set_permanent(Fields, Acc) ->
    lists:foldl(fun({NS, Key, Value}, A) -> set_permanent(NS, Key, Value, A) end, Acc, Fields).

-spec set_permanent(namespace(), [{key(), term()}], t()) -> t().
set_permanent(NS, KVs, Acc) ->
    set_permanent([{NS, Key, Value} || {Key, Value} <- KVs], Acc).

-spec set_permanent(namespace(), key(), term(), t()) -> t().
set_permanent(NS, Key, Value, Acc = #{non_strippable := Permanent}) ->
    Acc#{{NS, Key} => Value, non_strippable := lists:usort([{NS, Key} | Permanent])}.

-spec get_permanent_keys(t()) -> [{namespace(), key()}].
get_permanent_keys(#{non_strippable := Permanent}) -> Permanent.

-spec get_permanent_fields(t()) -> [{namespace(), key(), term()}].
get_permanent_fields(Acc) ->
    [{NS, Key, get(NS, Key, Acc)} || {NS, Key} <- get_permanent_keys(Acc)].

-spec delete(namespace(), t()) -> t().
delete(NS, Acc) ->
    delete_many(NS, [Key || {Key, _} <- get(NS, Acc)], Acc).

-spec delete(namespace(), key(), t()) -> t().
delete(NS, Key, Acc = #{non_strippable := Permanent}) ->
    maps:remove({NS, Key}, Acc#{non_strippable := lists:delete({NS, Key}, Permanent)}).

-spec delete_many(namespace(), [key()], t()) -> t().
delete_many(NS, Keys, Acc) ->
    lists:foldl(fun(Key, A) -> delete(NS, Key, A) end, Acc, Keys).

%% The acc of a stanza that goes on to its recipient keeps what is built in and what is permanent.

-spec strip(t()) -> t().
strip(Acc = #{non_strippable := Permanent}) ->
    Kept = maps:filter(fun({_NS, _Key} = Field, _) -> lists:member(Field, Permanent);
                          (_BuiltIn, _) -> true
                       end, Acc),
    Kept#{statem_acc := ?NEW_STATEM_ACC}.

-spec strip(strip_params(), t()) -> t().
strip(Params = #{lserver := LServer, element := _}, Acc) ->
    Stripped = strip(Acc),
    Stripped#{stanza := stanza(Params),
              lserver := LServer,
              host_type := maps:get(host_type, Params, undefined)}.
