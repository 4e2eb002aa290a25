-module(mod_event_pusher).
-moduledoc "Turns what users do into events, and hands them to the configured backends.".

-behaviour(gen_mod).
-behaviour(mongoose_module_metrics).

%% gen_mod callbacks
-export([start/2, stop/1, deps/2, config_spec/0, supported_features/0]).
%% mongoose_module_metrics callback
-export([config_metrics/1]).
%% API
-export([push_event/2]).
%% Option processor
-export([accept_old_spelling/2]).

-export_type([event/0, metadata/0, push_event_acc/0, push_event_params/0]).

-include("mod_event_pusher_events.hrl").
-include("mongoose_config_spec.hrl").
-include_lib("kernel/include/logger.hrl").

-type event() :: #user_status_event{} | #chat_event{} | #unack_msg_event{}.
-type metadata() :: #{atom() => atom() | binary() | number()}.
-type push_event_acc() :: #{acc := mongoose_acc:t(), metadata := metadata()}.
-type push_event_params() :: #{event := event()}.

%% Keys of the options that are backends; any other key is an option of this module itself.
-define(BACKENDS, [http, push, rabbit, sns]).

%% gen_mod callbacks

-spec start(mongooseim:host_type(), gen_mod:module_opts()) -> ok.
start(HostType, _Opts) ->
    mod_event_pusher_hook_translator:add_hooks(HostType).

-spec stop(mongooseim:host_type()) -> ok.
stop(HostType) ->
    mod_event_pusher_hook_translator:delete_hooks(HostType).

-spec deps(mongooseim:host_type(), gen_mod:module_opts()) ->
    [{module(), gen_mod:module_opts(), hard}].
deps(_HostType, Opts) ->
    [{backend_module(Backend), BackendOpts, hard}
     || {Backend, BackendOpts} <- maps:to_list(maps:with(?BACKENDS, Opts))].

-spec config_spec() -> #section{}.
config_spec() ->
    Items = maps:from_list([{atom_to_binary(Backend), (backend_module(Backend)):config_spec()}
                            || Backend <- ?BACKENDS]),
    Old = #section{items = Items#{<<"http">> := mod_event_pusher_http:old_config_spec()}},
    #section{items = Items#{<<"backend">> => Old},
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

%% mongoose_module_metrics callback

-spec config_metrics(mongooseim:host_type()) -> [{backend, atom()} | {none, none}].
config_metrics(HostType) ->
    Opts = gen_mod:get_module_opts(HostType, ?MODULE),
    case [{backend, Backend} || Backend <- ?BACKENDS, is_map_key(Backend, Opts)] of
        [] -> [{none, none}];
        Metrics -> Metrics
    end.

%% API

%% Runs the hook push_event, in which filters come first and backends follow.
-spec push_event(mongoose_acc:t(), event()) -> mongoose_acc:t().
push_event(Acc, Event) ->
    #{acc := NewAcc} = mongoose_hooks:push_event(Acc, Event),
    NewAcc.

-spec backend_module(http | push | rabbit | sns) -> module().
backend_module(http) -> mod_event_pusher_http;
backend_module(push) -> mod_event_pusher_push;
backend_module(rabbit) -> mod_event_pusher_rabbit;
backend_module(sns) -> mod_event_pusher_sns.
