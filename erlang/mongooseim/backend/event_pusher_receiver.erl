-module(event_pusher_receiver).
-moduledoc "How log lines name a receiver: where it is, but nothing that may be a secret.".

-export([url/1, url/3, path/1, broker/3, cluster/2]).

%% Of SNS: a name or a URL. Without a scheme, it is https.
-spec url(Host :: string()) -> binary().
url(String) ->
    Host = event_pusher_config:text(String),
    Url = case re:run(Host, "^\\s*https?:[/\\\\]", [caseless, {capture, none}]) of
              nomatch -> ["https://", string:trim(Host)];
              match -> Host
          end,
    case parts(Url) of
        {Origin, Path} -> iolist_to_binary([Origin, without_tokens(string:trim(Path))]);
        none -> <<"unknown">>
    end.

%% Of an HTTP handler: the URL of its outgoing pool, prefix and path, joined as for posting.
-spec url(Host :: string(), Prefix :: binary(), Path :: binary()) -> binary().
url(Host, Prefix, Path) ->
    case parts(event_pusher_config:text(Host)) of
        {Origin, _Unused} ->
            Joined = join(without_query(Prefix), without_query(Path)),
            iolist_to_binary([Origin, path(iolist_to_binary(Joined))]);
        none ->
            <<"unknown">>
    end.

%% Of RabbitMQ.
-spec broker(Host :: binary(), inet:port_number(), VirtualHost :: binary()) -> binary().
broker(Host, Port, VirtualHost) ->
    Text = io_lib:format("~ts:~b, virtual host \"~ts\"", [bracketed(name(Host)), Port, VirtualHost]),
    unicode:characters_to_binary(Text).

%% Of RabbitMQ with several nodes, as they are written.
-spec cluster(Hosts :: [binary()], VirtualHost :: binary()) -> binary().
cluster(Hosts, VirtualHost) ->
    Names = lists:join(", ", [name(Host) || Host <- Hosts]),
    unicode:characters_to_binary(io_lib:format("~ts, virtual host \"~ts\"", [Names, VirtualHost])).

%% Without what stands before it, which may be a user with a password.
name(Host) ->
    lists:last(binary:split(Host, <<"@">>, [global])).

bracketed(Name) ->
    case {binary:match(Name, <<":">>), Name} of
        {nomatch, _} -> Name;
        {_, <<"[", _/binary>>} -> Name;
        _ -> [$[, Name, $]]
    end.

%% Scheme, host and port; then the path. What stands before the host is left out, and so is a query.
%% As URLs are read, there may be any number of slashes, or backslashes.
parts(Url) ->
    Pattern = "^\\s*([a-z]+):[/\\\\]*(?:[^/\\\\?#]*@)?([^/\\\\?#]*)([^?#]*)",
    case re:run(Url, Pattern, [caseless, {capture, all_but_first, binary}]) of
        {match, [Scheme, Host, Path]} -> {[string:lowercase(Scheme), "://", Host], Path};
        nomatch -> none
    end.

join(Prefix, <<>>) -> [$/, string:trim(Prefix, leading, "/")];
join(Prefix, Path) ->
    case string:trim(Prefix, both, "/") of
        <<>> -> [$/, string:trim(Path, leading, "/")];
        Trimmed -> [$/, Trimmed, $/, string:trim(Path, leading, "/")]
    end.

-spec path(binary()) -> binary().
path(Path) ->
    iolist_to_binary(without_tokens(without_query(Path))).

%% Many services have a token in the path of a webhook. It is told by its length and a digit.
without_tokens(Path) ->
    lists:join($/, [without_token(Segment) || Segment <- binary:split(Path, <<"/">>, [global])]).

without_token(Segment) when byte_size(Segment) < 16 -> Segment;
without_token(Segment) ->
    case re:run(Segment, "[0-9]", [{capture, none}]) of
        match -> <<"***">>;
        nomatch -> Segment
    end.

without_query(Path) ->
    hd(re:split(Path, "[?#]", [{return, binary}])).
