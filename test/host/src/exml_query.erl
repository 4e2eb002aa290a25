-module(exml_query).
-moduledoc "Finds children, attributes and text of an XML element.".

-export([path/2, path/3, paths/2]).
-export([subelement/2, subelement/3, subelements/2]).
-export([subelement_with_ns/2, subelement_with_ns/3, subelements_with_ns/2]).
-export([subelement_with_name_and_ns/3, subelement_with_name_and_ns/4,
         subelements_with_name_and_ns/3]).
-export([subelement_with_attr/3, subelement_with_attr/4, subelements_with_attr/3]).
-export([attr/2, attr/3, cdata/1]).

-include("exml.hrl").

-type step() :: cdata
              | {attr, Name :: binary()}
              | {element, Name :: binary()}
              | {element_with_ns, NS :: binary()}
              | {element_with_ns, Name :: binary(), NS :: binary()}
              | {element_with_attr, AttrName :: binary(), AttrValue :: binary()}.
-type path() :: [step()].

-export_type([path/0]).

-spec path(exml:element(), path()) -> exml:element() | binary() | undefined.
path(Element, Path) ->
    path(Element, Path, undefined).

-spec path(exml:element() | term(), path(), Default) -> exml:element() | binary() | Default.
path(#xmlel{} = Element, [], _Default) -> Element;
path(#xmlel{} = Element, [cdata], _Default) -> cdata(Element);
path(#xmlel{} = Element, [{attr, Name}], Default) -> attr(Element, Name, Default);
path(#xmlel{} = Element, [Step | Rest], Default) -> path(first(Element, Step), Rest, Default);
path(_NoElement, _Path, Default) -> Default.

-spec paths(exml:element(), path()) -> [exml:element() | binary()].
paths(#xmlel{} = Element, []) -> [Element];
paths(#xmlel{} = Element, [cdata]) -> [cdata(Element)];
paths(#xmlel{attrs = Attrs}, [{attr, Name}]) -> maps:values(maps:with([Name], Attrs));
paths(#xmlel{} = Element, [Step | Rest]) ->
    lists:append([paths(Child, Rest) || Child <- all(Element, Step)]).

first(Element, {element, Name}) -> subelement(Element, Name);
first(Element, {element_with_ns, NS}) -> subelement_with_ns(Element, NS);
first(Element, {element_with_ns, Name, NS}) -> subelement_with_name_and_ns(Element, Name, NS);
first(Element, {element_with_attr, Name, Value}) -> subelement_with_attr(Element, Name, Value).

all(Element, {element, Name}) -> subelements(Element, Name);
all(Element, {element_with_ns, NS}) -> subelements_with_ns(Element, NS);
all(Element, {element_with_ns, Name, NS}) -> subelements_with_name_and_ns(Element, Name, NS);
all(Element, {element_with_attr, Name, Value}) -> subelements_with_attr(Element, Name, Value).

-spec subelement(exml:element(), binary()) -> exml:element() | exml:cdata() | undefined.
subelement(Element, Name) ->
    subelement(Element, Name, undefined).

%% Looks at the second field of each child, which in a text child is the text: on purpose, as a
%% server finds such a child too.
-spec subelement(exml:element(), binary(), Default) -> exml:element() | exml:cdata() | Default.
subelement(#xmlel{children = Children}, Name, Default) ->
    found(lists:keyfind(Name, 2, Children), Default).

-spec subelements(exml:element(), binary()) -> [exml:element()].
subelements(Element, Name) ->
    filter(fun(Child) -> Child#xmlel.name =:= Name end, Element).

-spec subelement_with_ns(exml:element(), binary()) -> exml:element() | undefined.
subelement_with_ns(Element, NS) ->
    subelement_with_ns(Element, NS, undefined).

-spec subelement_with_ns(exml:element(), binary(), Default) -> exml:element() | Default.
subelement_with_ns(Element, NS, Default) ->
    head(subelements_with_ns(Element, NS), Default).

-spec subelements_with_ns(exml:element(), binary()) -> [exml:element()].
subelements_with_ns(Element, NS) ->
    subelements_with_attr(Element, <<"xmlns">>, NS).

-spec subelement_with_name_and_ns(exml:element(), binary(), binary()) -> exml:element() | undefined.
subelement_with_name_and_ns(Element, Name, NS) ->
    subelement_with_name_and_ns(Element, Name, NS, undefined).

-spec subelement_with_name_and_ns(exml:element(), binary(), binary(), Default) ->
          exml:element() | Default.
subelement_with_name_and_ns(Element, Name, NS, Default) ->
    head(subelements_with_name_and_ns(Element, Name, NS), Default).

-spec subelements_with_name_and_ns(exml:element(), binary(), binary()) -> [exml:element()].
subelements_with_name_and_ns(Element, Name, NS) ->
    [Child || Child <- subelements_with_ns(Element, NS), Child#xmlel.name =:= Name].

-spec subelement_with_attr(exml:element(), binary(), binary()) -> exml:element() | undefined.
subelement_with_attr(Element, Name, Value) ->
    subelement_with_attr(Element, Name, Value, undefined).

-spec subelement_with_attr(exml:element(), binary(), binary(), Default) -> exml:element() | Default.
subelement_with_attr(Element, Name, Value, Default) ->
    head(subelements_with_attr(Element, Name, Value), Default).

-spec subelements_with_attr(exml:element(), binary(), binary()) -> [exml:element()].
subelements_with_attr(Element, Name, Value) ->
    filter(fun(Child) -> attr(Child, Name) =:= Value end, Element).

-spec attr(exml:element(), binary()) -> binary() | undefined.
attr(Element, Name) ->
    attr(Element, Name, undefined).

-spec attr(exml:element(), binary(), Default) -> binary() | Default.
attr(#xmlel{attrs = Attrs}, Name, Default) ->
    maps:get(Name, Attrs, Default).

-spec cdata(exml:element()) -> binary().
cdata(#xmlel{children = Children}) ->
    iolist_to_binary([Content || #xmlcdata{content = Content} <- Children]).

filter(Predicate, #xmlel{children = Children}) ->
    [Child || #xmlel{} = Child <- Children, Predicate(Child)].

found(false, Default) -> Default;
found(Child, _Default) -> Child.

head([], Default) -> Default;
head([Child | _], _Default) -> Child.
