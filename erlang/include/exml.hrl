%% Attributes are a map; a text child has three fields, and a shorter tuple is silently no text.
-record(xmlcdata, {content = <<>> :: iodata(),
                   style = escaped :: escaped | cdata}).

-record(xmlel, {name :: binary(),
                attrs = #{} :: #{binary() => binary()},
                children = [] :: [tuple()]}).
