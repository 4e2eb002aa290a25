-module(mod_event_pusher).
-moduledoc "Turns what users do into events, and hands them to the configured backends.".

-behaviour(gen_mod).
-behaviour(mongoose_module_metrics).

%% gen_mod callbacks
-export([start/2, stop/1, deps/2, config_spec/0, supported_features/0, instrumentation/1]).
%% mongoose_module_metrics callback
-export([config_metrics/1]).
%% For others who make events
-export([push_event/2]).
%% For the check of a configuration
-export([backends/0, native_backends/0]).
%% Option processor
-export([accept_old_spelling/2]).

-export_type([event/0, metadata/0, push_event_acc/0, push_event_params/0]).

-include("mod_event_pusher_events.hrl").
-include("mongoose_config_spec.hrl").
-include_lib("kernel/include/logger.hrl").

-type event() :: #user_status_event{} | #chat_event{} | #unack_msg_event{}.
-type metadata() :: #{atom() => atom() | binary() | number()}.
%% With the verdict of the rules, if there are any.
-type push_event_acc() :: #{acc := mongoose_acc:t(), metadata := metadata(),
                            event_pusher_rules => event_pusher_rules:verdict()}.
-type push_event_params() :: #{event := event()}.

%% gen_mod callbacks

-spec start(mongooseim:host_type(), gen_mod:module_opts()) -> ok.
start(HostType, Opts) ->
    %% Before there are events.
    ok = event_pusher_rules:start(HostType, Opts),
    ok = mod_event_pusher_hook_translator:add_hooks(HostType),
    event_pusher_spool_orphans:tell(HostType, Opts, native_backends()).

-spec stop(mongooseim:host_type()) -> ok.
stop(HostType) ->
    ok = mod_event_pusher_hook_translator:delete_hooks(HostType),
    event_pusher_rules:stop(HostType).

-spec deps(mongooseim:host_type(), gen_mod:module_opts()) ->
    [{module(), gen_mod:module_opts(), hard}].
deps(_HostType, Opts) ->
    Dependency = fun(Backend, Module, BackendOpts) ->
                     {Module, maps:merge(shared_opts(Backend, Opts), BackendOpts), hard}
                 end,
    maps:values(maps:intersect_with(Dependency, backends(), Opts)).

%% What is for all backends with pools in the native library.
shared_opts(push, _Opts) -> #{};
shared_opts(_Backend, Opts) -> maps:with([spool], Opts).

-spec config_spec() -> #section{}.
config_spec() ->
    Items = maps:from_list([{atom_to_binary(Backend), Module:config_spec()}
                            || {Backend, Module} <- maps:to_list(backends())]),
    Old = #section{items = Items#{<<"http">> := mod_event_pusher_http:old_config_spec()}},
    #section{items = Items#{<<"backend">> => Old,
                            <<"rules">> => event_pusher_rules_options:spec(),
                            <<"spool">> => event_pusher_spool_options:spec()},
             process = fun ?MODULE:accept_old_spelling/2}.

%% Older manuals have [modules.mod_event_pusher.backend.sns] where today's have no `backend'.
-spec accept_old_spelling(event_pusher_config:path(), gen_mod:module_opts()) ->
    gen_mod:module_opts() | event_pusher_config:errors().
accept_old_spelling(Path, #{backend := Old} = Opts) ->
    New = maps:remove(backend, Opts),
    case maps:keys(maps:with(maps:keys(Old), New)) of
        [] ->
            Renamed = [io_lib:format("[modules.mod_event_pusher.~s] in place of "
                                     "[modules.mod_event_pusher.backend.~s]", [Backend, Backend])
                       || Backend <- maps:keys(Old)],
            ?LOG_WARNING(#{what => event_pusher_old_option, backends => maps:keys(Old),
                           text => iolist_to_binary(["Write ", lists:join(", ", Renamed)])}),
            maps:merge(New, Old);
        Twice ->
            Text = io_lib:format("~ts: a backend may be in [modules.mod_event_pusher] or in its "
                                 "older form [modules.mod_event_pusher.backend], not in both",
                                 [lists:join(", ", [atom_to_list(Backend) || Backend <- Twice])]),
            event_pusher_config:refuse(Path, backend_configured_twice, Text)
    end;
accept_old_spelling(_Path, Opts) ->
    Opts.

-spec supported_features() -> [dynamic_domains].
supported_features() ->
    [dynamic_domains].

-spec instrumentation(mongooseim:host_type()) -> [mongoose_instrument:spec()].
instrumentation(HostType) ->
    event_pusher_rules:instrumentation(HostType, gen_mod:get_module_opts(HostType, ?MODULE)).

%% mongoose_module_metrics callback

-spec config_metrics(mongooseim:host_type()) -> [{backend, atom()} | {none, none}].
config_metrics(HostType) ->
    Opts = gen_mod:get_module_opts(HostType, ?MODULE),
    case [{backend, Backend} || Backend <- maps:keys(backends()), is_map_key(Backend, Opts)] of
        [] -> [{none, none}];
        Metrics -> Metrics
    end.

%% Events

-spec push_event(mongoose_acc:t(), event()) -> mongoose_acc:t().
push_event(Acc, Event) ->
    event_pusher_event:push(Acc, Event).

%% Backends

%% Those with pools in the native library.
-spec native_backends() -> #{http | rabbit | sns => module()}.
native_backends() ->
    maps:remove(push, backends()).

%% By the key of their options; any other key is an option of this module itself.
-spec backends() -> #{http | push | rabbit | sns => module()}.
backends() ->
    #{sns => mod_event_pusher_sns,
      http => mod_event_pusher_http,
      rabbit => mod_event_pusher_rabbit,
      push => mod_event_pusher_push}.
