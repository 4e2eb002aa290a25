-module(exml).
-moduledoc "Prints an XML element as text.".

-export([to_binary/1]).

-include("exml.hrl").

-type attrs() :: #{binary() => binary()}.
-type cdata() :: #xmlcdata{}.
-type element() :: #xmlel{}.

-export_type([attrs/0, cdata/0, element/0]).

-spec to_binary(element() | cdata()) -> binary().
to_binary(Node) ->
    iolist_to_binary(print(Node)).

print(#xmlcdata{content = Content, style = escaped}) ->
    escape(iolist_to_binary(Content));
print(#xmlcdata{content = Content, style = cdata}) ->
    ["<![CDATA[", Content, "]]>"];
print(#xmlel{name = Name, attrs = Attrs, children = []}) ->
    [$<, Name, print_attrs(Attrs), "/>"];
print(#xmlel{name = Name, attrs = Attrs, children = Children}) ->
    [$<, Name, print_attrs(Attrs), $>, lists:map(fun print/1, Children), "</", Name, $>].

print_attrs(Attrs) ->
    [[$\s, Name, "='", escape(Value), $'] || {Name, Value} <- lists:sort(maps:to_list(Attrs))].

escape(Text) ->
    << <<(entity(Char))/binary>> || <<Char>> <= Text >>.

entity($&) -> <<"&amp;">>;
entity($<) -> <<"&lt;">>;
entity($>) -> <<"&gt;">>;
entity($") -> <<"&quot;">>;
entity($') -> <<"&apos;">>;
entity(Byte) -> <<Byte>>.
