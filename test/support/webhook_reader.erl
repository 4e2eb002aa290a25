-module(webhook_reader).
-moduledoc "Reads requests as receivers of webhooks do: a Python port with the libraries that these have.".

-export([start/0, stop/1, verify/3, document/2, cloudevent/2]).

-type json() :: #{binary() => term()}.

-spec start() -> {ok, pid()} | {error, term()}.
start() ->
    receiver:start("webhook_reader.py", []).

-spec stop(pid()) -> ok.
stop(Reader) ->
    receiver:stop(Reader).

%% Whether a request that arrived was signed with the secret.
-spec verify(pid(), Secret :: binary(), http_service:message()) -> ok | {refused, binary()}.
verify(Reader, Secret, Request) ->
    receiver:command(Reader, [<<"verify">>, Secret | words(Request)]).

%% The body as a JSON document, if it is as its schema says.
-spec document(pid(), http_service:message()) -> {ok, json()} | {refused, binary()}.
document(Reader, Request) ->
    receiver:command(Reader, [<<"document">> | words(Request)]).

%% The request as a CloudEvent in either mode, whose data is such a document.
-spec cloudevent(pid(), http_service:message()) ->
    {ok, Attributes :: json(), Data :: json()} | {refused, binary()}.
cloudevent(Reader, Request) ->
    receiver:command(Reader, [<<"cloudevent">> | words(Request)]).

words(#{headers := Headers, body := Body}) ->
    [base64:encode(Body) | lists:append([[Name, Value] || {Name, Value} <- Headers])].
