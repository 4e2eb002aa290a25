-module(mongoose_config_spec).
-moduledoc "Parts of a config spec that modules and pools share: worker pools, IQ handling, TLS.".

-export([wpool/1, iqdisc/0, tls/1]).
-export([process_iqdisc/1, process_tls/1]).

-include("mongoose_config_spec.hrl").

-spec wpool(ExtraDefaults :: #{binary() => term()}) -> #section{}.
wpool(ExtraDefaults) ->
    Strategies = [best_worker, random_worker, next_worker, available_worker, next_available_worker],
    Count = #option{type = integer, validate = positive},
    #section{items = #{<<"workers">> => Count,
                       <<"strategy">> => #option{type = atom, validate = {enum, Strategies}},
                       <<"call_timeout">> => Count,
                       <<"max_worker_queue_len">> => Count#option{validate = non_negative}},
             defaults = maps:merge(#{<<"workers">> => 10,
                                     <<"strategy">> => best_worker,
                                     <<"call_timeout">> => 5000}, ExtraDefaults)}.

-spec iqdisc() -> #section{}.
iqdisc() ->
    Types = [no_queue, one_queue, parallel, queues],
    #section{items = #{<<"type">> => #option{type = atom, validate = {enum, Types}},
                       <<"workers">> => #option{type = integer, validate = positive}},
             required = [<<"type">>],
             process = fun ?MODULE:process_iqdisc/1}.

-spec process_iqdisc(map()) -> atom() | {queues, pos_integer()}.
process_iqdisc(#{type := queues, workers := Workers}) ->
    {queues, Workers};
process_iqdisc(#{type := Type, workers := _}) ->
    error(#{what => unexpected_workers_option, iqdisc_type => Type,
            text => <<"workers are allowed with type queues only">>});
process_iqdisc(#{type := Type}) ->
    Type.

-spec tls([client]) -> #section{}.
tls([client]) ->
    File = #option{type = string, validate = filename},
    Modes = [peer, selfsigned_peer, none],
    #section{items = #{<<"verify_mode">> => #option{type = atom, validate = {enum, Modes}},
                       <<"certfile">> => File,
                       <<"keyfile">> => File,
                       <<"cacertfile">> => File,
                       <<"password">> => #option{type = string},
                       <<"versions">> => #list{items = #option{type = atom}},
                       <<"ciphers">> => #option{type = string},
                       <<"disconnect_on_failure">> => #option{type = boolean},
                       <<"crl_files">> => #list{items = File},
                       <<"server_name_indication">> => server_name_indication()},
             defaults = #{<<"verify_mode">> => peer,
                          <<"disconnect_on_failure">> => true,
                          <<"crl_files">> => []},
             process = fun ?MODULE:process_tls/1}.

server_name_indication() ->
    #section{items = #{<<"enabled">> => #option{type = boolean},
                       <<"host">> => #option{type = string, validate = non_empty},
                       <<"protocol">> => #option{type = atom, validate = {enum, [default, https]}}},
             defaults = #{<<"enabled">> => true, <<"protocol">> => default},
             include = always}.

-spec process_tls(map()) -> map().
process_tls(#{certfile := _} = Opts) when not is_map_key(keyfile, Opts) ->
    error(#{what => tls_certfile_without_keyfile, text => <<"certfile needs a keyfile">>});
process_tls(Opts) ->
    Opts.
