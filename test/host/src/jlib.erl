-module(jlib).
-moduledoc "Turns IQs from elements into records and back, and makes error replies.".

-export([iq_to_xml/1, iq_query_or_response_info/1]).
-export([make_error_reply/2, stanza_error/3, replace_from_to/3]).

-include("exml.hrl").
-include("iq.hrl").

-type iq() :: #iq{}.

-export_type([iq/0]).

%% The addresses of an IQ are not part of the record.
-spec iq_to_xml(iq()) -> exml:element().
iq_to_xml(#iq{id = Id, type = Type, sub_el = SubEl}) ->
    #xmlel{name = <<"iq">>,
           attrs = #{<<"id">> => Id, <<"type">> => atom_to_binary(Type)},
           children = lists:flatten([SubEl])}.

%% A request is invalid without exactly one child that has a namespace.
-spec iq_query_or_response_info(exml:element()) -> iq() | invalid | not_iq.
iq_query_or_response_info(Iq = #xmlel{name = <<"iq">>, children = Children}) ->
    Elements = [Child || Child = #xmlel{} <- Children],
    case {exml_query:attr(Iq, <<"type">>), Elements} of
        {<<"get">>, [Request]} -> request(get, Request, Iq);
        {<<"set">>, [Request]} -> request(set, Request, Iq);
        {<<"result">>, _} -> answer(result, Elements, Iq);
        {<<"error">>, _} -> answer(error, Elements, Iq);
        _ -> invalid
    end;
iq_query_or_response_info(#xmlel{}) ->
    not_iq.

request(Type, Request, Iq) ->
    case namespace(Request) of
        <<>> -> invalid;
        NS -> record(Type, NS, Request, Iq)
    end.

answer(Type, Elements, Iq) ->
    case [Element || Element = #xmlel{name = Name} <- Elements, Name =/= <<"error">>] of
        [Element] -> record(Type, namespace(Element), Elements, Iq);
        _ -> record(Type, <<>>, Elements, Iq)
    end.

record(Type, NS, SubEl, Iq) ->
    #iq{id = exml_query:attr(Iq, <<"id">>, <<>>),
        type = Type,
        xmlns = NS,
        lang = exml_query:attr(Iq, <<"xml:lang">>, <<>>),
        sub_el = SubEl}.

namespace(Element) ->
    exml_query:attr(Element, <<"xmlns">>, <<>>).

-spec make_error_reply(exml:element(), Error :: exml:element()) -> exml:element().
make_error_reply(Stanza = #xmlel{attrs = Attrs, children = Children}, Error) ->
    Swapped = maps:from_list([{swapped(Name), Value} || {Name, Value} <- maps:to_list(Attrs)]),
    Stanza#xmlel{attrs = Swapped#{<<"type">> => <<"error">>}, children = [Error | Children]}.

swapped(<<"from">>) -> <<"to">>;
swapped(<<"to">>) -> <<"from">>;
swapped(Name) -> Name.

-spec stanza_error(Code :: binary(), Type :: binary(), Condition :: binary()) -> exml:element().
stanza_error(Code, Type, Condition) ->
    NS = <<"urn:ietf:params:xml:ns:xmpp-stanzas">>,
    #xmlel{name = <<"error">>,
           attrs = #{<<"code">> => Code, <<"type">> => Type},
           children = [#xmlel{name = Condition, attrs = #{<<"xmlns">> => NS}}]}.

-spec replace_from_to(From :: jid:jid(), To :: jid:jid(), exml:element()) -> exml:element().
replace_from_to(From, To, Stanza = #xmlel{attrs = Attrs}) ->
    Stanza#xmlel{attrs = Attrs#{<<"from">> => jid:to_binary(From), <<"to">> => jid:to_binary(To)}}.
