-module(event_pusher_http_credentials).
-moduledoc "Options of a handler that show its receiver who posts: fixed headers, a login, a token, secrets to sign with.".

-export([spec/0, settings/1, without/1, is_signed/1]).
%% Option processor
-export([require_login/2]).

-include("mongoose_config_spec.hrl").

-define(KEYS, [signing_secrets, headers, basic_auth, bearer_token_file]).

%% Values are checked by the native side: where the server's parser refuses one, it shows it.
-spec spec() -> #{binary() => #section{} | #list{} | #option{}}.
spec() ->
    Text = #option{type = binary},
    #{<<"signing_secrets">> => #list{items = Text},
      <<"headers">> => #section{items = #{default => Text}},
      <<"basic_auth">> => #section{items = #{<<"username">> => Text, <<"password">> => Text},
                                   process = fun ?MODULE:require_login/2},
      <<"bearer_token_file">> => Text}.

%% Not as `required', because the error would show the password where the name is missing.
-spec require_login(event_pusher_config:path(), map()) -> map() | event_pusher_config:errors().
require_login(Path, Login) ->
    event_pusher_config:require([username, password], Path, Login).

%% For the native side.
-spec settings(Handler :: map()) -> #{credentials => event_pusher:http_credentials()}.
settings(Handler) ->
    case maps:with(?KEYS, Handler) of
        None when map_size(None) =:= 0 -> #{};
        #{headers := Headers} = Given -> #{credentials => Given#{headers := pairs(Headers)}};
        Given -> #{credentials => Given}
    end.

pairs(Headers) ->
    [{atom_to_binary(Name), Value} || {Name, Value} <- lists:sort(maps:to_list(Headers))].

%% What callback modules may see of a handler, and persistent terms of ours.
-spec without(Handler :: map()) -> map().
without(Handler) ->
    maps:without(?KEYS, Handler).

-spec is_signed(Handler :: map()) -> boolean().
is_signed(Handler) ->
    is_map_key(signing_secrets, Handler).
