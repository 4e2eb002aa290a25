-module(event_pusher_check_settings).
-moduledoc "Whether the settings of the node are within their ranges.".

-export([are_good/1]).

%% The environment of the application in app.config, which this VM is not started with.
-spec are_good(AppConfig :: file:filename()) -> event_pusher_check:outcome().
are_good(File) ->
    case file:consult(File) of
        {ok, [Applications]} when is_list(Applications) ->
            are_good(File, [Setting || {event_pusher, Settings} <- Applications,
                                       Setting <- Settings]);
        {ok, _Terms} ->
            {failed, [io_lib:format("~ts: must be one list with a dot at its end", [File])]};
        {error, enoent} ->
            {ok, [io_lib:format("there is no ~ts; all have their defaults", [File])]};
        {error, Reason} ->
            {failed, [io_lib:format("~ts: ~ts", [File, file:format_error(Reason)])]}
    end.

%% They are set if they are good, for the checks that follow.
are_good(File, Settings) ->
    case event_pusher_env:check(Settings) of
        ok ->
            _ = application:load(event_pusher),
            ok = application:set_env([{event_pusher, Settings}]),
            known(File, Settings, event_pusher_env:unknown(Settings));
        {error, #{reason := Complaints}} ->
            {failed, [io_lib:format("~ts: ~ts", [File, Complaint]) || Complaint <- Complaints]}
    end.

known(File, Settings, []) ->
    {ok, [io_lib:format("~b in ~ts, within their ranges", [length(Settings), File])]};
known(File, _Settings, Unknown) ->
    Known = lists:join(", ", [atom_to_list(Setting) || Setting <- event_pusher_env:known()]),
    {warning, [io_lib:format("~ts: ~tp is no setting of event_pusher and has no effect; there are ~ts",
                             [File, Setting, Known]) || Setting <- Unknown]}.
