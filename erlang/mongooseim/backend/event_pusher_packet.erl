-module(event_pusher_packet).
-moduledoc "Reads the packet of an event.".

-export([body/1]).

%% The text of the first body, if there is one.
-spec body(exml:element()) -> binary() | none.
body(Packet) ->
    case exml_query:subelements(Packet, <<"body">>) of
        [Body | _] -> exml_query:cdata(Body);
        [] -> none
    end.
