-module(metrics_endpoint).
-moduledoc "Where Prometheus finds what the stand-in has measured, as at the server's own endpoint.".

-export([start/0, stop/1, url/1]).
-export([do/1]).

-include_lib("inets/include/httpd.hrl").

-spec start() -> {ok, pid()}.
start() ->
    {ok, _} = application:ensure_all_started(inets),
    %% Nothing is read from the folder.
    {ok, Folder} = file:get_cwd(),
    inets:start(httpd, [{port, 0}, {bind_address, {127, 0, 0, 1}}, {server_name, "localhost"},
                        {server_root, Folder}, {document_root, Folder}, {modules, [?MODULE]}]).

-spec stop(pid()) -> ok.
stop(Endpoint) ->
    inets:stop(httpd, Endpoint).

%% Address and port.
-spec url(pid()) -> string().
url(Endpoint) ->
    [{port, Port}] = httpd:info(Endpoint, [port]),
    "127.0.0.1:" ++ integer_to_list(Port).

%% Callback of httpd.
-spec do(#mod{}) -> {proceed, [{response, {response, [tuple()], iodata()}}]}.
do(#mod{method = "GET", request_uri = "/metrics"}) ->
    Text = iolist_to_binary(host_prometheus:text()),
    Head = [{code, 200}, {content_type, "text/plain; version=0.0.4; charset=utf-8"},
            {content_length, integer_to_list(byte_size(Text))}],
    {proceed, [{response, {response, Head, Text}}]}.
