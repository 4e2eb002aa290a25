-module(host_hook_metrics).
-moduledoc "Counts the runs of each hook that has handlers, for its host type.".

-export([set_up/2, tear_down/2, count/2]).

%% Two hooks that a server does not count; it has more, none of which matters here.
-define(NOT_COUNTED, [user_send_message, remove_user]).

-spec set_up(gen_hook:hook_name(), gen_hook:hook_tag()) -> ok.
set_up(HookName, Tag) ->
    if_counted(HookName, fun(Event) ->
        mongoose_instrument:set_up(Event, labels(Tag), #{metrics => #{count => spiral}})
    end).

-spec tear_down(gen_hook:hook_name(), gen_hook:hook_tag()) -> ok.
tear_down(HookName, Tag) ->
    if_counted(HookName, fun(Event) -> mongoose_instrument:tear_down(Event, labels(Tag)) end).

%% A hook may still run after its last handler was deleted, until the hooks are reloaded.
-spec count(gen_hook:hook_name(), gen_hook:hook_tag()) -> ok.
count(HookName, Tag) ->
    if_counted(HookName, fun(Event) ->
        try
            mongoose_instrument:execute(Event, labels(Tag), #{count => 1})
        catch
            error:#{what := event_not_registered} -> ok
        end
    end).

if_counted(HookName, Fun) ->
    case lists:member(HookName, ?NOT_COUNTED) of
        true -> ok;
        false -> Fun(list_to_atom("hook_" ++ atom_to_list(HookName)))
    end.

labels(global) -> #{};
labels(HostType) -> #{host_type => HostType}.
