-module(mongoose_data_forms).
-moduledoc "Reads and makes data forms, of which a server's module knows some more parts.".

-export([find_form/1, is_form/1, parse_form_fields/1, form/1]).

-include("exml.hrl").

-type field() :: #{var => binary(), type => binary(), label => binary(), values => [binary()]}.
-type form() :: #{type => binary(), title => binary(), instructions => binary(), ns => binary(),
                  fields => [field()]}.
-type kv_map() :: #{Var :: binary() => Values :: [binary()]}.
-type parsed_form() :: #{kvs := kv_map(), type => binary(), ns => binary()}.

-export_type([form/0, field/0, kv_map/0, parsed_form/0]).

-define(NS, <<"jabber:x:data">>).

%% Reading

-spec find_form(Parent :: exml:element()) -> exml:element() | undefined.
find_form(Parent) ->
    exml_query:subelement_with_name_and_ns(Parent, <<"x">>, ?NS).

-spec is_form(exml:element()) -> boolean().
is_form(Element = #xmlel{name = Name}) ->
    {Name, exml_query:attr(Element, <<"xmlns">>)} =:= {<<"x">>, ?NS}.

%% Takes any element for a form. A field needs a name; of some with one name the last counts.
-spec parse_form_fields(exml:element()) -> parsed_form().
parse_form_fields(Form) ->
    Fields = maps:from_list([{Var, exml_query:paths(Field, [{element, <<"value">>}, cdata])}
                             || Field <- exml_query:subelements(Form, <<"field">>),
                                Var <- [exml_query:attr(Field, <<"var">>)], Var =/= undefined]),
    with_type(exml_query:attr(Form, <<"type">>), with_ns(Fields)).

with_ns(Fields = #{<<"FORM_TYPE">> := [NS]}) ->
    #{ns => NS, kvs => maps:remove(<<"FORM_TYPE">>, Fields)};
with_ns(Fields) ->
    #{kvs => Fields}.

with_type(undefined, Parsed) -> Parsed;
with_type(Type, Parsed) -> Parsed#{type => Type}.

%% Making

-spec form(form()) -> exml:element().
form(Form) ->
    #xmlel{name = <<"x">>,
           attrs = #{<<"xmlns">> => ?NS, <<"type">> => maps:get(type, Form, <<"form">>)},
           children = lists:append([part(Part, maps:get(Part, Form))
                                    || Part <- [title, instructions, ns, fields],
                                       is_map_key(Part, Form)])}.

part(title, Title) ->
    [text_element(<<"title">>, Title)];
part(instructions, Instructions) ->
    [text_element(<<"instructions">>, Instructions)];
part(ns, NS) ->
    part(fields, [#{var => <<"FORM_TYPE">>, type => <<"hidden">>, values => [NS]}]);
part(fields, Fields) ->
    [field(Field) || Field <- Fields].

field(Field) ->
    #xmlel{name = <<"field">>,
           attrs = maps:from_list([{atom_to_binary(Attr), Value}
                                   || {Attr, Value} <- maps:to_list(maps:remove(values, Field))]),
           children = [text_element(<<"value">>, Value) || Value <- maps:get(values, Field, [])]}.

text_element(Name, Text) ->
    #xmlel{name = Name, children = [#xmlcdata{content = Text}]}.
