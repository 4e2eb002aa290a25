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
-include("jid.hrl").

-type namespace() :: term().
-type key() :: term().
-type location() :: #{mfa => mfa(), file => string(), line => pos_integer()}.
%% How long a value lasts: until the stanza goes on, or for good.
-type lasting() :: for_now | for_good.
-type t() :: #{mongoose_acc := true,
               ref := reference(),
               birth := #{location := location(), microsecond := integer(), process := pid(),
                          origin := term()},
               lserver := jid:lserver(),
               host_type := binary() | undefined,
               stanza := {From :: jid:jid(), To :: jid:jid(), exml:element(), reference()} | none,
               statem_acc := term(),
               notes := #{{namespace(), key()} => {lasting(), Value :: term()}}}.
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

-spec new(params()) -> t().
new(#{location := Location} = Params) ->
    Birth = #{location => Location,
              microsecond => erlang:system_time(microsecond),
              process => self(),
              origin => maps:get(origin, Params, undefined)},
    maps:merge(#{mongoose_acc => true, ref => make_ref(), birth => Birth, notes => #{},
                 statem_acc => maps:get(statem_acc, Params, #{})},
               whereabouts(Params)).

-spec ref(t()) -> reference().
ref(#{ref := Ref}) -> Ref.

-spec timestamp(t()) -> integer().
timestamp(#{birth := #{microsecond := Time}}) -> Time.

-spec lserver(t()) -> jid:lserver().
lserver(#{lserver := Domain}) -> Domain.

-spec host_type(t()) -> binary() | undefined.
host_type(#{host_type := HostType}) -> HostType.

%% What changes when the stanza goes on to its recipient.
whereabouts(#{lserver := Domain} = Params) ->
    Stanza = case Params of
                 #{element := _} -> stanza(Params);
                 #{} -> none
             end,
    #{lserver => Domain,
      host_type => maps:get(host_type, Params, undefined),
      stanza => Stanza}.

%% The stanza

-spec packet(t()) -> {From :: jid:jid(), To :: jid:jid(), exml:element()} | undefined.
packet(Acc) ->
    of_stanza(Acc, fun(From, To, Element, _Ref) -> {From, To, Element} end).

-spec from_jid(t()) -> jid:jid() | undefined.
from_jid(Acc) ->
    of_stanza(Acc, fun(From, _To, _Element, _Ref) -> From end).

-spec to_jid(t()) -> jid:jid() | undefined.
to_jid(Acc) ->
    of_stanza(Acc, fun(_From, To, _Element, _Ref) -> To end).

-spec element(t()) -> exml:element() | undefined.
element(Acc) ->
    of_stanza(Acc, fun(_From, _To, Element, _Ref) -> Element end).

-spec stanza_name(t()) -> binary() | undefined.
stanza_name(Acc) ->
    of_stanza(Acc, fun(_From, _To, #xmlel{name = Name}, _Ref) -> Name end).

-spec stanza_type(t()) -> binary() | undefined.
stanza_type(Acc) ->
    of_stanza(Acc, fun(_From, _To, Element, _Ref) -> exml_query:attr(Element, <<"type">>) end).

-spec stanza_ref(t()) -> reference() | undefined.
stanza_ref(Acc) ->
    of_stanza(Acc, fun(_From, _To, _Element, Ref) -> Ref end).

of_stanza(#{stanza := none}, _What) -> undefined;
of_stanza(#{stanza := {From, To, Element, Ref}}, What) -> What(From, To, Element, Ref).

-spec update_stanza(stanza_params(), t()) -> t().
update_stanza(Params, Acc) ->
    Acc#{stanza := stanza(Params)}.

%% An address that is not given is read from the element, where it has to be a valid one.
stanza(#{element := #xmlel{} = Element} = Params) ->
    [From, To] = [case Params of
                      #{Key := Given} -> Given;
                      #{} -> #jid{} = jid:from_binary(exml_query:attr(Element, Attribute))
                  end || {Key, Attribute} <- [{from_jid, <<"from">>}, {to_jid, <<"to">>}]],
    {From, To, Element, make_ref()}.

%% What modules noted

-spec get(namespace(), t()) -> [{key(), term()}].
get(NS, #{notes := Notes}) ->
    [{Key, Value} || {{Of, Key}, {_, Value}} <- maps:to_list(Notes), Of =:= NS].

-spec get(namespace(), key(), t()) -> term().
get(NS, Key, #{notes := Notes}) ->
    {_, Value} = maps:get({NS, Key}, Notes),
    Value.

-spec get(namespace(), key(), Default :: term(), t()) -> term().
get(NS, Key, Default, #{notes := Notes}) ->
    case Notes of
        #{{NS, Key} := {_, Value}} -> Value;
        #{} -> Default
    end.

-spec set(namespace(), [{key(), term()}], t()) -> t().
set(NS, KVs, Acc) ->
    note(for_now, [{NS, Key, Value} || {Key, Value} <- KVs], Acc).

-spec set(namespace(), key(), term(), t()) -> t().
set(NS, Key, Value, Acc) ->
    note(for_now, [{NS, Key, Value}], Acc).

-spec append(namespace(), key(), term(), t()) -> t().
append(NS, Key, New, Acc) ->
    Old = get(NS, Key, [], Acc),
    set(NS, Key, if is_list(New) -> Old ++ New; true -> [New | Old] end, Acc).

-spec set_permanent([{namespace(), key(), term()}], t()) -> t().
set_permanent(Notes, Acc) ->
    note(for_good, Notes, Acc).

-spec set_permanent(namespace(), [{key(), term()}], t()) -> t().
set_permanent(NS, KVs, Acc) ->
    note(for_good, [{NS, Key, Value} || {Key, Value} <- KVs], Acc).

-spec set_permanent(namespace(), key(), term(), t()) -> t().
set_permanent(NS, Key, Value, Acc) ->
    note(for_good, [{NS, Key, Value}], Acc).

note(Lasting, New, #{notes := Notes} = Acc) ->
    Added = [{{NS, Key}, {Lasting, Value}} || {NS, Key, Value} <- New],
    Acc#{notes := maps:merge(Notes, maps:from_list(Added))}.

-spec get_permanent_keys(t()) -> [{namespace(), key()}].
get_permanent_keys(Acc) ->
    [{NS, Key} || {NS, Key, _Value} <- get_permanent_fields(Acc)].

-spec get_permanent_fields(t()) -> [{namespace(), key(), term()}].
get_permanent_fields(#{notes := Notes}) ->
    [{NS, Key, Value} || {{NS, Key}, {for_good, Value}} <- maps:to_list(Notes)].

-spec delete(namespace(), t()) -> t().
delete(NS, #{notes := Notes} = Acc) ->
    Acc#{notes := maps:filter(fun({Of, _Key}, _Value) -> Of =/= NS end, Notes)}.

-spec delete(namespace(), key(), t()) -> t().
delete(NS, Key, Acc) ->
    delete_many(NS, [Key], Acc).

-spec delete_many(namespace(), [key()], t()) -> t().
delete_many(NS, Keys, #{notes := Notes} = Acc) ->
    Acc#{notes := maps:without([{NS, Key} || Key <- Keys], Notes)}.

%% The acc of a stanza that goes on to its recipient keeps what is built in and what is permanent.

-spec strip(t()) -> t().
strip(#{notes := Notes} = Acc) ->
    Lasts = fun(_Name, {Lasting, _Value}) -> Lasting =:= for_good end,
    Acc#{statem_acc := #{}, notes := maps:filter(Lasts, Notes)}.

-spec strip(strip_params(), t()) -> t().
strip(#{element := _} = Params, Acc) ->
    maps:merge(strip(Acc), whereabouts(Params)).
