-module(mongoose_session).
-moduledoc "Reads and changes what is noted in a session.".

-export([get_resource/1, get_info/1, get_info/3, set_info/3]).

-include("session.hrl").

-spec get_resource(ejabberd_sm:session()) -> jid:lresource().
get_resource(#session{usr = {_LUser, _LServer, LResource}}) ->
    LResource.

-spec get_info(ejabberd_sm:session()) -> ejabberd_sm:info().
get_info(#session{info = Info}) ->
    Info.

-spec get_info(ejabberd_sm:session(), Key, Default) -> {Key, term()} | Default
              when Key :: ejabberd_sm:info_key().
get_info(#session{info = Info}, Key, Default) ->
    case Info of
        #{Key := Value} -> {Key, Value};
        #{} -> Default
    end.

-spec set_info(ejabberd_sm:session(), ejabberd_sm:info_key(), term()) -> ejabberd_sm:session().
set_info(Session = #session{info = Info}, Key, Value) ->
    Session#session{info = Info#{Key => Value}}.
