-module(mod_event_pusher_http).
-moduledoc "Accepts the options of the HTTP backend; refuses to start until the backend is there.".

-behaviour(gen_mod).

-export([start/2, stop/1, config_spec/0, supported_features/0]).
%% Option processor
-export([fix_path/1]).

-include("mongoose_config_spec.hrl").

-spec start(mongooseim:host_type(), gen_mod:module_opts()) -> no_return().
start(HostType, _Opts) ->
    event_pusher_backend:unavailable(http, HostType).

-spec stop(mongooseim:host_type()) -> ok.
stop(_HostType) ->
    ok.

-spec config_spec() -> #section{}.
config_spec() ->
    Path = #option{type = binary, process = fun ?MODULE:fix_path/1},
    Handler = #section{items = #{<<"pool_name">> => #option{type = atom, validate = pool_name},
                                 <<"path">> => Path,
                                 <<"callback_module">> => #option{type = atom, validate = module}},
                       defaults = #{<<"pool_name">> => http_pool,
                                    <<"path">> => <<>>,
                                    <<"callback_module">> => mod_event_pusher_http_defaults}},
    #section{items = #{<<"handlers">> => #list{items = Handler, validate = unique}},
             defaults = #{<<"handlers">> => []}}.

-spec supported_features() -> [dynamic_domains].
supported_features() ->
    [dynamic_domains].

%% Drops one leading slash: the prefix of the pool ends with one.
-spec fix_path(binary()) -> binary().
fix_path(<<"/", Path/binary>>) -> Path;
fix_path(Path) -> Path.
