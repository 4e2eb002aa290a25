-module(mongoose_module_metrics).
-moduledoc "Which of its options a module reports to the collector of system metrics.".

-export([opts_for_module/3]).

-callback config_metrics(gen_mod:host_type()) -> [{atom(), term()}].

-optional_callbacks([config_metrics/1]).

-spec opts_for_module(gen_mod:host_type(), module(), [atom()]) -> [{atom(), term()}].
opts_for_module(HostType, Module, Keys) ->
    try
        [{Key, gen_mod:get_module_opt(HostType, Module, Key)} || Key <- Keys]
    catch
        _:_ -> [{none, none}]
    end.
